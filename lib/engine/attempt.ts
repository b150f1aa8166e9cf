/** One try, several tries, and their deadlines. */
import pRetry, { AbortError } from 'p-retry'
import { DevstackError } from '../errors.ts'
import type { Host } from './host.ts'
import { milliseconds, type RetryPolicy } from './task.ts'

/**
 * Tries until one succeeds: exponential backoff with jitter (p-retry). A DevstackError of kind `usage`, `config` or
 * `cancelled` is not tried again. Rejects with the last error, or at once when the signal aborts.
 */
export async function attempts<T>(
  retry: number | RetryPolicy,
  signal: AbortSignal,
  once: (attempt: number) => Promise<T>,
  onRetry: (attempt: number, delayMs: number, thrown: unknown) => void,
): Promise<T> {
  const policy = typeof retry === 'number' ? { attempts: retry } : retry
  const minTimeout = milliseconds(policy.delay ?? 200)
  const maxTimeout = Math.max(minTimeout, milliseconds(policy.maxDelay ?? 10_000))
  const factor = policy.factor ?? 2
  let thrown: unknown
  return pRetry(
    async (attempt) => {
      try {
        return await once(attempt)
      } catch (error) {
        thrown = error
        if (isFinal(error) || signal.aborted) throw new AbortError(error instanceof Error ? error : String(error))
        throw error instanceof Error && !(error instanceof TypeError) ? error : new Error('failed', { cause: error })
      }
    },
    {
      retries: policy.attempts,
      minTimeout,
      maxTimeout,
      factor,
      randomize: policy.jitter ?? true,
      signal,
      onFailedAttempt: ({ attemptNumber, retriesLeft }) => {
        if (retriesLeft === 0) return
        onRetry(attemptNumber, Math.min(maxTimeout, Math.round(minTimeout * factor ** (attemptNumber - 1))), thrown)
      },
    },
  ).catch((error: unknown) => {
    if (signal.aborted) throw signal.reason ?? error
    throw thrown ?? error
  })
}

function isFinal(error: unknown): boolean {
  return error instanceof DevstackError && ['usage', 'config', 'cancelled'].includes(error.kind)
}

export interface Bounds {
  /** Begins the messages: `Task "build"`. */
  readonly what: string
  readonly signal: AbortSignal
  readonly limitMs: number | undefined
  /** How long the work may go on after its signal has aborted. */
  readonly graceMs: number
  readonly onStall?: Host['onStall']
}

/**
 * Calls `work` with a signal that aborts with the given one and after `limitMs`; then it fails with TIMEOUT, unless a gate's
 * own error tells more. Work that does not end within `graceMs` of that is given up on, as TASK_DID_NOT_STOP; work that nothing can end any more fails with TASK_NEVER_SETTLES.
 */
export function bounded<T>(bounds: Bounds, work: (signal: AbortSignal) => T | PromiseLike<T>): T | Promise<T> {
  if (bounds.limitMs !== undefined) return withDeadline(bounds, bounds.limitMs, work)
  const result = work(bounds.signal)
  // what answers at once needs no watching
  return isThenable(result) ? stoppedInTime(result, bounds) : result
}

async function withDeadline<T>(
  bounds: Bounds,
  limitMs: number,
  work: (signal: AbortSignal) => T | PromiseLike<T>,
): Promise<T> {
  const controller = new AbortController()
  const { signal } = controller
  const message = `${bounds.what} took longer than its timeout of ${limitMs} ms.`
  const expired = new DevstackError({ kind: 'timeout', code: 'TIMEOUT', message, exitCode: 1 })
  const timer = setTimeout(() => controller.abort(expired), limitMs)
  const onAbort = (): void => controller.abort(bounds.signal.reason)
  if (bounds.signal.aborted) onAbort()
  bounds.signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await bounded({ ...bounds, signal, limitMs: undefined }, work)
  } catch (thrown) {
    const tellsMore = thrown instanceof DevstackError && (thrown.kind === 'gate' || thrown.code === 'TASK_DID_NOT_STOP')
    throw signal.reason === expired && !tellsMore ? expired : thrown
  } finally {
    clearTimeout(timer)
    bounds.signal.removeEventListener('abort', onAbort)
  }
}

/** Passes `promise` through, but gives up on it `graceMs` after the signal aborted, and when it can never settle. */
function stoppedInTime<T>(promise: PromiseLike<T>, { what, signal, graceMs, onStall }: Bounds): Promise<T> {
  const { promise: stopped, resolve, reject } = Promise.withResolvers<T>()
  let timer: NodeJS.Timeout | undefined
  const giveUp = (): void =>
    reject(
      new DevstackError({
        kind: 'task',
        code: 'TASK_DID_NOT_STOP',
        message: `${what} did not end within ${graceMs} ms after it was cancelled; the run goes on without it.`,
        hint: 'Let its function listen to `signal`.',
      }),
    )
  const onAbort = (): void => {
    timer = setTimeout(giveUp, graceMs)
  }
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  promise.then(resolve, reject)
  const forget = onStall?.(() => reject(neverSettles(what)))
  const done = (): void => {
    forget?.()
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
  stopped.then(done, done)
  return stopped
}

/** A signal that aborts with `reason` once `ms` have passed since `signal` aborted; `end` takes that back. */
export function delayed(signal: AbortSignal, ms: number, reason: DevstackError): { signal: AbortSignal; end(): void } {
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const begin = (): void => {
    timer = setTimeout(() => controller.abort(reason), ms)
  }
  if (signal.aborted) begin()
  else signal.addEventListener('abort', begin, { once: true })
  const end = (): void => {
    clearTimeout(timer)
    signal.removeEventListener('abort', begin)
  }
  return { signal: controller.signal, end }
}

/** The failure of what awaits a promise that nothing can settle any more; `what` begins its message. */
export function neverSettles(what: string): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'TASK_NEVER_SETTLES',
    message: `${what} waits for something that can not come: nothing is left that could settle its promise.`,
    hint: 'Look for a promise that is never resolved, or a callback that is never called.',
  })
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
