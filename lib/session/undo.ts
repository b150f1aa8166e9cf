/** Undo: what a run did, taken back in reverse order of completion. */
import { type Bounds, bounded } from '../engine/attempt.ts'
import { errorFact } from '../engine/events.ts'
import type { Graph, GraphNode } from '../engine/graph.ts'
import { type AnyContext, contextOf, type Host } from '../engine/host.ts'
import type { Observation } from '../engine/task.ts'
import { DevstackError } from '../errors.ts'
import { settling } from './stall.ts'

export interface UndoOptions {
  readonly runId: string
  readonly signal: AbortSignal
  /** How long an undo may take to end after the signal; then it is given up, and has failed. Default 15 s. */
  readonly graceMs?: number
  /** Nodes in the order of their completion. */
  readonly completed: readonly string[]
  readonly values: ReadonlyMap<string, unknown>
  /** Nodes among them that were killed before their end was recorded: they are undone if they find their work in place. */
  readonly interrupted?: ReadonlySet<string>
  /** Nodes whose undo was begun before, and killed: one that fails now has been undone when its work is gone. */
  readonly begun?: ReadonlySet<string>
  /** Nodes whose value is not known, since it held a secret: a task that asks for one as its need fails. */
  readonly masked?: ReadonlySet<string>
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
    const context = contextOf(node, host, options)
    if (options.masked) hideMasked(node, context, graph, options.masked)
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
      const whole = Object.assign(context, { value }) as AnyContext & { value: unknown }
      const undoing = bounded(boundsOf(node, options), () => node.definition.undo!(whole))
      await settling(`The undo of task "${id}"`, Promise.resolve(undoing))
      ended = true
    } catch (thrown) {
      const gone = options.begun?.has(id) && (await observe().catch(() => undefined))?.state === 'stale'
      if (!gone) {
        const error = host.failure(node, thrown)
        host.emitNode(id, { type: 'undo-failed', error: errorFact(error) })
        await host.release(node, context, 'failed')
        return { undone, kept, error }
      }
    }
    await host.release(node, context, ended ? 'succeeded' : 'failed')
    host.emitNode(id, { type: 'node-undone', durationMs: host.now() - begun })
    undone.push(id)
  }
  return { undone, kept }
}

function boundsOf({ id }: GraphNode, { signal, graceMs = 15_000 }: UndoOptions): Bounds {
  return { what: `The undo of task "${id}"`, signal, limitMs: undefined, graceMs }
}

/** Types promise a need's value, so what is not the value is not handed out. */
function hideMasked(node: GraphNode, { needs }: AnyContext, graph: Graph, masked: ReadonlySet<string>): void {
  for (const need of node.needs) {
    const needed = graph.nodes.get(need.node)!
    const source = needed.edge ? needed.needs[0]!.node : needed.id
    if (!masked.has(source)) continue
    const get = (): never => {
      throw maskedValue(source)
    }
    Object.defineProperty(needs, need.key, { get, enumerable: true })
  }
}

/** Undo wants a value that no journal has. */
export function maskedValue(node: string): DevstackError {
  return new DevstackError({
    kind: 'usage',
    code: 'UNDO_MASKED_VALUE',
    message: `The undo needs the value of "${node}", which held a secret and was masked in the journal.`,
    hint: 'Undo it by hand; let the task return what its undo needs without the secret, and undo works the next time.',
  })
}
