import type { Step } from '../../engine/events.ts'
import { buildGraph, type GraphNode } from '../../engine/graph.ts'
import { toDevstackError } from '../../errors.ts'
import { formatGraph } from '../../report/graph.ts'
import { stepOf } from '../../session/plan.ts'
import { concealerOf } from '../../session/secrets.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

type Loaded = Awaited<ReturnType<typeof openConfig>>

/** `devstack graph`: of one task, or of all that are not private. */
export async function command({ options, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(options, io)
  const steps = operands[0] === undefined ? await stepsOfAll(loaded) : await stepsOf(loaded, operands[0])
  const format = options.format === undefined || options.format === 'yaml' ? 'mermaid' : options.format
  io.stdout.write(`${formatGraph(steps, format).trimEnd()}\n`)
  return 0
}

async function nodesOf(loaded: Loaded, name: string): Promise<readonly GraphNode[]> {
  const { registry } = loaded
  const { nodes, order } = await buildGraph([registry.require(name)], registry, concealerOf(loaded))
  return order.map((id) => nodes.get(id)!)
}

async function stepsOf(loaded: Loaded, name: string): Promise<readonly Step[]> {
  return (await nodesOf(loaded, name)).map(stepOf)
}

/** One picture of a graph for each task: two of them may have different services of one name, as `up` and `up --fast` have. */
async function stepsOfAll(loaded: Loaded): Promise<readonly Step[]> {
  const { registry } = loaded
  const known = new Map<string, GraphNode>()
  const steps = new Map<string, Step>()
  for (const { name, task } of registry.entries()) {
    if (task.definition.private) continue
    const nodes = await nodesOf(loaded, name).catch((thrown: unknown): readonly GraphNode[] => {
      if (toDevstackError(thrown).kind === 'graph') throw thrown
      // what it needs depends on params that it requires
      return [{ id: name, name, task, definition: task.definition, params: {}, needs: [] }]
    })
    const renamed = new Map<string, string>()
    for (const node of nodes) {
      const step = stepOf(node)
      const other = known.get(node.id)
      const differs = other !== undefined && other.task !== node.task && !(other.edge && node.edge)
      if (differs || (node.id !== name && step.needs.some((need) => renamed.has(need))))
        renamed.set(node.id, `${node.id} of ${name}`)
      else known.set(node.id, node)
      const id = renamed.get(node.id) ?? node.id
      if (!steps.has(id))
        steps.set(id, { ...step, node: id, needs: step.needs.map((need) => renamed.get(need) ?? need) })
    }
  }
  return [...steps.values()]
}
