/** What the engine asks of its surroundings: everything a run touches comes in through here. */
import type { DevstackError } from '../errors.ts'
import type { NodeEvent, RunOnlyEvent } from './events.ts'
import type { GraphNode } from './graph.ts'
import type { Outcome } from './scheduler.ts'
import type { BaseContext, Needs } from './task.ts'

/** What is to happen with a node once the values of its needs are known. */
export type Verdict =
  | { readonly decision: 'run'; readonly cause: string; readonly fingerprint?: string }
  | { readonly decision: 'reuse'; readonly cause: string; readonly value: unknown }
  | { readonly decision: 'skip'; readonly cause: string }

export type AnyContext = BaseContext<Needs, unknown>

/** Everything a run does to the world goes through here. */
export interface Host {
  /** Milliseconds since the epoch. */
  now(): number
  emit(event: RunOnlyEvent): void
  emitNode(node: string, event: NodeEvent): void
  /** Resolves once the events so far are durable; undefined when there is nothing to wait for. */
  persist(): Promise<void> | undefined
  /** The engine's context with the surroundings added. */
  context(node: GraphNode, base: AnyContext): AnyContext
  decide(node: GraphNode, context: AnyContext): Verdict | Promise<Verdict>
  /** The node has succeeded: remember it for the next run. */
  commit(node: GraphNode, context: AnyContext, value: unknown, durationMs: number): Promise<void> | undefined
  /** Ends whatever the node's try left behind; called after each end of a node that ran. */
  release(node: GraphNode, context: AnyContext, outcome: Outcome): Promise<void> | undefined
  /** Takes locks across processes, in order. */
  lock?(node: GraphNode, signal: AbortSignal): Promise<() => Promise<void>>
  /** What a run function returned, as plain data (a finished command is nothing). */
  value?(returned: unknown): unknown
  /** What was thrown by a task, as an error with a remedy. */
  failure(node: GraphNode, thrown: unknown): DevstackError
  /** Expected milliseconds, from earlier runs. */
  cost?(node: GraphNode): number | undefined
}
