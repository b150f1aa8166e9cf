/** Undo: what a run did, taken back in reverse order of completion. */
import type { DevstackError } from '../errors.ts'
import { errorFact } from './events.ts'
import type { Graph } from './graph.ts'
import type { AnyContext, Host } from './runner.ts'

export interface UndoOptions {
  readonly runId: string
  readonly signal: AbortSignal
  /** Nodes in the order of their completion. */
  readonly completed: readonly string[]
  readonly values: ReadonlyMap<string, unknown>
}

export interface UndoResult {
  readonly undone: readonly string[]
  /** Completed nodes whose tasks have no undo. */
  readonly kept: readonly string[]
  readonly error?: DevstackError
}

/** Runs `undo` of each completed task, the last first. Stops at the first failure: what lies below it may be needed to try again. */
export async function undo(graph: Graph, options: UndoOptions, host: Host): Promise<UndoResult> {
  const undone: string[] = []
  const kept: string[] = []
  for (const id of [...options.completed].reverse()) {
    const node = graph.nodes.get(id)
    if (!node?.definition.undo) {
      kept.push(id)
      continue
    }
    if (options.signal.aborted) break
    const begun = host.now()
    host.emitNode(id, { type: 'undo-started' })
    const needs: Record<string, unknown> = Object.create(null)
    for (const need of node.needs) needs[need.key] = options.values.get(need.node)
    const context = host.context(node, {
      name: id,
      needs: needs as never,
      params: node.params,
      signal: options.signal,
      cwd: '',
      attempt: 1,
      runId: options.runId,
      log: (text) => host.emitNode(id, { type: 'node-output', stream: 'log', text: `${text}\n` }),
      progress: (progress) => host.emitNode(id, { type: 'node-progress', progress }),
    })
    try {
      await node.definition.undo(
        Object.assign(context, { value: options.values.get(id) }) as AnyContext & { value: unknown },
      )
    } catch (thrown) {
      const error = host.failure(node, thrown)
      host.emitNode(id, { type: 'undo-failed', error: errorFact(error) })
      await host.release(node, context, 'failed')
      await host.persist()
      return { undone, kept, error }
    }
    await host.release(node, context, 'succeeded')
    host.emitNode(id, { type: 'node-undone', durationMs: host.now() - begun })
    await host.persist()
    undone.push(id)
  }
  return { undone, kept }
}
