/**
 * Decides what may start, and nothing else: synchronous, without I/O, clock or promises. The runner asks `ready()`, tells
 * `settled()`; `hold()` says what a node waits for.
 *
 *   waiting --ready()--> running --settled()--> succeeded | failed | cancelled
 *      `--------- a need failed, or stop() -------------------------^
 */
import type { Hold } from './events.ts'
import { Queue } from './queue.ts'

export interface Schedulable {
  readonly id: string
  readonly needs: readonly { readonly node: string; readonly optional: boolean }[]
  /** Slots taken while running; more than the limit counts as the limit. */
  readonly weight: number
  readonly locks: readonly { readonly name: string; readonly size: number }[]
  /** Expected duration, in any unit as long as it is the same for all. */
  readonly cost: number
}

export type FailureMode = 'fail-fast' | 'keep-going' | 'kill'

export interface SchedulerOptions {
  /** Slots in all, at least 1. */
  readonly concurrency: number
  readonly mode: FailureMode
}

export type Outcome = 'succeeded' | 'failed' | 'cancelled'
export interface Cancelled {
  readonly node: string
  readonly cause: string
  /** The node whose end led to this one. */
  readonly because?: string
}

interface Entry {
  readonly node: Schedulable
  readonly dependents: Entry[]
  /** Position in the given order; breaks ties. */
  readonly index: number
  missing: number
  /** Cost of the longest chain from here to an end. */
  priority: number
  state: 'waiting' | 'running' | Outcome
  holdsSlot: boolean
}

/** See the file's head. `nodes` must come in topological order and without cycles. */
export class Scheduler {
  readonly #entries = new Map<string, Entry>()
  readonly #options: SchedulerOptions
  /** Startable nodes that take slots, and those that take none. */
  readonly #slotted = new Queue(before)
  readonly #free = new Queue(before)
  /** Startable nodes parked until a lock is given back. */
  readonly #parked = new Map<string, Entry[]>()
  readonly #lockHolders = new Map<string, Set<string>>()
  #newlyParked: string[] = []
  #slots: number
  #unsettled = 0
  #stopped = false

  constructor(nodes: readonly Schedulable[], options: SchedulerOptions) {
    this.#options = options
    this.#slots = options.concurrency
    nodes.forEach((node, index) => {
      this.#entries.set(node.id, {
        node,
        dependents: [],
        index,
        missing: node.needs.length,
        priority: node.cost,
        state: 'waiting',
        holdsSlot: false,
      })
    })
    this.#unsettled = this.#entries.size
    for (const entry of this.#entries.values()) {
      for (const need of entry.node.needs) this.#entries.get(need.node)!.dependents.push(entry)
    }
    for (let index = nodes.length - 1; index >= 0; index -= 1) {
      const entry = this.#entries.get(nodes[index]!.id)!
      let longest = 0
      for (const dependent of entry.dependents) longest = Math.max(longest, dependent.priority)
      entry.priority += longest
    }
    for (const entry of this.#entries.values()) if (entry.missing === 0) this.#enqueue(entry)
  }

  /** True once every node is in a final state. */
  get finished(): boolean {
    return this.#unsettled === 0
  }

  /** Whether nothing starts any more. */
  get stopped(): boolean {
    return this.#stopped
  }

  /** The nodes to start now, the longest remaining chain first. They count as running from here on. */
  ready(): readonly string[] {
    if (this.#stopped) return []
    const started: string[] = []
    for (;;) {
      const entry = this.#free.pop()
      if (!entry) break
      if (this.#start(entry)) started.push(entry.node.id)
    }
    while (this.#slots > 0) {
      const entry = this.#slotted.peek()
      // nobody overtakes a heavy node, or it would starve
      if (!entry || this.#weight(entry) > this.#slots) break
      this.#slotted.pop()
      if (this.#start(entry)) started.push(entry.node.id)
    }
    return started
  }

  /** What `ready()` found startable but for a lock since this was last asked. */
  takeParked(): readonly { readonly node: string; readonly hold: Hold }[] {
    const parked = this.#newlyParked
    this.#newlyParked = []
    return parked.flatMap((node) => {
      const hold = this.hold(node)
      return hold ? [{ node, hold }] : []
    })
  }

  /** Gives the node's slots back while it only waits (for a gate); its locks stay. */
  releaseSlot(id: string): void {
    const entry = this.#entry(id)
    if (entry.holdsSlot) {
      this.#slots += this.#weight(entry)
      entry.holdsSlot = false
    }
  }

  /** Records the end of a running node. Returns the nodes that will never start because of it. */
  settled(id: string, outcome: Outcome): readonly Cancelled[] {
    const entry = this.#entry(id)
    if (entry.state !== 'running') throw new Error(`scheduler: ${id} is ${entry.state}, not running`)
    this.releaseSlot(id)
    for (const lock of entry.node.locks) {
      this.#lockHolders.get(lock.name)?.delete(id)
      const parked = this.#parked.get(lock.name)
      if (parked) {
        this.#parked.delete(lock.name)
        for (const other of parked) if (other.state === 'waiting') this.#enqueue(other)
      }
    }
    this.#finish(entry, outcome)
    const cancelled = this.#spread(entry, outcome)
    if (outcome === 'failed' && this.#options.mode !== 'keep-going' && !isTolerated(entry)) {
      cancelled.push(...this.stop(`stopped because "${id}" failed`, id))
    }
    return cancelled
  }

  /** Nothing starts any more. Returns what will never start; running nodes stay running until they settle. */
  stop(cause: string, because?: string): readonly Cancelled[] {
    this.#stopped = true
    const cancelled: Cancelled[] = []
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'waiting') continue
      this.#finish(entry, 'cancelled')
      cancelled.push({ node: entry.node.id, cause, ...(because === undefined ? {} : { because }) })
    }
    return cancelled
  }

  /** What a waiting node waits for; undefined when it does not wait. */
  hold(id: string): Hold | undefined {
    const entry = this.#entry(id)
    if (entry.state !== 'waiting') return undefined
    if (entry.missing > 0) {
      const nodes = entry.node.needs.map((need) => need.node).filter((need) => !isFinal(this.#entry(need).state))
      return { for: 'needs', nodes: [...new Set(nodes)] }
    }
    for (const lock of entry.node.locks) {
      const holders = this.#lockHolders.get(lock.name)
      if (holders && holders.size >= lock.size) return { for: 'lock', lock: lock.name, holders: [...holders] }
    }
    return { for: 'slot' }
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id)
    if (!entry) throw new Error(`scheduler: no node ${id}`)
    return entry
  }

  #weight(entry: Entry): number {
    return Math.min(entry.node.weight, this.#options.concurrency)
  }

  #enqueue(entry: Entry): void {
    if (entry.node.weight === 0) this.#free.push(entry)
    else this.#slotted.push(entry)
  }

  /** Takes slots and all locks at once, or parks the node at the first lock that is not free. */
  #start(entry: Entry): boolean {
    if (entry.state !== 'waiting') return false
    for (const lock of entry.node.locks) {
      const holders = this.#lockHolders.get(lock.name)
      if (holders && holders.size >= lock.size) {
        const parked = this.#parked.get(lock.name)
        if (parked) parked.push(entry)
        else this.#parked.set(lock.name, [entry])
        this.#newlyParked.push(entry.node.id)
        return false
      }
    }
    for (const lock of entry.node.locks) {
      const holders = this.#lockHolders.get(lock.name)
      if (holders) holders.add(entry.node.id)
      else this.#lockHolders.set(lock.name, new Set([entry.node.id]))
    }
    entry.state = 'running'
    entry.holdsSlot = entry.node.weight > 0
    this.#slots -= this.#weight(entry)
    return true
  }

  #finish(entry: Entry, outcome: Outcome): void {
    entry.state = outcome
    this.#unsettled -= 1
  }

  /** Releases the dependents of a finished node, or cancels them and theirs. */
  #spread(entry: Entry, outcome: Outcome): Cancelled[] {
    const cancelled: Cancelled[] = []
    const work: { entry: Entry; outcome: Outcome }[] = [{ entry, outcome }]
    for (let at = 0; at < work.length; at += 1) {
      const from = work[at]!
      for (const dependent of from.entry.dependents) {
        if (dependent.state !== 'waiting') continue
        if (from.outcome === 'succeeded' || isOptional(from.entry, dependent)) {
          dependent.missing -= 1
          if (dependent.missing === 0) this.#enqueue(dependent)
          continue
        }
        this.#finish(dependent, 'cancelled')
        const because = from.entry.node.id
        const verb = from.outcome === 'failed' ? 'failed' : 'did not run'
        cancelled.push({ node: dependent.node.id, cause: `needs "${because}", which ${verb}`, because })
        work.push({ entry: dependent, outcome: 'cancelled' })
      }
    }
    return cancelled
  }
}

function isOptional(entry: Entry, dependent: Entry): boolean {
  return dependent.node.needs.every((need) => need.node !== entry.node.id || need.optional)
}

/** Whether who needs the node, or what is cancelled with it, can do without: then its failure stops nothing else. */
function isTolerated(entry: Entry): boolean {
  const lost = new Set([entry])
  for (const one of lost) {
    if (one.dependents.length === 0) return false
    for (const dependent of one.dependents) {
      if (!isOptional(one, dependent)) lost.add(dependent)
    }
  }
  return true
}

function isFinal(state: Entry['state']): boolean {
  return state !== 'waiting' && state !== 'running'
}

/** The longest remaining chain first, then the given order. */
function before(a: Entry, b: Entry): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.index < b.index)
}
