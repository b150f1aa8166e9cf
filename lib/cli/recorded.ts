/** Runs of the past, read from their journals: to show, continue or undo them. */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { RunEvent } from '../engine/events.ts'
import type { Graph } from '../engine/graph.ts'
import type { Json } from '../engine/schema.ts'
import { DevstackError } from '../errors.ts'
import { mask } from '../report/redact.ts'
import { maskedValue } from '../session/undo.ts'
import { journalFile } from '../state/journal-files.ts'
import { listRuns, type RunInfo, readJournal } from '../state/runs.ts'
import type { Options } from './options.ts'
import { type TaskTarget, validateParams } from './params.ts'
import { usage } from './usage.ts'

export interface RunRecord {
  readonly events: readonly RunEvent[]
  readonly targets: readonly { readonly task: string; readonly params: Readonly<Record<string, Json>> }[]
  /** Options of the command line that a run which continues this one takes over. */
  readonly asked: Pick<Options, 'concurrency' | 'failureMode' | 'cache' | 'backup'>
  /** Values of what succeeded, here or in the runs that this one continued. */
  readonly values: ReadonlyMap<string, { readonly value: Json; readonly fingerprint?: string }>
  /** Every value that flowed on, also from what was reused; for undo. */
  readonly flowed: ReadonlyMap<string, Json>
  /** Nodes whose value held a secret: what stands in the journal is not the value. */
  readonly masked: ReadonlySet<string>
  /** Node ids in the order of their completion, those undone since left out. */
  readonly completed: readonly string[]
  /** Started, and killed or failed before their success was recorded; in the order of their start. */
  readonly interrupted: readonly string[]
  /** What has been undone since. */
  readonly undone: ReadonlySet<string>
  /** Whose undo was started, and its end never recorded. */
  readonly undoBegun: ReadonlySet<string>
}

/** The run whose id begins or ends with `id`; without one the latest, which may be one that undid another. Throws RUN_NONE, RUN_UNKNOWN, RUN_AMBIGUOUS. */
export function findRun(loaded: LoadedConfig, id: string | undefined): RunInfo {
  const runs = listRuns(stateOf(loaded))
  if (id === undefined) {
    const latest = runs[0]
    if (latest) return latest
    throw usage('RUN_NONE', 'There is no run yet.', 'devstack run <task> makes one.')
  }
  const matching = runs.filter(({ runId }) => runId.startsWith(id) || runId.endsWith(id))
  if (matching.length === 1) return matching[0]!
  if (matching.length === 0) throw usage('RUN_UNKNOWN', `There is no run "${id}".`, 'devstack runs lists them.')
  const names = matching.slice(0, 5).map(({ runId }) => runId)
  throw usage('RUN_AMBIGUOUS', `"${id}" could be ${names.join(', ')}.`, 'Give more of the id.')
}

/** Runs that are looked through, for a node's last end or for something that can be taken back. */
const searched = 20

/** A run that did not succeed; without an id the latest run, if it is one. */
export function findResumable(loaded: LoadedConfig, id: string | undefined): RunInfo {
  const info = findRun(loaded, id)
  if (info.state === 'running') {
    throw usage(
      'RUN_RUNNING',
      `Run ${info.runId} is still going on.`,
      'Wait for it, or end it with Ctrl-C in its terminal.',
    )
  }
  if (info.state === 'succeeded') {
    throw usage(
      'RUN_SUCCEEDED',
      `Run ${info.runId} has succeeded; there is nothing to continue.`,
      'devstack runs lists the others.',
    )
  }
  if (info.undoes !== undefined) {
    throw usage(
      'RUN_IS_UNDO',
      `Run ${info.runId} undid ${info.undoes}.`,
      `Go on with it by: devstack undo ${info.undoes}`,
    )
  }
  return info
}

/**
 * Runs that may be taken back, the newest first; with an id that one alone. Throws as `findRun` does, and RUN_RUNNING when
 * the first of them still goes on.
 */
export function findUndoable(loaded: LoadedConfig, id: string | undefined): readonly RunInfo[] {
  const latest = id === undefined ? listRuns(stateOf(loaded)).filter(({ undoes }) => undoes === undefined) : []
  const found = latest.length > 0 ? latest.slice(0, searched) : [findRun(loaded, id)]
  const { state, runId } = found[0]!
  if (state === 'running') throw usage('RUN_RUNNING', `Run ${runId} is still going on.`, 'Wait for its end.')
  return found
}

/** Everything about a run, with what it continued. `warn` hears of a torn journal; with `repair` (default no) it is mended. */
export function readRun(
  loaded: LoadedConfig,
  runId: string,
  warn: (text: string) => void,
  options: { readonly repair?: boolean } = {},
): RunRecord {
  const directory = stateOf(loaded)
  const { events, warning } = readJournal(journalFile(directory, runId), options)
  if (warning) warn(warning)
  const started = events[0]
  if (started?.type !== 'run-started') {
    throw new DevstackError({
      kind: 'usage',
      code: 'RUN_EMPTY',
      message: `The journal of run ${runId} holds no run: it was ended before it began.`,
      hint: 'Start the task again with devstack run.',
    })
  }
  const before = started.continues === undefined ? undefined : readRun(loaded, started.continues, warn, options)
  const values = new Map(before?.values)
  const flowed = new Map(before?.flowed)
  const masked = new Set(before?.masked)
  const completed = new Set(before?.completed)
  const interrupted = new Set(before?.interrupted)
  const undone = new Set(before?.undone)
  const undoBegun = new Set(before?.undoBegun)
  for (const event of [...events, ...undoesOf(directory, runId)]) {
    if (event.node === undefined) continue
    const { node } = event
    if (event.type === 'node-done' || event.type === 'node-ready' || event.type === 'node-reused') {
      if (isMasked(event.value)) masked.add(node)
      else masked.delete(node)
      flowed.set(node, event.value)
    }
    if (event.type === 'node-started') interrupted.add(node)
    else if (event.type === 'undo-started') undoBegun.add(node)
    else if (event.type === 'node-done' || event.type === 'node-ready') {
      completed.delete(node)
      completed.add(node)
      for (const set of [interrupted, undone, undoBegun]) set.delete(node)
      // a masked value is not the value: such a task runs again
      if (masked.has(node)) continue
      const fingerprint = event.type === 'node-done' ? event.fingerprint : undefined
      values.set(node, { value: event.value, ...(fingerprint === undefined ? {} : { fingerprint }) })
    } else if (event.type === 'node-undone') {
      undone.add(node)
      for (const set of [completed, interrupted, undoBegun]) set.delete(node)
      values.delete(node)
    }
  }
  return {
    events,
    targets: started.targets.map(({ task, params }) => ({ task, params: params as Record<string, Json> })),
    asked: started.asked ?? before?.asked ?? {},
    values,
    flowed,
    masked,
    completed: [...completed],
    interrupted: [...interrupted],
    undone,
    undoBegun,
  }
}

/** What was done to take the run back, the first undo first. */
function undoesOf(directory: string, runId: string): readonly RunEvent[] {
  return listRuns(directory)
    .filter(({ undoes }) => undoes === runId)
    .reverse()
    .flatMap((info) => readJournal(info.file).events.filter(({ type }) => /^(undo-started|node-undone)$/.test(type)))
}

/** How a node failed when it last came to an end. */
export interface LastFailure {
  readonly runId: string
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly message: string
}

/** Those of the nodes whose last end was a failure. Journals that can not be read tell nothing. */
export function lastFailures(loaded: LoadedConfig, nodes: Iterable<string>): ReadonlyMap<string, LastFailure> {
  const failures = new Map<string, LastFailure>()
  const open = new Set(nodes)
  for (const info of listRuns(stateOf(loaded)).slice(0, searched)) {
    if (info.undoes !== undefined) continue
    for (const event of readableEvents(info.file).toReversed()) {
      if (event.node === undefined || !open.has(event.node)) continue
      if (!/^node-(done|ready|reused|failed)$/.test(event.type)) continue
      open.delete(event.node)
      if (event.type === 'node-failed')
        failures.set(event.node, { runId: info.runId, at: event.at, message: event.error.message })
    }
    if (open.size === 0) break
  }
  return failures
}

function readableEvents(file: string): readonly RunEvent[] {
  try {
    return readJournal(file).events
  } catch {
    return []
  }
}

/** The targets of a recorded run, validated against today's config. Throws RUN_MASKED_PARAM when one was masked. */
export function recordedTargets(record: RunRecord, loaded: LoadedConfig): Promise<readonly TaskTarget[]> {
  for (const { task, params } of record.targets) {
    const masked = Object.keys(params).find((key) => isMasked(params[key]!))
    if (masked === undefined) continue
    throw usage(
      'RUN_MASKED_PARAM',
      `The param "${masked}" of task "${task}" is a secret and was masked in the journal, so the run can not be continued or undone.`,
      `To run it again, give the param again: devstack run ${task} ...`,
    )
  }
  return targetsNamed(
    record.targets.map(({ task, params }) => ({ name: task, input: params })),
    loaded,
  )
}

/**
 * The values that the undo of these nodes gets. Throws UNDO_MASKED_VALUE when the journal does not have a node's own; a task
 * whose undo takes nothing does without.
 */
export function valuesToUndo(record: RunRecord, graph: Graph, pending: readonly string[]): ReadonlyMap<string, Json> {
  const interrupted = new Set(record.interrupted)
  for (const id of pending) {
    const { undo } = graph.nodes.get(id)!.definition
    if (undo && undo.length > 0 && record.masked.has(id) && !interrupted.has(id)) throw maskedValue(id)
  }
  const values = new Map(record.flowed)
  for (const { id, edge, needs } of graph.nodes.values()) {
    // an edge passes on what its task has told already
    const passed = edge ? values.get(needs[0]!.node) : undefined
    if (passed !== undefined) values.set(id, passed)
  }
  return values
}

/** Targets by name with params as they were typed, validated against this config. */
export async function targetsNamed(
  named: readonly { readonly name: string; readonly input: Readonly<Record<string, Json>> }[],
  loaded: LoadedConfig,
): Promise<readonly TaskTarget[]> {
  const targets: TaskTarget[] = []
  for (const { name, input } of named) {
    const { task } = loaded.registry.require(name)
    const schema = task.definition.params
    const params = schema ? await validateParams({ task: name, schema, input }) : input
    targets.push({ name, task, input, params: params as Record<string, unknown> })
  }
  return targets
}

/** Whether something in it was masked when it was written. */
function isMasked(value: Json): boolean {
  return JSON.stringify(value).includes(mask)
}

function stateOf(loaded: LoadedConfig): string {
  return join(loaded.directory, '.devstack')
}
