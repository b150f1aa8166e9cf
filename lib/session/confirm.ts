/** One confirmation for everything a run would destroy, before its first effect. */
import type { Graph } from '../engine/graph.ts'
import { contextOf, type Host } from '../engine/host.ts'
import { DevstackError } from '../errors.ts'
import type { Session } from './session.ts'

/**
 * Asks once, listing what each task of effect `destroy` says it destroys; a task that says nothing is destroyed is not
 * asked about, nor one that is `done` already. `--yes` answers. Throws CONFIRMATION_NEEDED without a terminal, CANCELLED on "no".
 */
export async function confirmDestruction(
  graph: Graph,
  session: Session,
  host: Host,
  done: { has(node: string): boolean } = new Set(),
): Promise<void> {
  const lines: string[] = []
  for (const id of graph.order) {
    const node = graph.nodes.get(id)!
    const { definition } = node
    if (definition.effect !== 'destroy' || done.has(id)) continue
    const context = contextOf(node, host, { runId: '', signal: session.signal, values: new Map() })
    const destroyed = definition.destroys
      ? await definition.destroys(context as never)
      : [definition.description ?? 'something']
    if (destroyed.length === 0) continue
    lines.push(`${id}:`, ...destroyed.map((line) => `  ${line}`))
  }
  if (lines.length === 0) return
  const list = lines.map((line) => `  ${line}`).join('\n')
  if (session.flags.yes) return
  const yes = await session.terminal.confirm(`This destroys\n${list}\nGo on?`)
  if (!yes) {
    throw new DevstackError({ kind: 'cancelled', code: 'CANCELLED', message: 'Nothing was changed.', exitCode: 1 })
  }
}
