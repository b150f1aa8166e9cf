/** Whether the work of a node is still in place: what earlier runs left, and what the task itself sees. */
import type { Ambient } from '../context.ts'
import { checksum } from '../engine/checksum.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { AnyContext, Verdict } from '../engine/host.ts'
import type { Json } from '../engine/schema.ts'
import type { Memory } from './memory.ts'
import { recalled } from './value.ts'

/** Values that may be taken over, by node, with what led to them where that is known. */
export type Recorded = ReadonlyMap<
  string,
  { readonly value: Json; readonly fingerprint?: string; readonly cause?: string }
>

export interface DecideOptions {
  /** Run also what is unchanged. */
  readonly force: boolean
  readonly platform: string
  /** Records of inputs and outputs; undefined with `--no-cache`. */
  readonly memory: Memory | undefined
  /** Values of an interrupted run that may be taken over, by node. */
  readonly recorded?: Recorded
}

/** The decision about one node, whose needs are done. In the order: platform, the task's own look, records, recorded values. */
export async function decideNode(
  node: GraphNode,
  context: AnyContext & Ambient,
  options: DecideOptions,
): Promise<Verdict & { readonly differences?: readonly string[] }> {
  const { definition } = node
  if (definition.platforms && !definition.platforms.includes(options.platform)) {
    return { decision: 'skip', cause: `only for ${definition.platforms.join(', ')}; this is ${options.platform}` }
  }
  if (!definition.run) return { decision: 'run', cause: 'gathers what it needs' }
  if (definition.observe && !options.force) {
    const seen = await definition.observe(context)
    if (seen.state === 'fresh') return { decision: 'reuse', cause: seen.cause, value: seen.value }
    return { decision: 'run', cause: seen.cause, ...(seen.differences ? { differences: seen.differences } : {}) }
  }
  if (options.memory?.remembers(node)) return options.memory.check(node, context, { force: options.force })
  const fingerprint = identityOf(node, context)
  if (options.force) return { decision: 'run', cause: '--force', fingerprint }
  const recorded = options.recorded?.get(node.id)
  if (recorded) {
    if (recorded.fingerprint !== undefined && recorded.fingerprint !== fingerprint)
      return { decision: 'run', cause: 'its code, or what it needs, has changed since', fingerprint }
    const found = await recalled(definition.returns, recorded.value)
    if ('problem' in found) return { decision: 'run', cause: found.problem, fingerprint }
    return { decision: 'reuse', cause: recorded.cause ?? 'done in the run that is continued', value: found.value }
  }
  const cause =
    definition.effect === 'read'
      ? 'reads anew each time'
      : 'runs each time: it has no inputs and nothing that looks whether it is done'
  return { decision: 'run', cause, fingerprint }
}

/** What would run: its text, the values of its needs, and its params, of which the node's id does not show what is secret. */
function identityOf({ definition, params }: GraphNode, { needs }: AnyContext): string {
  return checksum(JSON.stringify([definition.source ?? String(definition.run), needs, params]))
}
