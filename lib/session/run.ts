/** A whole run: the graph, what a failure takes back by itself, and the event that ends it. */
import type { Graph } from '../engine/graph.ts'
import { type RunOptions, type RunResult, run } from '../engine/runner.ts'
import { criticalPath } from './critical-path.ts'
import type { SessionHost } from './host.ts'
import { undo } from './undo.ts'

/** Runs the graph to its end; the tasks of a failed run that say `undoOn: 'on-failure'` are undone before that is told. */
export async function runWhole(graph: Graph, options: RunOptions, host: SessionHost): Promise<RunResult> {
  const begun = host.now()
  const result = await run(graph, options, host)
  const { state, summary, values } = result
  if (state === 'failed') {
    const completed = result.completed.filter((id) => graph.nodes.get(id)!.definition.undoOn === 'on-failure')
    await undo(graph, { ...options, completed, values }, host)
  }
  const { nodes, durationMs } = criticalPath(graph, result.durations)
  host.emit({
    type: 'run-finished',
    state,
    durationMs: host.now() - begun,
    summary,
    criticalPath: nodes,
    criticalMs: durationMs,
  })
  return result
}
