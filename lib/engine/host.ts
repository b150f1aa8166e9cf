/** What the engine asks of its surroundings: everything a run touches comes in through here. */
import type { DevstackError } from '../errors.ts'
import type { NodeEvent } from './events.ts'
import type { GraphNode } from './graph.ts'
import type { Outcome } from './scheduler.ts'
import type { BaseContext, Needs, Progress } from './task.ts'

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
  emitNode(node: string, event: NodeEvent): void
  /** The engine's context with the surroundings added. */
  context(node: GraphNode, base: AnyContext): AnyContext
  decide(node: GraphNode, context: AnyContext): Verdict | Promise<Verdict>
  /** What a node returned as the value that flows on: checked, and plain data. Rejects with what is wrong with it. */
  value(node: GraphNode, returned: unknown): unknown
  /** The node has succeeded: remember it for the next run. */
  commit(node: GraphNode, context: AnyContext, value: unknown, durationMs: number): Promise<void> | undefined
  /** Ends whatever the node's try left behind; called after each end of a node that ran. */
  release(node: GraphNode, context: AnyContext, outcome: Outcome): Promise<void> | undefined
  /** Takes the node's locks across processes; gives what releases them, which never rejects. */
  lock?(node: GraphNode, signal: AbortSignal): Promise<() => Promise<void>>
  /** What was thrown by a task, as an error with a remedy. */
  failure(node: GraphNode, thrown: unknown): DevstackError
  /** Calls back, once, when nothing is left that could settle what a task awaits; gives what takes that back. */
  onStall?(listener: () => void): () => void
  /** Expected milliseconds, from earlier runs. */
  cost?(node: GraphNode): number | undefined
}

export interface ContextOptions {
  readonly runId: string
  readonly signal: AbortSignal
  /** Of the nodes that are needed, by id. */
  readonly values: ReadonlyMap<string, unknown>
  /** Default 1. */
  readonly attempt?: number
}

/** What a node's functions get. */
export function contextOf(node: GraphNode, host: Host, options: ContextOptions): AnyContext {
  const needs: Record<string, unknown> = Object.create(null)
  for (const need of node.needs) needs[need.key] = options.values.get(need.node)
  return host.context(node, {
    name: node.id,
    needs: needs as never,
    params: node.params,
    signal: options.signal,
    cwd: '',
    attempt: options.attempt ?? 1,
    runId: options.runId,
    log: (text: string) => host.emitNode(node.id, { type: 'node-output', stream: 'log', text: `${text}\n` }),
    progress: (progress: Progress) => host.emitNode(node.id, { type: 'node-progress', progress }),
  })
}
