/** Runs a graph for a person: confirmation, journal, reporters, run, undo on failure, exit code. */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import { randomHex } from '../engine/checksum.ts'
import type { Reporter, RunEvent, Step } from '../engine/events.ts'
import { buildGraph, type Graph, type GraphNode } from '../engine/graph.ts'
import type { RunResult } from '../engine/runner.ts'
import { DevstackError, formatError } from '../errors.ts'
import { combine, createReporter, type Sink } from '../report/index.ts'
import { parseTraceparent } from '../report/otel.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { confirmDestruction } from '../session/confirm.ts'
import { decideNode, type Recorded } from '../session/decide.ts'
import { createHost, type ProcessHost } from '../session/host.ts'
import { openLockHost } from '../session/lock.ts'
import type { Memory } from '../session/memory.ts'
import { openMemory } from '../session/open-memory.ts'
import { planGraph, stepOf } from '../session/plan.ts'
import { endOrphans, endStrays } from '../session/processes.ts'
import { recoverPacks } from '../session/recover.ts'
import { runWhole } from '../session/run.ts'
import { type RunLocks, runLocksOf, takeRunLocks } from '../session/run-locks.ts'
import { concealerOf } from '../session/secrets.ts'
import { delaysOf, graceOf, newRunId, type Session } from '../session/session.ts'
import { readDurations, recordDurations } from '../state/durations.ts'
import { openJournal } from '../state/journal.ts'
import { fileReporters } from './files.ts'
import type { Io } from './io.ts'
import { openSession } from './open.ts'
import { openConfig } from './open-config.ts'
import { locationOf, type Options } from './options.ts'
import type { TaskTarget } from './params.ts'
import type { RunRecord } from './recorded.ts'
import { version } from './version.ts'

export interface ExecuteOptions {
  readonly loaded: LoadedConfig
  readonly graph: Graph
  readonly targets: readonly TaskTarget[]
  readonly options: Options
  readonly io: Io
  readonly runtime: Runtime
  readonly signal: AbortSignal
  readonly continues?: string
  readonly recorded?: Recorded
}

export interface Executed {
  readonly exitCode: number
  readonly result: RunResult
  readonly runId: string
}

/** Runs the graph to its end and tells how it went. Rejects only before the first effect. */
export async function execute(given: ExecuteOptions): Promise<Executed> {
  const runId = newRunId()
  const { current, locks } = await lockRun(given, runId)
  try {
    return await executeLocked(current, runId, locks)
  } finally {
    locks.release()
  }
}

/** The run with its run locks. Who had to wait starts from scratch: whoever held them may have changed what was read. */
async function lockRun(
  given: ExecuteOptions,
  runId: string,
): Promise<{ readonly current: ExecuteOptions; readonly locks: RunLocks }> {
  const { io, options } = given
  let current = given
  for (;;) {
    const locks = await takeRunLocks(current.graph, {
      stateDirectory: join(current.loaded.directory, '.devstack'),
      runId,
      signal: current.signal,
      onWait: (text) => io.stderr.write(`${text}\n`),
      onTakeOver: takeOver(current),
    })
    if (!locks.waited) return { current, locks }
    try {
      const { targetsNamed } = await import('./recorded.ts')
      const loaded = await openConfig(options, io)
      const targets = await targetsNamed(current.targets, loaded)
      const graph = await buildGraph(targets, loaded.registry, concealerOf(loaded))
      current = { ...current, loaded, targets, graph }
    } catch (thrown) {
      locks.release()
      throw thrown
    }
    if (runLocksOf(current.graph).every((name) => locks.names.has(name))) return { current, locks }
    locks.release()
  }
}

/** For `takeRunLocks`: ends what a killed holder left running, but for services. */
export function takeOver({ loaded, graph, io }: Pick<ExecuteOptions, 'loaded' | 'graph' | 'io'>) {
  const spared = servicesOf(graph)
  return (runId: string): Promise<void> =>
    endOrphans({
      runId,
      of: (node) => !spared.has(node),
      delays: delaysOf(loaded),
      urgency: io.urgency,
      say: (text) => void io.stderr.write(`${text}\n`),
    })
}

async function executeLocked(given: ExecuteOptions, runId: string, locks: RunLocks): Promise<Executed> {
  const { graph, options, io } = given
  const quiet = [...graph.nodes.values()].every((node) => node.definition.interactive || node.edge)
  let sink: Required<Sink> | undefined
  const session = openSession({ ...given, suspend: () => sink?.suspend() ?? (() => {}) })
  const traceId = traceIdOf(io)
  await recoverPacks(session, {
    packs: given.loaded.packs,
    runId,
    note: (text) => void io.stderr.write(`${text}\n`),
  })
  const looking = (memory: Memory | undefined): ProcessHost =>
    hostOf(session, given, { runId, traceId, report: () => {}, memory })
  await confirmDestruction(graph, session, looking(undefined), async () =>
    planGraph(graph, looking(await openMemory(session, graph, { readOnly: true })), runId, session.signal),
  )
  // warnings belong to the run while it goes on; before and after it there is standard error alone
  let note = (text: string): void => void io.stderr.write(`Warning: ${session.redactor.redact(text)}\n`)
  const warn = (text: string): void => note(text)
  const journal = openJournal({ directory: session.project.stateDirectory, runId, warn })
  try {
    sink = await sinks(options, io, quiet, warn)
    const shown = sink
    const interactive = interactiveSuspender(graph, shown)
    const report = (event: RunEvent): void => {
      journal.report(event)
      interactive(event)
      shown.report(event)
    }
    const memory = await openMemory(session, graph, { readOnly: false, warn })
    const host = hostOf(session, given, {
      runId,
      traceId,
      report,
      memory,
      held: locks.names,
    })
    host.emit({
      type: 'run-started',
      format: 1,
      targets: given.targets.map(({ name, input }) => ({ task: name, params: input })),
      steps: graph.order.map((id): Step => stepOf(graph.nodes.get(id)!)),
      traceId,
      concurrency: concurrencyOf(given),
      version: version(),
      asked: askedOf(options),
      located: locationOf(options),
      ...(given.continues === undefined ? {} : { continues: given.continues }),
    })
    const direct = note
    note = (text) => host.emit({ type: 'note', level: 'warning', text })
    const result = await listening({ io, signal: session.signal, tell: warn }, async () => {
      const ended = await runWhole(
        graph,
        {
          runId,
          concurrency: concurrencyOf(given),
          mode: options.failureMode ?? 'fail-fast',
          signal: session.signal,
          graceMs: graceOf(given.loaded),
        },
        host,
      )
      if (ended.state === 'cancelled') {
        const spared = servicesOf(graph)
        await host.endLeft(spared)
        await endStrays({ ...session, runId, spared })
      }
      return ended
    })
    note = direct
    memory?.close()
    await journal.close()
    await shown.close()
    recordDurations(session.project.stateDirectory, result)
    if (quiet && result.error) io.stderr.write(`Error: ${session.redactor.redact(formatError(result.error))}\n`)
    return { exitCode: exitCodeOf(result, session.signal), result, runId }
  } catch (thrown) {
    sink?.restore()
    await journal.close()
    throw thrown
  }
}

interface Listening {
  readonly io: Io
  readonly signal: AbortSignal
  readonly tell: (text: string) => void
}

/** Tells, while `run` goes on, of each signal and of what else aborts it. */
async function listening<T>({ io, signal, tell }: Listening, run: () => Promise<T>): Promise<T> {
  const unlisten = io.onSignal((name, count) => {
    tell(count === 1 ? `${name}: ending what runs; again to hurry.` : `${name} again: ending what runs at once.`)
  })
  const onAbort = (): void => {
    if (signal.reason instanceof DevstackError) tell(formatError(signal.reason))
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await run()
  } finally {
    unlisten()
    signal.removeEventListener('abort', onAbort)
  }
}

function askedOf({ concurrency, failureMode, cache, backup }: Options): RunRecord['asked'] {
  const asked = Object.entries({ concurrency, failureMode, cache, backup })
  return Object.fromEntries(asked.filter(([, value]) => value !== undefined))
}

function exitCodeOf(result: RunResult, signal: AbortSignal): number {
  if (result.state === 'succeeded') return 0
  if (result.state === 'failed') return result.error!.exitCode
  return signal.reason instanceof DevstackError ? signal.reason.exitCode : 130
}

/** Slots: the command line's, else the config's, else one for each processor. */
function concurrencyOf(given: Pick<ExecuteOptions, 'options' | 'loaded'>): number {
  return given.options.concurrency ?? given.loaded.config.concurrency ?? navigator.hardwareConcurrency
}

interface HostParts {
  readonly runId: string
  readonly traceId: string
  readonly report: (event: RunEvent) => void
  readonly memory: Memory | undefined
  /** Locks that the run itself holds. */
  readonly held?: ReadonlySet<string>
}

/** The host of a run of this session. */
export function hostOf(
  session: Session,
  given: Pick<ExecuteOptions, 'recorded' | 'graph'>,
  parts: HostParts,
): ProcessHost {
  let durations: ReadonlyMap<string, number> | undefined
  const { memory } = parts
  const host = createHost({
    session,
    ...parts,
    // only a run asks; who merely plans or confirms reads nothing
    cost: (node) => {
      durations ??= readDurations(session.project.stateDirectory)
      return durations.get(node.id)
    },
    lock: openLockHost(session, parts.runId, (node, event) => host.emitNode(node, event), parts.held),
    decide: (node, context) =>
      plain(node) ??
      decideNode(node, context, {
        force: session.force,
        platform: process.platform,
        memory,
        ...(given.recorded ? { recorded: given.recorded } : {}),
      }),
    commit: (node, context, value, durationMs) => memory?.commit(node, context, value, durationMs),
  })
  return host
}

/** The common case without a promise: nothing to compare, nothing to observe. */
function plain(node: GraphNode): { readonly decision: 'run'; readonly cause: string } | undefined {
  const { definition } = node
  return definition.run || definition.platforms ? undefined : { decision: 'run', cause: 'gathers what it needs' }
}

/** What shows the run, and the files it is written to. */
export async function sinks(
  options: Options,
  io: Io,
  quiet: boolean,
  warn: (text: string) => void,
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
  all.push(...(await fileReporters(options, io, warn)))
  return combine(all, warn)
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

/** Nodes whose processes outlive their run. */
export function servicesOf(graph: Graph): ReadonlySet<string> {
  return new Set([...graph.nodes.values()].filter(({ definition }) => definition.service).map(({ id }) => id))
}

function traceIdOf(io: Io): string {
  return parseTraceparent(io.environment['TRACEPARENT'])?.traceId ?? randomHex(12) + randomHex(12) + randomHex(8)
}
