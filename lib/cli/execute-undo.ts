/** `devstack undo` as a run of its own, with a journal, so that it can be continued when it is killed. */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { RunEvent } from '../engine/events.ts'
import type { Graph } from '../engine/graph.ts'
import type { Json } from '../engine/schema.ts'
import type { Sink } from '../report/index.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { stepOf } from '../session/plan.ts'
import { endStrays } from '../session/processes.ts'
import { takeRunLocks } from '../session/run-locks.ts'
import { graceOf, newRunId } from '../session/session.ts'
import { undo } from '../session/undo.ts'
import { openJournal } from '../state/journal.ts'
import { hostOf, sinks, takeOver } from './execute.ts'
import type { Io } from './io.ts'
import { openSession } from './open.ts'
import type { Options } from './options.ts'
import { endOrphansOf } from './orphans.ts'
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
  /** Node ids in the order of their completion, then those that were interrupted. */
  readonly pending: readonly string[]
  readonly record: RunRecord
  readonly values: ReadonlyMap<string, Json>
}

/** Undoes what can be undone; says what has no undo. Exit code 0, or that of the failure. */
export async function executeUndo(given: ExecuteUndoOptions): Promise<number> {
  const { graph, io, record, pending } = given
  const withUndo = pending.filter((id) => graph.nodes.get(id)!.definition.undo)
  if (withUndo.length === 0) {
    io.stdout.write(`Run ${given.runId} did nothing that can be undone${record.undone.size > 0 ? ' any more' : ''}.\n`)
    return 0
  }
  const runId = newRunId()
  const locks = await takeRunLocks(graph, {
    stateDirectory: join(given.loaded.directory, '.devstack'),
    runId,
    signal: given.signal,
    onWait: (text) => void io.stderr.write(`${text}\n`),
    onTakeOver: takeOver(given),
  })
  try {
    return await undoLocked(given, runId, withUndo)
  } finally {
    locks.release()
  }
}

async function undoLocked(given: ExecuteUndoOptions, runId: string, withUndo: readonly string[]): Promise<number> {
  const { graph, options, io, record, values } = given
  let sink: Required<Sink> | undefined
  const session = openSession({ ...given, suspend: () => sink?.suspend() ?? (() => {}) })
  const list = [...withUndo].reverse().map((id) => `  ${id}`)
  const question = `This undoes, in this order\n${list.join('\n')}\nGo on?`
  if (!options.yes && !(await session.terminal.confirm(question))) return 1
  await endOrphansOf(given.runId, given)
  const warn = (text: string): void => void io.stderr.write(`Warning: ${session.redactor.redact(text)}\n`)
  const journal = openJournal({ directory: session.project.stateDirectory, runId, warn })
  try {
    sink = await sinks(options, io, false, warn)
    const shown = sink
    const report = (event: RunEvent): void => {
      journal.report(event)
      shown.report(event)
    }
    const traceId = '0'.repeat(32)
    const host = hostOf(session, given, { runId, traceId, report, memory: undefined })
    const begun = Date.now()
    host.emit({
      type: 'run-started',
      format: 1,
      targets: record.targets.map(({ task, params }) => ({ task, params })),
      steps: [...withUndo].reverse().map((id) => ({ ...stepOf(graph.nodes.get(id)!), needs: [], cause: 'undo' })),
      traceId,
      concurrency: 1,
      version: version(),
      undoes: given.runId,
    })
    const unlisten = io.onSignal((name) => {
      host.emit({ type: 'note', level: 'warning', text: `${name}: ending what runs. devstack undo goes on with it.` })
    })
    const interrupted = new Set(record.interrupted)
    const uncertain = { interrupted, begun: record.undoBegun, masked: record.masked }
    const bounds = { signal: session.signal, graceMs: graceOf(given.loaded) }
    const undone = await undo(graph, { runId, ...bounds, completed: withUndo, values, ...uncertain }, host)
    unlisten()
    const state = session.signal.aborted ? 'cancelled' : undone.error ? 'failed' : 'succeeded'
    if (state === 'cancelled') await endStrays({ ...session, runId, spared: new Set() })
    const failed = undone.error ? 1 : 0
    const skipped = undone.kept.length
    const cancelled = withUndo.length - undone.undone.length - skipped - failed
    host.emit({
      type: 'run-finished',
      state,
      durationMs: Date.now() - begun,
      summary: { done: undone.undone.length, reused: 0, skipped, failed, cancelled },
      criticalPath: [],
      criticalMs: 0,
    })
    await journal.close()
    await shown.close()
    return state === 'failed' ? undone.error!.exitCode : state === 'cancelled' ? 130 : 0
  } catch (thrown) {
    sink?.restore()
    await journal.close()
    throw thrown
  }
}
