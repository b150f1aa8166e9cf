/** One try, several tries, and their deadlines. */
import pRetry, { AbortError } from 'p-retry'
import { DevstackError } from '../errors.ts'
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

/** Runs `work` with a signal that aborts after `ms`; then rejects with a DevstackError of kind `timeout`. */
export async function deadline<T>(
  ms: number,
  outer: AbortSignal,
  message: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const expired = new DevstackError({ kind: 'timeout', code: 'TIMEOUT', message, exitCode: 1 })
  const timer = setTimeout(() => controller.abort(expired), ms)
  const onAbort = (): void => controller.abort(outer.reason)
  if (outer.aborted) onAbort()
  outer.addEventListener('abort', onAbort, { once: true })
  try {
    return await work(controller.signal)
  } catch (thrown) {
    if (controller.signal.reason === expired && !(thrown instanceof DevstackError && thrown.kind === 'gate')) {
      if (thrown instanceof DevstackError && thrown.code === 'TASK_DID_NOT_STOP') throw thrown
      throw expired
    }
    throw thrown
  } finally {
    clearTimeout(timer)
    outer.removeEventListener('abort', onAbort)
  }
}

/** Passes `promise` through, but gives up on it `grace.ms` after the signal aborted. */
export function stoppedWithin<T>(
  promise: PromiseLike<T>,
  signal: AbortSignal,
  grace: { readonly ms: number; readonly error: () => DevstackError },
): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const onAbort = (): void => {
      timer = setTimeout(() => reject(grace.error()), grace.ms)
    }
    const done = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(
      (value) => {
        done()
        resolve(value)
      },
      (thrown) => {
        done()
        reject(thrown)
      },
    )
  })
}
