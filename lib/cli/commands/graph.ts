import { buildGraph } from '../../engine/graph.ts'
import { formatGraph } from '../../report/graph.ts'
import { stepOf } from '../../session/plan.ts'
import { concealerOf } from '../../session/secrets.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack graph`: of one task, or of all that are not private. */
export async function command({ options, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(options, io)
  const { registry } = loaded
  const targets =
    operands[0] === undefined
      ? registry.entries().filter(({ task }) => !task.definition.private)
      : [registry.require(operands[0])]
  const graph = await buildGraph(targets, registry, concealerOf(loaded))
  const steps = graph.order.map((id) => stepOf(graph.nodes.get(id)!))
  const format = options.format === undefined || options.format === 'yaml' ? 'mermaid' : options.format
  io.stdout.write(`${formatGraph(steps, format).trimEnd()}\n`)
  return 0
}
