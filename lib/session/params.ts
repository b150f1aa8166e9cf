/** Fills in the params of tasks that are needed rather than named on the command line. */
import type { Graph, GraphNode } from '../engine/graph.ts'
import { describeIssue } from '../engine/value.ts'
import { DevstackError } from '../errors.ts'

/**
 * The graph with every node's params checked and defaulted by its schema. Targets keep what the command line made of
 * theirs. Throws CONFIG_BAD_PARAMS naming the task and the param.
 */
export async function withParams(graph: Graph): Promise<Graph> {
  const given = new Set(graph.targets)
  const nodes = new Map(graph.nodes)
  for (const node of graph.nodes.values()) {
    if (node.edge || given.has(node.id) || !node.definition.params) continue
    const result = await node.definition.params['~standard'].validate(node.params)
    if (result.issues) throw badParams(node, result.issues.map(describeIssue).join('; '))
    nodes.set(node.id, { ...node, params: result.value as Record<string, unknown> })
  }
  return { ...graph, nodes }
}

function badParams(node: GraphNode, problem: string): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_BAD_PARAMS',
    message: `The params given to the needed task "${node.name}" do not fit: ${problem}.`,
    hint: 'Give them with after(task, { params: { ... } }), or give the param a default.',
  })
}
