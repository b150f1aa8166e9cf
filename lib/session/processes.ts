/**
 * The processes of a task: started in groups of their own, found again by a mark in their environment, and ended whole,
 * with whatever they started themselves.
 */
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Environment variable that marks every process of a task; inherited by what it starts. */
export const markVariable = 'DEVSTACK_TASK'

/** Delays of a cancellation: SIGINT, `interruptMs` later SIGTERM, `terminateMs` later SIGKILL. */
export interface StopDelays {
  readonly interruptMs: number
  readonly terminateMs: number
}

/** Says how much the user is in a hurry: each level leaves out one step of the cancellation. */
export interface Urgency {
  level: 0 | 1 | 2
}

/** What one try of a task started. */
export class ProcessSet {
  readonly mark: string
  /** Groups by number, which is that of their leader. */
  readonly #groups = new Map<number, 'led' | 'orphaned'>()
  #started = false
  #stopping: Promise<void> | undefined

  constructor(mark: string) {
    this.mark = mark
  }

  /** True once anything was started. */
  get started(): boolean {
    return this.#started
  }

  /** Whether any of its groups goes on, or may. */
  get open(): boolean {
    return [...this.#groups.keys()].some((group) => isRunning(-group))
  }

  add(child: Pick<ChildProcess, 'pid' | 'once'>): void {
    this.#started = true
    const { pid } = child
    if (pid === undefined) return
    this.#groups.set(pid, 'led')
    // a group outlives its leader, and its number is given to nobody else as long as it does
    child.once('exit', () => {
      if (isRunning(-pid) && !isRunning(pid)) this.#groups.set(pid, 'orphaned')
      else this.#groups.delete(pid)
    })
  }

  /**
   * Ends everything: the process groups of the children and, where there is a /proc, every process that carries the mark
   * (a grandchild in a session of its own). Resolves once none is left; who asks meanwhile waits for the same end.
   */
  stop(delays: StopDelays, urgency: Urgency): Promise<void> {
    if (!this.#started) return Promise.resolve()
    this.#stopping ??= endAll(() => this.#targets(), delays, urgency).finally(() => {
      this.#stopping = undefined
    })
    return this.#stopping
  }

  /** Negative ids are process groups. */
  #targets(): number[] {
    for (const [group, state] of this.#groups) {
      if (state === 'orphaned' && !isOrphaned(group)) this.#groups.delete(group)
    }
    const groups = [...this.#groups.keys()].filter((group) => isRunning(-group))
    const strays = marked((mark) => mark === this.mark).filter(({ group }) => !groups.includes(group))
    return [...groups.map((group) => -group), ...strays.map(({ pid }) => pid)]
  }
}

/** Ends every process of a run, except what the spared nodes started; for after a cancellation. Linux only. */
export function endStrays(options: {
  readonly runId: string
  /** Nodes whose processes live on: services. */
  readonly spared: ReadonlySet<string>
  readonly delays: StopDelays
  readonly urgency: Urgency
}): Promise<void> {
  const left = (): readonly Stray[] => straysOf(options.runId, (node) => !options.spared.has(node))
  return endAll(() => left().map(({ pid }) => pid), options.delays, options.urgency)
}

export interface OrphanOptions {
  /** A run whose own process is dead. */
  readonly runId: string
  /** Which nodes' processes are to end. */
  readonly of: (node: string) => boolean
  readonly delays: StopDelays
  readonly urgency: Urgency
  /** Told once, when there is something to end. */
  readonly say: (text: string) => void
}

/** Ends what goes on although the run that started it was killed: it would still act while its task runs again. Linux only. */
export async function endOrphans({ runId, of, delays, urgency, say }: OrphanOptions): Promise<void> {
  const found = straysOf(runId, of)
  if (found.length === 0) return
  const nodes = [...new Set(found.map(({ node }) => node))].filter((node) => node !== '').join(', ')
  const count = found.length === 1 ? '1 process' : `${found.length} processes`
  say(`Run ${runId} was killed, and ${count} of it went on: ended first${nodes ? ` (${nodes})` : ''}.`)
  await endAll(() => straysOf(runId, of).map(({ pid }) => pid), delays, urgency)
}

interface Stray {
  readonly pid: number
  /** Empty for what belongs to no node. */
  readonly node: string
}

function straysOf(runId: string, of: (node: string) => boolean): readonly Stray[] {
  const prefix = `${runId}:`
  const nodeOf = (mark: string): string => mark.slice(prefix.length, mark.lastIndexOf(':'))
  return marked((mark) => mark.startsWith(prefix) && of(nodeOf(mark))).map(({ pid, mark }) => ({
    pid,
    node: nodeOf(mark),
  }))
}

/** SIGINT, SIGTERM and SIGKILL with the given delays between, each left out once the user is in a hurry. */
async function endAll(targets: () => number[], delays: StopDelays, urgency: Urgency): Promise<void> {
  const steps = [
    { signal: 'SIGINT', ms: delays.interruptMs },
    { signal: 'SIGTERM', ms: delays.terminateMs },
    { signal: 'SIGKILL', ms: 10_000 },
  ] as const
  for (const [index, { signal, ms }] of steps.entries()) {
    if (index < urgency.level) continue
    const until = performance.now() + ms
    for (let first = true; ; first = false) {
      const alive = targets()
      if (alive.length === 0) return
      // a new process may appear between two looks, so the last step asks each time
      if (first || signal === 'SIGKILL') for (const id of alive) send(id, signal)
      if (performance.now() >= until || (signal !== 'SIGKILL' && urgency.level > index)) break
      await sleep(20)
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Whether anybody is left of a group that has lost its leader: with a new leader, or in another session, it is not ours. */
function isOrphaned(group: number): boolean {
  if (!isRunning(-group) || isRunning(group)) return false
  const ids = processIds()
  // where there is no /proc, its existence has to do
  if (ids.length === 0) return true
  return ids.some((pid) => {
    const stat = statOf(pid)
    return stat !== undefined && stat.group === group && stat.session === group
  })
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended meanwhile
  }
}

/** Living processes whose environment carries such a mark; none where there is no /proc. */
export function marked(
  wanted: (mark: string) => boolean,
): { readonly pid: number; readonly group: number; readonly mark: string }[] {
  const found: { pid: number; group: number; mark: string }[] = []
  const needle = `${markVariable}=`
  for (const pid of processIds()) {
    try {
      const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
      const at = environment.startsWith(needle) ? 0 : environment.indexOf(`\0${needle}`) + 1
      if (at === 0 && !environment.startsWith(needle)) continue
      const mark = environment.slice(at + needle.length, environment.indexOf('\0', at))
      const stat = wanted(mark) ? statOf(pid) : undefined
      if (stat) found.push({ pid, group: stat.group, mark })
    } catch {
      // another user's, or gone
    }
  }
  return found
}

/** All processes but this one; none where there is no /proc. */
function processIds(): readonly number[] {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
  } catch {
    return []
  }
}

/** Nothing for a process that has ended, also when nobody has taken note of its end yet. */
function statOf(pid: number): { readonly group: number; readonly session: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const isOver = fields[0] === 'Z' || fields[0] === 'X'
    return isOver ? undefined : { group: Number(fields[2]), session: Number(fields[3]) }
  } catch {
    return undefined
  }
}
