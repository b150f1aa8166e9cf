import type { Graph } from '../engine/graph.ts'

/** The chain of needs that took longest by measured time. */
export function criticalPath(
  graph: Graph,
  durations: ReadonlyMap<string, number>,
): { readonly nodes: readonly string[]; readonly durationMs: number } {
  const ends = new Map<string, { length: number; from: string | undefined }>()
  let last: string | undefined
  for (const id of graph.order) {
    let from: string | undefined
    let length = 0
    for (const need of graph.nodes.get(id)!.needs) {
      const before = ends.get(need.node)!
      if (before.length > length) {
        length = before.length
        from = need.node
      }
    }
    length += durations.get(id) ?? 0
    ends.set(id, { length, from })
    if (last === undefined || length > ends.get(last)!.length) last = id
  }
  const nodes: string[] = []
  const durationMs = last === undefined ? 0 : ends.get(last)!.length
  for (let id = last; id !== undefined; id = ends.get(id)!.from) nodes.push(id)
  return { nodes: nodes.reverse(), durationMs }
}
