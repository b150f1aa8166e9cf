/** What the functions of an experiment get, and what they may ask for. Types alone. */
import type { Ambient, Duration, ServiceHandle } from '../../lib/index.ts'
import type { Fault } from './faults.ts'
import type { RunningLoad } from './load.ts'

/** What is asserted about time. */
export interface Limits {
  /** Longest gap a client may see; judged in the median of at least five runs. */
  readonly gap?: Duration
  /** What is promised each time. */
  readonly promise?: Duration
  /** From the heal to full redundancy; judged as `gap` is. */
  readonly redundancy?: Duration
  /** How long recovery is waited for; default 90 s. */
  readonly recovery?: Duration
}

/** What the functions of an experiment get. */
export interface ExperimentContext<P> {
  readonly params: P
  readonly services: readonly ServiceHandle[]
  /** A service by name; throws STACK_UNKNOWN_SERVICE. */
  service(name: string): ServiceHandle
  readonly runtime: Ambient['runtime']
  readonly project: Ambient['project']
  readonly env: Ambient['env']
  readonly exec: Ambient['exec']
  readonly flags: Ambient['flags']
  /** Aborts with the run, and when recovery takes too long. */
  readonly signal: AbortSignal
  log(text: string): void
  /** A moment of the report and of its picture. */
  mark(text: string): void
  /** Something worth knowing that is no failure. */
  note(text: string): void
  /** A load of this experiment that runs, by its name. */
  load(name: string): RunningLoad
  /** Injects a fault into a service; it is healed at the end at the latest, by a later command if need be. */
  fault(kind: string, service: string, details?: Readonly<Record<string, unknown>>): Promise<Fault>
  /** Heals one fault now, or all. */
  heal(fault?: Fault): Promise<void>
  /** Resolves when the steady state holds, in the middle of an experiment; rejects after `withinMs` (default 60 s). */
  steady(withinMs?: number): Promise<void>
  /** Resolves once writes of all loads, or of one, have been acknowledged steadily; not before `forMs` (default 3 s). */
  writesFlow(options?: { readonly forMs?: number; readonly load?: string }): Promise<void>
  /** Resolves with the member that leads in place of `old`, as a write to it proves. */
  newLeader(old: string, load?: string): Promise<string>
}
