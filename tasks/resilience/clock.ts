/** Time of an experiment: milliseconds since the epoch that never step back, and pauses that end with a signal. */

/** The longest that may be asked for, a day: a timer of more than 2^31 ms would end at once. */
export const longestSeconds = 86_400

/** How long recovery is waited for when what is waited for takes `seconds` anyway, milliseconds. */
export function recoveryAfter(seconds: number): number {
  return (seconds + 90) * 1000
}

/** Now, in milliseconds since the epoch; monotonic, so that a corrected clock makes no gap. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}

/** Waits; resolves early, without an error, when the signal aborts. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  if (signal?.aborted) return Promise.resolve()
  const done = (): void => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', done)
    resolve()
  }
  const timer = setTimeout(done, ms)
  signal?.addEventListener('abort', done, { once: true })
  return promise
}

/** Rejects with `message` unless the promise settles in time. What it was waiting for goes on; end it in `onLate`. */
export function within<T>(ms: number, promise: Promise<T>, message: string, onLate?: () => void): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    onLate?.()
    reject(new Error(message))
  }, ms)
  // whoever loses the race has no listener any more
  promise.catch(() => undefined)
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Asks until the answer is true; false when the signal aborts or `ms` have passed. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  options: { readonly ms: number; readonly signal: AbortSignal; readonly every?: number },
): Promise<boolean> {
  const deadline = now() + options.ms
  while (!options.signal.aborted) {
    if (await condition()) return true
    if (now() >= deadline) return false
    await pause(options.every ?? 50, options.signal)
  }
  return false
}
