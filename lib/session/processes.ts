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

/** The children of one task. */
export class ProcessSet {
  readonly mark: string
  readonly #children = new Set<ChildProcess>()
  #started = false

  constructor(mark: string) {
    this.mark = mark
  }

  /** True once anything was started. */
  get started(): boolean {
    return this.#started
  }

  add(child: ChildProcess): void {
    this.#started = true
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    child.once('error', () => this.#children.delete(child))
  }

  /**
   * Ends everything: the process groups of the children and, where there is a /proc, every process that carries the mark
   * (a grandchild in a session of its own). Resolves once none is left.
   */
  async stop(delays: StopDelays, urgency: Urgency): Promise<void> {
    const steps = [
      { signal: 'SIGINT', ms: delays.interruptMs },
      { signal: 'SIGTERM', ms: delays.terminateMs },
      { signal: 'SIGKILL', ms: 10_000 },
    ] as const
    for (const [index, step] of steps.entries()) {
      if (!this.#alive()) return
      if (index < urgency.level) continue
      this.#signal(step.signal)
      const until = Date.now() + step.ms
      // a new process may appear between two looks, so the last step looks for them again
      while (Date.now() < until && (index === 2 || urgency.level <= index)) {
        await sleep(20)
        if (!this.#alive()) return
        if (index === 2) this.#signal('SIGKILL')
      }
    }
  }

  #alive(): boolean {
    return this.#groups().length > 0 || marked(this.mark).length > 0
  }

  #groups(): number[] {
    return [...this.#children].flatMap((child) => (child.pid !== undefined && isRunning(-child.pid) ? [child.pid] : []))
  }

  #signal(signal: NodeJS.Signals): void {
    const groups = this.#groups()
    for (const group of groups) send(-group, signal)
    for (const stray of marked(this.mark)) if (!groups.includes(stray.group)) send(stray.pid, signal)
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

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it has ended meanwhile
  }
}

/** Living processes whose environment carries the mark; none where there is no /proc. */
export function marked(mark: string): { readonly pid: number; readonly group: number }[] {
  let entries: string[]
  try {
    entries = readdirSync('/proc')
  } catch {
    return []
  }
  const found: { pid: number; group: number }[] = []
  const needle = `${markVariable}=${mark}\0`
  for (const entry of entries) {
    const pid = Number(entry)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    try {
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').includes(needle)) continue
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (fields[0] !== 'Z') found.push({ pid, group: Number(fields[2]) })
    } catch {
      // another user's, or gone
    }
  }
  return found
}
