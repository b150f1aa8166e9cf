/**
 * A gate asks a probe until it holds or its deadline passes. The contract only; the poll loop is poll.ts, the probes
 * are one file each.
 */
import type { Duration, Gate, GateContext } from '../engine/task.ts'
import type { Runtime } from '../runtime/runtime.ts'

/** One answer of a probe. `detail` is shown while waiting and in the autopsy: `2 of 3 members started`. */
export type Answer =
  | { readonly healthy: true; readonly detail: string }
  | { readonly healthy: false; readonly detail: string; readonly fatal?: boolean }

/** What a probe may use. The signal aborts when this single attempt took too long or nobody waits any more. */
export interface ProbeContext {
  readonly signal: AbortSignal
  readonly runtime: Runtime
}

/** One attempt at answering a gate's question. Throwing counts as unhealthy, with the error's message as the answer. */
export type Probe<V> = (value: V, context: ProbeContext) => Promise<Answer> | Answer

/** What `gate()` takes. */
export interface GateOptions<V> {
  /** What must hold, as a noun phrase: `PostgreSQL leader elected`. */
  readonly description: string
  /** What is asked, for the autopsy: `GET http://10.1.0.11:8008/leader`. */
  readonly question?: string | ((value: V) => string)
  readonly probe: Probe<V>
  /** Deadline; default 60 s. */
  readonly within?: Duration
  /** First pause between two attempts; default 50 ms. */
  readonly every?: Duration
  /** Pauses grow by `backoff` (default 1.2) after `steady` attempts (default 100) up to `atMost` (default 1 s). */
  readonly backoff?: { readonly factor?: number; readonly steady?: number; readonly atMost?: number }
  /** Longest single attempt; default 5 s. */
  readonly attemptTimeout?: number
  /** Containers whose end fails the gate at once; default: the value itself when it is a service handle. */
  readonly containers?: (value: V) => readonly string[]
  /** Containers the autopsy looks at when none of `containers` died; default: `containers`. */
  readonly subjects?: (value: V) => readonly string[]
}

/** A gate that may ask a container engine. */
export type ContainerGate<V> = Gate<V, { readonly runtime: Runtime }> & {
  /** Asks once, now; for `health` and `status`, which do not wait. */
  ask?(value: V, context: ProbeContext): Promise<Answer>
}
export type ContainerGateContext = GateContext & { readonly runtime: Runtime }
