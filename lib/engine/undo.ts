/** Undo: what a run did, taken back in reverse order of completion. */
import type { DevstackError } from '../errors.ts'
import { errorFact } from './events.ts'
import type { Graph, GraphNode } from './graph.ts'
import type { AnyContext, Host } from './host.ts'
import { paced } from './progress.ts'
import type { Observation } from './task.ts'

export interface UndoOptions {
  readonly runId: string
  readonly signal: AbortSignal
  /** Nodes in the order of their completion. */
  readonly completed: readonly string[]
  readonly values: ReadonlyMap<string, unknown>
  /** Nodes among them that were killed before their end was recorded: they are undone if they find their work in place. */
  readonly interrupted?: ReadonlySet<string>
  /** Nodes whose undo was begun before, and killed: one that fails now has been undone when its work is gone. */
  readonly begun?: ReadonlySet<string>
}

export interface UndoResult {
  readonly undone: readonly string[]
  /** Completed nodes whose tasks have no undo, or whose work was not in place. */
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
    const context = contextOf(node, options, host)
    const observe = async (): Promise<Observation | undefined> => node.definition.observe?.(context)
    let ended = false
    try {
      let value = options.values.get(id)
      if (options.interrupted?.has(id)) {
        const seen = await observe()
        if (seen?.state !== 'fresh') {
          const cause = seen ? seen.cause : 'nothing tells whether it had done its work'
          host.emitNode(id, { type: 'node-skipped', cause: `was interrupted, and is not undone: ${cause}` })
          kept.push(id)
          continue
        }
        value = seen.value
      }
      host.emitNode(id, { type: 'undo-started' })
      await host.persist()
      await node.definition.undo(Object.assign(context, { value }) as AnyContext & { value: unknown })
      ended = true
    } catch (thrown) {
      const gone = options.begun?.has(id) && (await observe().catch(() => undefined))?.state === 'stale'
      if (!gone) {
        const error = host.failure(node, thrown)
        host.emitNode(id, { type: 'undo-failed', error: errorFact(error) })
        await host.release(node, context, 'failed')
        await host.persist()
        return { undone, kept, error }
      }
    }
    await host.release(node, context, ended ? 'succeeded' : 'failed')
    host.emitNode(id, { type: 'node-undone', durationMs: host.now() - begun })
    await host.persist()
    undone.push(id)
  }
  return { undone, kept }
}

function contextOf(node: GraphNode, options: UndoOptions, host: Host): AnyContext {
  const { id } = node
  const needs: Record<string, unknown> = Object.create(null)
  for (const need of node.needs) needs[need.key] = options.values.get(need.node)
  return host.context(node, {
    name: id,
    needs: needs as never,
    params: node.params,
    signal: options.signal,
    cwd: '',
    attempt: 1,
    runId: options.runId,
    log: (text) => host.emitNode(id, { type: 'node-output', stream: 'log', text: `${text}\n` }),
    progress: paced(
      (progress) => host.emitNode(id, { type: 'node-progress', progress }),
      () => host.now(),
    ),
  })
}
