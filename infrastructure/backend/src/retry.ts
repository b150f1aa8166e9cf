import { NoLeader } from './leader.ts'

/** Why an attempt failed and what that means for the next one. */
export type Failure =
  /** The connection or its server is gone, or is no leader: look for the leader, then try again. */
  | { readonly kind: 'connection'; readonly reason: string }
  /** The server is fine and asks for another try: serialization, deadlock, a lock or a connection not had in time. */
  | { readonly kind: 'conflict'; readonly reason: string }
  /** Another try would fail the same way. */
  | { readonly kind: 'permanent' }

/** A statement had no answer within its deadline. A frozen peer still accepts TCP, so only a deadline of ours can tell. */
export class StatementTimeout extends Error {
  override readonly name = 'StatementTimeout'
}

/** The server says that it committed without its synchronous standby: the write may be lost, so it does not count. */
export class UnconfirmedCommit extends Error {
  override readonly name = 'UnconfirmedCommit'
}

/** No attempt succeeded before the deadline; `cause` is the last failure. */
export class DeadlineExceeded extends Error {
  override readonly name = 'DeadlineExceeded'
}

const connectionErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_DESTROYED',
])

/** SQLSTATEs beside class 08 that mean "not here" (PostgreSQL's Appendix A). */
const elsewhere: Readonly<Record<string, string>> = {
  '25006': 'read_only',
  '57P01': 'admin_shutdown',
  '57P02': 'crash_shutdown',
  '57P03': 'cannot_connect_now',
  '57P05': 'idle_session_timeout',
  '25P03': 'idle_in_transaction_timeout',
}

const again: Readonly<Record<string, string>> = {
  '40001': 'serialization_failure',
  '40P01': 'deadlock_detected',
  '53300': 'too_many_connections',
  '55P03': 'lock_not_available',
}

/** Sorts what a PostgreSQL client threw. What it does not know is permanent: a retry must be a decision. */
export function classify(thrown: unknown): Failure {
  if (thrown instanceof StatementTimeout) return { kind: 'connection', reason: 'statement_timeout' }
  if (thrown instanceof UnconfirmedCommit) return { kind: 'connection', reason: 'unconfirmed_commit' }
  if (thrown instanceof NoLeader) return { kind: 'connection', reason: 'no_leader' }
  if (!(thrown instanceof Error)) return { kind: 'permanent' }
  const { code } = thrown as { readonly code?: unknown }
  if (typeof code === 'string') {
    if (connectionErrors.has(code)) return { kind: 'connection', reason: code }
    if (code.startsWith('08') && code.length === 5) return { kind: 'connection', reason: 'connection_exception' }
    const gone = elsewhere[code]
    if (gone !== undefined) return { kind: 'connection', reason: gone }
    const conflict = again[code]
    if (conflict !== undefined) return { kind: 'conflict', reason: conflict }
  }
  // The client library has no code for a socket that closed under a query.
  if (/^Connection terminated|^timeout expired$|not queryable$/i.test(thrown.message))
    return { kind: 'connection', reason: 'connection_terminated' }
  return { kind: 'permanent' }
}

/** One try: its number, from 1, and a signal that is aborted at the deadline or when the caller gives up. */
export interface Attempt {
  readonly number: number
  readonly signal: AbortSignal
}

export interface RetryOptions {
  /** From the first attempt to giving up, in ms. */
  readonly deadlineMs: number
  /** The caller's own reason to stop: its rejection is the signal's reason. */
  readonly signal?: AbortSignal
  /** First pause in ms, doubled each time up to `maximumPauseMs`, of which a random half is taken. Default 25 and 500. */
  readonly pauseMs?: number
  readonly maximumPauseMs?: number
  readonly classify?: (thrown: unknown) => Failure
  /** Told of each failure that is followed by another attempt. */
  readonly onRetry?: (failure: Exclude<Failure, { kind: 'permanent' }>, attempt: Attempt) => void
  readonly random?: () => number
}

/**
 * Runs idempotent work until it succeeds, fails for good, or the deadline passes.
 * Rejects with the permanent failure as it was thrown, or with DeadlineExceeded.
 * The work must honour `attempt.signal`: an attempt is never abandoned while it runs.
 */
export async function retry<T>(work: (attempt: Attempt) => Promise<T>, options: RetryOptions): Promise<T> {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), options.deadlineMs)
  try {
    return await untilDeadline(work, options, deadline.signal)
  } finally {
    clearTimeout(timer)
  }
}

async function untilDeadline<T>(
  work: (attempt: Attempt) => Promise<T>,
  options: RetryOptions,
  deadline: AbortSignal,
): Promise<T> {
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal])
  const random = options.random ?? Math.random
  let ceiling = options.pauseMs ?? 25
  for (let number = 1; ; number++) {
    const attempt = { number, signal }
    let thrown: unknown
    try {
      options.signal?.throwIfAborted()
      return await work(attempt)
    } catch (error) {
      thrown = error
    }
    options.signal?.throwIfAborted()
    if (deadline.aborted) throw exceeded(options.deadlineMs, number, thrown)
    const failure = (options.classify ?? classify)(thrown)
    if (failure.kind === 'permanent') throw thrown
    options.onRetry?.(failure, attempt)
    await pause(ceiling / 2 + (random() * ceiling) / 2, signal)
    options.signal?.throwIfAborted()
    if (deadline.aborted) throw exceeded(options.deadlineMs, number, thrown)
    ceiling = Math.min(ceiling * 2, options.maximumPauseMs ?? 500)
  }
}

function exceeded(deadlineMs: number, attempts: number, cause: unknown): DeadlineExceeded {
  const last = cause instanceof Error ? cause.message : String(cause)
  return new DeadlineExceeded(`no success within ${deadlineMs} ms in ${attempts} attempts; the last one: ${last}`, {
    cause,
  })
}

/** Resolves after `ms` or as soon as the signal is aborted, whichever is first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  const { promise, resolve } = Promise.withResolvers<void>()
  const finish = () => {
    clearTimeout(timer)
    signal.removeEventListener('abort', finish)
    resolve()
  }
  const timer = setTimeout(finish, ms)
  signal.addEventListener('abort', finish, { once: true })
  return promise
}
