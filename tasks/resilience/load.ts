/** A load: clients that write all through an experiment and remember what they saw. */
import type { Reach, Runtime, ServiceHandle } from '../../lib/index.ts'
import type { AcknowledgedWrites, LedgerVerdict } from './acknowledged.ts'
import type { Lane } from './lanes.ts'

/** An error as a client saw it. */
export interface ClientError {
  readonly at: number
  /** A few words, the same for the same cause: `statement deadline`, `connection refused`, `57P01`. */
  readonly kind: string
}

/** What a load has to know of the stack. */
export interface LoadContext {
  readonly runtime: Runtime
  readonly services: readonly ServiceHandle[]
  readonly reach: Reach
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Where its ledger goes. */
  readonly folder: string
  /** Marks its rows or keys; unique for each rehearsal. */
  readonly run: string
  readonly signal: AbortSignal
}

/** A load that can be started. */
export interface Load {
  /** `postgresql`, `redis`, `http`; once in an experiment. */
  readonly name: string
  /** Whether an acknowledged write may never be lost. Where false, loss is measured and reported. */
  readonly durable: boolean
  /** Bound to one member: its writes may end with that member's leadership. Default false. */
  readonly bound?: boolean
  /** Whether this stack has what it writes to; default yes. */
  applies?(context: Omit<LoadContext, 'folder' | 'run'>): Promise<boolean>
  start(context: LoadContext): Promise<RunningLoad>
}

/** A load that runs. */
export interface RunningLoad {
  readonly name: string
  readonly durable: boolean
  readonly bound?: boolean
  readonly ledger: AcknowledgedWrites
  readonly errors: readonly ClientError[]
  /** Roles of the members, sampled beside the load. */
  readonly lanes: readonly Lane[]
  /** Most members that acknowledged a write of their own in one sample, over how many samples. */
  writable(): { readonly maximum: number; readonly samples: number }
  /** Ends the clients. Idempotent. */
  stop(): Promise<void>
  /** Asks every member what it holds. After the heal; waits for replicas to catch up. */
  compare(signal: AbortSignal): Promise<LedgerVerdict>
  /** Removes what it wrote. */
  clear(signal: AbortSignal): Promise<void>
}

/** Sorts errors of node, pg and Redis into kinds. */
export function errorKind(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as { code?: unknown }
  const { message } = thrown
  if (/statement deadline|Query read timeout/.test(message)) return 'statement deadline'
  if (/connect deadline|timeout expired/i.test(message)) return 'connect deadline'
  if (
    /terminated unexpectedly|closed the connection|not queryable|ECONNRESET|EPIPE/.test(message) ||
    code === 'ECONNRESET'
  )
    return 'connection lost'
  if (typeof code === 'string' && code !== '') return code
  return message.split('\n', 1)[0]!.slice(0, 60)
}
