/** `devstack undo` as a run of its own, with a journal, so that it can be continued when it is killed. */

import type { LoadedConfig } from '../config/load.ts'
import type { RunEvent } from '../engine/events.ts'
import type { Graph } from '../engine/graph.ts'
import { undo } from '../engine/undo.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { stepOf } from '../session/plan.ts'
import { newRunId } from '../session/session.ts'
import { openJournal } from '../state/journal.ts'
import type { Options } from './args.ts'
import { hostOf, sinks } from './execute.ts'
import type { Io } from './io.ts'
import { openSession } from './open.ts'
import type { RunRecord } from './recorded.ts'
import { version } from './version.ts'

export interface ExecuteUndoOptions {
  readonly loaded: LoadedConfig
  readonly graph: Graph
  readonly options: Options
  readonly io: Io
  readonly runtime: Runtime
  readonly signal: AbortSignal
  /** The run to undo. */
  readonly runId: string
  /** Node ids in the order of their completion, those undone already left out. */
  readonly pending: readonly string[]
  readonly record: RunRecord
}

/** Undoes what can be undone; says what has no undo. Exit code 0, or that of the failure. */
export async function executeUndo(given: ExecuteUndoOptions): Promise<number> {
  const { graph, options, io, record, pending } = given
  const withUndo = pending.filter((id) => graph.nodes.get(id)!.definition.undo)
  if (withUndo.length === 0) {
    io.stdout.write(`Run ${given.runId} did nothing that can be undone${record.undone.size > 0 ? ' any more' : ''}.\n`)
    return 0
  }
  const sink = await sinks(options, io, false, (text) => text)
  const session = openSession({ ...given, suspend: () => sink.suspend() })
  if (!options.yes && session.terminal.interactive) {
    const list = [...withUndo].reverse().map((id) => `  ${id}`)
    if (!(await session.terminal.confirm(`Undo, in this order:\n${list.join('\n')}\nGo on?`))) return 1
  }
  const runId = newRunId()
  const journal = openJournal({ directory: session.project.stateDirectory, runId })
  const report = (event: RunEvent): void => {
    journal.report(event)
    sink.report(event)
  }
  const host = hostOf(session, given, {
    runId,
    traceId: '0'.repeat(32),
    report,
    persist: () => journal.flush(),
    memory: undefined,
  })
  const begun = Date.now()
  host.emit({
    type: 'run-started',
    format: 1,
    targets: record.targets.map(({ task, params }) => ({ task, params })),
    steps: [...withUndo].reverse().map((id) => ({ ...stepOf(graph.nodes.get(id)!), needs: [], cause: 'undo' })),
    traceId: '0'.repeat(32),
    concurrency: 1,
    version: version(),
    undoes: given.runId,
  })
  const values = new Map([...record.values].map(([id, { value }]) => [id, value] as const))
  const result = await undo(graph, { runId, signal: session.signal, completed: withUndo, values }, host)
  const state = result.error ? 'failed' : session.signal.aborted ? 'cancelled' : 'succeeded'
  host.emit({
    type: 'run-finished',
    state,
    durationMs: Date.now() - begun,
    summary: {
      done: result.undone.length,
      reused: 0,
      skipped: 0,
      failed: result.error ? 1 : 0,
      cancelled: withUndo.length - result.undone.length - (result.error ? 1 : 0),
    },
    criticalPath: [],
    criticalMs: 0,
  })
  await journal.close()
  await sink.close()
  return state === 'failed' ? result.error!.exitCode : state === 'cancelled' ? 130 : 0
}
