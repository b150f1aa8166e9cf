/**
 * Notices that a user's code awaits what can not come: once the event loop is empty, nothing is left that could settle a
 * promise. Node would end the process then, with exit code 0.
 */
import { neverSettles } from '../engine/attempt.ts'

const waiting = new Set<() => void>()

/** Calls the listener, once, when nothing is left that could settle what it waits for; gives what takes it back. */
export function onStall(listener: () => void): () => void {
  waiting.add(listener)
  return () => void waiting.delete(listener)
}

/** The promise; rejects with TASK_NEVER_SETTLES, begun with `what`, when it can never settle. */
export function settling<T>(what: string, promise: Promise<T>): Promise<T> {
  const { promise: settled, resolve, reject } = Promise.withResolvers<T>()
  const forget = onStall(() => reject(neverSettles(what)))
  promise.then(resolve, reject).finally(forget)
  return settled
}

/** Tells all who wait; the event loop is empty. False when nobody does. */
export function stall(): boolean {
  const listeners = [...waiting]
  waiting.clear()
  for (const listener of listeners) listener()
  return listeners.length > 0
}
