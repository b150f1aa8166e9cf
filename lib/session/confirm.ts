/** One confirmation for everything a run would destroy, and for what its tasks ask, before its first effect. */
import type { Graph, GraphNode } from '../engine/graph.ts'
import { contextOf, type Host } from '../engine/host.ts'
import { DevstackError } from '../errors.ts'
import type { Session } from './session.ts'

/**
 * Asks once, listing what each task of effect `destroy` says it destroys and what each `confirm` says; a task that says
 * nothing is destroyed is not asked about, nor one that is `done` already. `--yes` answers. Throws CONFIRMATION_NEEDED without a terminal, CANCELLED on "no".
 */
export async function confirmDestruction(
  graph: Graph,
  session: Session,
  host: Host,
  done: { has(node: string): boolean } = new Set(),
): Promise<void> {
  const lines: string[] = []
  const asked: string[] = []
  for (const id of graph.order) {
    const node = graph.nodes.get(id)!
    if (done.has(id)) continue
    const { confirm } = node.definition
    if (confirm !== undefined) asked.push(`${id}: ${confirm}`)
    const destroyed = await destroyedBy(node, host, session.signal)
    if (destroyed.length === 0) continue
    lines.push(`${id}:`, ...destroyed.map((line) => `  ${line}`))
  }
  if (session.flags.yes || lines.length + asked.length === 0) return
  const destroyed = lines.length === 0 ? [] : ['This destroys', ...lines.map((line) => `  ${line}`)]
  const yes = await session.terminal.confirm([...destroyed, ...asked, 'Go on?'].join('\n'))
  if (!yes) {
    throw new DevstackError({ kind: 'cancelled', code: 'CANCELLED', message: 'Nothing was changed.', exitCode: 1 })
  }
}

/** What a node would destroy, a line each; nothing when it has another effect. Looks, and changes nothing. */
export async function destroyedBy(node: GraphNode, host: Host, signal: AbortSignal): Promise<readonly string[]> {
  const { definition } = node
  if (definition.effect !== 'destroy') return []
  if (!definition.destroys) return [definition.description ?? 'something']
  return definition.destroys(contextOf(node, host, { runId: '', signal, values: new Map() }) as never)
}
