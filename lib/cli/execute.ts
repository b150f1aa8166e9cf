/** Runs a graph for a person: confirmation, journal, reporters, run, undo on failure, exit code. */
import { randomBytes } from 'node:crypto'
import type { LoadedConfig } from '../config/load.ts'
import type { Ambient } from '../context.ts'
import type { Reporter, RunEvent, Step } from '../engine/events.ts'
import type { Graph, GraphNode } from '../engine/graph.ts'
import { type AnyContext, type Host, type RunResult, run } from '../engine/runner.ts'
import type { Json } from '../engine/task.ts'
import { undo } from '../engine/undo.ts'
import { DevstackError, formatError } from '../errors.ts'
import { combine, createReporter, type Sink } from '../report/index.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { confirmDestruction } from '../session/confirm.ts'
import { decideNode } from '../session/decide.ts'
import { createHost } from '../session/host.ts'
import { openLockHost } from '../session/lock.ts'
import type { Memory } from '../session/memory.ts'
import { openMemory } from '../session/open-memory.ts'
import { stepOf } from '../session/plan.ts'
import { newRunId, type Session } from '../session/session.ts'
import { readDurations, recordDurations } from '../state/durations.ts'
import { openJournal } from '../state/journal.ts'
import type { Options } from './args.ts'
import type { Io } from './io.ts'
import { openSession } from './open.ts'
import { version } from './version.ts'

export interface ExecuteOptions {
  readonly loaded: LoadedConfig
  readonly graph: Graph
  readonly targets: readonly { readonly name: string; readonly input: Readonly<Record<string, Json>> }[]
  readonly options: Options
  readonly io: Io
  readonly runtime: Runtime
  readonly signal: AbortSignal
  readonly continues?: string
  readonly recorded?: ReadonlyMap<string, { readonly value: Json; readonly fingerprint?: string }>
}

export interface Executed {
  readonly exitCode: number
  readonly result: RunResult
  readonly runId: string
}

/** Runs the graph to its end and tells how it went. Rejects only before the first effect. */
export async function execute(given: ExecuteOptions): Promise<Executed> {
  const { graph, options, io } = given
  const quiet = [...graph.nodes.values()].every((node) => node.definition.interactive || node.edge)
  let sink: Required<Sink> | undefined
  const session = openSession({ ...given, suspend: () => sink?.suspend() ?? (() => {}) })
  const runId = newRunId()
  const traceId = traceIdOf(io)
  await recoverPacks(session, io)
  await confirmDestruction(
    graph,
    session,
    hostOf(session, given, { runId, traceId, report: () => {}, persist: () => undefined, memory: undefined }),
  )
  const journal = openJournal({
    directory: session.project.stateDirectory,
    runId,
    warn: (text) => io.stderr.write(`Warning: ${text}\n`),
  })
  sink = await sinks(options, io, quiet, (text) => session.redactor.redact(text))
  const durations = new Map<string, number>()
  const interactive = interactiveSuspender(graph, sink)
  const report = (event: RunEvent): void => {
    journal.report(event)
    interactive(event)
    sink?.report(event)
    if (event.node !== undefined && 'durationMs' in event && event.type !== 'node-failed')
      durations.set(event.node, event.durationMs)
  }
  const memory = await openMemory(session, graph, { readOnly: false })
  const durable = needsSync(graph)
  const host = hostOf(session, given, {
    runId,
    traceId,
    report,
    memory,
    persist: () => (durable ? journal.flush() : undefined),
  })
  host.emit({
    type: 'run-started',
    format: 1,
    targets: given.targets.map(({ name, input }) => ({ task: name, params: input })),
    steps: graph.order.map((id): Step => stepOf(graph.nodes.get(id)!)),
    traceId,
    concurrency: concurrencyOf(given),
    version: version(),
    ...(given.continues === undefined ? {} : { continues: given.continues }),
  })
  io.onSignal((name, count) => {
    const text = count === 1 ? `${name}: ending what runs; again to hurry.` : `${name} again: ending what runs at once.`
    host.emit({ type: 'note', level: 'warning', text })
  })
  const result = await run(
    graph,
    {
      runId,
      concurrency: concurrencyOf(given),
      mode: options.failureMode ?? 'fail-fast',
      signal: session.signal,
      graceMs: graceOf(session),
    },
    host,
  )
  if (result.state === 'failed') await compensate(graph, result, host, session, runId)
  memory?.close()
  await journal.close()
  await sink.close()
  recordDurations(session.project.stateDirectory, durations)
  if (quiet && result.error) io.stderr.write(`Error: ${session.redactor.redact(formatError(result.error))}\n`)
  const exitCode =
    result.state === 'cancelled'
      ? timedOut(session.signal)
        ? 3
        : 130
      : result.state === 'failed'
        ? result.error!.exitCode
        : 0
  return { exitCode, result, runId }
}

/** Slots: the command line's, else the config's, else one for each processor. */
export function concurrencyOf(given: Pick<ExecuteOptions, 'options' | 'loaded'>): number {
  return given.options.concurrency ?? given.loaded.config.concurrency ?? navigator.hardwareConcurrency
}

interface HostParts {
  readonly runId: string
  readonly traceId: string
  readonly report: (event: RunEvent) => void
  readonly persist: () => Promise<void> | undefined
  readonly memory: Memory | undefined
}

/** The host of a run of this session. */
export function hostOf(session: Session, given: Pick<ExecuteOptions, 'recorded' | 'graph'>, parts: HostParts): Host {
  const durations = readDurations(session.project.stateDirectory)
  const { memory } = parts
  const host = createHost({
    session,
    ...parts,
    cost: (node) => durations.get(node.id),
    lock: openLockHost(session, parts.runId, (node, event) => host.emitNode(node, event)),
    decide: (node, context) =>
      plain(node) ??
      decideNode(node, context, {
        force: session.force,
        platform: process.platform,
        memory,
        ...(given.recorded ? { recorded: given.recorded } : {}),
      }),
    commit: (node, context, value, durationMs) =>
      memory?.remembers(node) ? memory.commit(node, context, value, durationMs) : undefined,
  })
  return host
}

/** The common case without a promise: nothing to compare, nothing to observe. */
function plain(node: GraphNode): { readonly decision: 'run'; readonly cause: string } | undefined {
  const { definition } = node
  return definition.run || definition.platforms ? undefined : { decision: 'run', cause: 'gathers what it needs' }
}

/** Output alone needs no fsync: only a graph that changes something can be resumed or undone. */
function needsSync(graph: Graph): boolean {
  for (const node of graph.nodes.values()) if (node.definition.run && node.definition.effect !== 'read') return true
  return false
}

/** What shows the run, and the files it is written to. */
export async function sinks(
  options: Options,
  io: Io,
  quiet: boolean,
  redact: (text: string) => string,
): Promise<Required<Sink>> {
  const all: Sink[] = []
  const renderer = options.json && !quiet ? 'json' : (options.renderer ?? (quiet ? 'silent' : 'auto'))
  all.push(
    await createReporter({
      renderer,
      stdout: io.stdout,
      stderr: io.stderr,
      environment: io.environment,
      verbose: options.verbose ?? false,
      quiet: options.quiet ?? false,
    }),
  )
  const { fileReporters } = await import('./files.ts')
  all.push(...(await fileReporters(options, io)))
  return combine(all, (message) => io.stderr.write(`${redact(message)}\n`))
}

/** Gives the terminal to interactive tasks while they run. */
function interactiveSuspender(graph: Graph, sink: Required<Sink>): Reporter['report'] {
  let resume: (() => void) | undefined
  return (event) => {
    if (event.node === undefined || !graph.nodes.get(event.node)?.definition.interactive) return
    if (event.type === 'node-started') resume ??= sink.suspend()
    else if (/^node-(done|failed|cancelled|ready)$/.test(event.type)) {
      resume?.()
      resume = undefined
    }
  }
}

async function compensate(graph: Graph, result: RunResult, host: Host, session: Session, runId: string): Promise<void> {
  const completed = result.completed.filter((id) => graph.nodes.get(id)!.definition.undoOn === 'on-failure')
  if (completed.length === 0) return
  await undo(graph, { runId, signal: session.signal, completed, values: result.values }, host)
}

/** Every pack may notice what a killed run left, before anything else happens. */
async function recoverPacks(session: Session, io: Io): Promise<void> {
  for (const pack of session.loaded.packs) {
    if (!pack.recover) continue
    const { taskShell } = await import('../session/shell.ts')
    const { ProcessSet } = await import('../session/processes.ts')
    const context = {
      runtime: session.runtime,
      project: session.project,
      get $() {
        return taskShell({
          cwd: session.project.directory,
          env: session.project.environment,
          processes: new ProcessSet('recover'),
          signal: session.signal,
          interactive: false,
          onOutput: () => {},
        })
      },
      note: (text: string) => void io.stderr.write(`${session.redactor.redact(text)}\n`),
      signal: session.signal,
    }
    await pack.recover(context)
  }
}

function traceIdOf(io: Io): string {
  const parent = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/.exec(io.environment['TRACEPARENT'] ?? '')?.[1]
  return parent ?? randomBytes(16).toString('hex')
}

/** A cancelled task gets the time of all signals, and a little to tidy up. */
function graceOf(session: Session): number {
  return session.delays.interruptMs + session.delays.terminateMs + 12_000
}

function timedOut(signal: AbortSignal): boolean {
  return signal.reason instanceof DevstackError && signal.reason.kind === 'timeout'
}

export type { Ambient, AnyContext }
