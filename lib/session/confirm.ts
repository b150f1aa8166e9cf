/** One confirmation for everything a run would destroy, and for what its tasks ask, before its first effect. */
import type { Step } from '../engine/events.ts'
import type { Graph } from '../engine/graph.ts'
import type { Host } from '../engine/host.ts'
import { DevstackError } from '../errors.ts'
import { destroyedBy, isPassive } from './plan.ts'
import type { Session } from './session.ts'

/**
 * Asks once, listing what each task of effect `destroy` says it destroys and what each `confirm` says; a task that says
 * nothing is destroyed is not asked about, nor one that certainly does not run. The plan is made when there is something to
 * ask; without one (it rejects) everything is asked about. `--yes` answers. Throws CONFIRMATION_NEEDED without a terminal,
 * CANCELLED on "no".
 */
export async function confirmDestruction(
  graph: Graph,
  session: Session,
  host: Host,
  plan: () => Promise<readonly Step[]>,
): Promise<void> {
  const questions: Question[] = []
  for (const id of graph.order) {
    const node = graph.nodes.get(id)!
    const { confirm } = node.definition
    const destroyed = await destroyedBy(node, host, session.signal)
    if (destroyed.length > 0 || confirm !== undefined) questions.push({ id, destroyed, confirm })
  }
  if (session.flags.yes || questions.length === 0) return
  const idle = idleNodes(graph, await plan().catch(() => []))
  const open = questions.filter(({ id }) => !idle.has(id))
  if (open.length === 0) return
  const lines = open.flatMap(({ id, destroyed }) =>
    destroyed.length === 0 ? [] : [`  ${id}:`, ...destroyed.map((line) => `    ${line}`)],
  )
  const asked = open.flatMap(({ id, confirm }) => (confirm === undefined ? [] : [`${id}: ${confirm}`]))
  const heading = lines.length === 0 ? [] : ['This destroys']
  const yes = await session.terminal.confirm([...heading, ...lines, ...asked, 'Go on?'].join('\n'))
  if (!yes) {
    throw new DevstackError({ kind: 'cancelled', code: 'CANCELLED', message: 'Nothing was changed.', exitCode: 1 })
  }
}

interface Question {
  readonly id: string
  readonly destroyed: readonly string[]
  readonly confirm: string | undefined
}

/** Nodes that do not run whatever happens: skipped ones, and reused ones that need nothing that would run. */
function idleNodes(graph: Graph, steps: readonly Step[]): ReadonlySet<string> {
  const idle = new Set<string>()
  const unsettled = new Set<string>()
  for (const { node, needs, decision } of steps) {
    const isOpen = needs.some((need) => unsettled.has(need))
    const runs = decision === 'run'
    if (decision !== 'skip' && (isOpen || (runs && !isPassive(graph.nodes.get(node)!)))) unsettled.add(node)
    else if (!runs) idle.add(node)
  }
  return idle
}
