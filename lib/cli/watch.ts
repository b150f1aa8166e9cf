/** Runs again whenever a file changes that the tasks read. A stale run is cancelled properly before the next begins. */
import { relative } from 'node:path'
import type { Graph } from '../engine/graph.ts'
import type { Json } from '../engine/schema.ts'
import { formatError, toDevstackError } from '../errors.ts'
import type { Invocation } from './args.ts'
import { type ExecuteOptions, execute } from './execute.ts'
import type { Io } from './io.ts'
import { type Prepared, prepare } from './prepare.ts'
import { FileChanges } from './watch-files.ts'
import { type Contents, Watched } from './watched.ts'

type Recorded = NonNullable<ExecuteOptions['recorded']>

/** Watches until the signal aborts; the exit code is then 0, since ending it is how a watch ends. */
export async function watchRuns(first: Prepared, invocation: Invocation, io: Io): Promise<number> {
  const { directory } = first.loaded
  const changes = new FileChanges()
  const done: Once['done'] = new Map()
  const written = new Set<string>()
  let watched = new Watched(first, written)
  let recorded: Recorded = new Map()
  // what changed while the run before went on, and started this one
  let again: ReadonlySet<string> = new Set()
  try {
    while (!io.signal.aborted) {
      changes.add(watched.directories)
      const before = await watched.contents()
      const run = startRun({ invocation, io, recorded, done })
      const during = async (): Promise<Contents | undefined> =>
        watched.declared || watched.configDiffers(before) ? differing(watched, before) : undefined
      const cause = await changed(changes, run.over, during)
      run.cancel()
      const prepared = (await run.ended) ?? first
      if (io.signal.aborted) break
      if (!cause) await changes.settled()
      let old = before
      let now = cause ?? (await watched.contents())
      for (const path of own(watched.different(old, now), { again, before, declared: watched.declared })) {
        written.add(path)
        const task = prepared.graph.targets.join(', ')
        io.stderr.write(`${relative(directory, path)} is written by ${task} itself: declare inputs or outputs.\n`)
      }
      let touched = watched.different(old, now)
      again = new Set(touched)
      if (touched.length === 0) {
        io.stderr.write('Waiting for changes; Ctrl-C ends it.\n')
        old = now
        const news = await changed(changes, io.signal, () => differing(watched, old))
        if (!news) break
        now = news
        touched = watched.different(old, now)
      }
      recorded = untouched(prepared, done, touched, watched.reading(touched, old, now))
      watched = new Watched(prepared, written)
      const names = touched.slice(0, 3).map((path) => relative(directory, path))
      const more = touched.length > 3 ? ` and ${touched.length - 3} more` : ''
      io.stderr.write(`\n${names.join(', ')}${more} changed.\n`)
    }
  } finally {
    changes.close()
  }
  return 0
}

/** Looks after each change until there is something to see; nothing after an abort. */
async function changed(
  changes: FileChanges,
  signal: AbortSignal,
  look: () => Promise<Contents | undefined>,
): Promise<Contents | undefined> {
  while (!signal.aborted) {
    await changes.next(signal)
    const seen = signal.aborted ? undefined : await look()
    if (seen) return seen
  }
  return undefined
}

async function differing(watched: Watched, before: Contents): Promise<Contents | undefined> {
  const now = await watched.contents()
  return watched.different(before, now).length > 0 ? now : undefined
}

/**
 * Of what changed during a run the files that it writes itself: those that had changed in the run before, and started this
 * one for that, and those that are new again. Without this, a task that says nothing of its files would start itself.
 */
function own(
  touched: readonly string[],
  { again, before, declared }: { again: ReadonlySet<string>; before: Contents; declared: boolean },
): readonly string[] {
  if (declared || again.size === 0) return []
  return touched.filter((path) => again.has(path) || !before.sources.some((source) => source.has(path)))
}

interface Run {
  /** Aborts when the run has ended, or is to end. */
  readonly over: AbortSignal
  readonly ended: Promise<Prepared | undefined>
  cancel(): void
}

function startRun(given: Omit<Once, 'signal'>): Run {
  const { signal } = given.io
  const controller = new AbortController()
  const over = new AbortController()
  const stop = (): void => {
    controller.abort(signal.reason)
    over.abort()
  }
  signal.addEventListener('abort', stop, { once: true })
  const ended = runOnce({ ...given, signal: controller.signal }).finally(() => {
    signal.removeEventListener('abort', stop)
    over.abort()
  })
  return { over: over.signal, ended, cancel: () => controller.abort() }
}

interface Once {
  readonly invocation: Invocation
  readonly io: Io
  readonly signal: AbortSignal
  readonly recorded: Recorded
  readonly done: Map<string, { readonly value: Json; readonly cause: string }>
}

/** One run of the config as it is now; what is wrong with it is shown, and the watch goes on. */
async function runOnce({ invocation, io, signal, recorded, done }: Once): Promise<Prepared | undefined> {
  let prepared: Prepared | undefined
  try {
    prepared = await prepare(invocation, { ...io, signal })
    const { result } = await execute({ ...prepared, io, recorded })
    for (const id of result.completed) {
      done.set(id, { value: (result.values.get(id) ?? null) as Json, cause: 'nothing that it needs has changed' })
    }
  } catch (thrown) {
    if (!signal.aborted) io.stderr.write(`Error: ${formatError(toDevstackError(thrown))}\n`)
  } finally {
    prepared?.dispose()
  }
  return prepared
}

/** What is done and not touched is taken over: everything but what reads a changed file, and what needs that. */
function untouched(
  { graph, loaded }: Prepared,
  done: Once['done'],
  touched: readonly string[],
  reading: ReadonlySet<string>,
): Recorded {
  if (touched.some((path) => loaded.files.includes(path))) return new Map()
  const again = dependentsOf(graph, reading)
  return new Map([...done].filter(([id]) => !again.has(id)))
}

function dependentsOf(graph: Graph, nodes: ReadonlySet<string>): ReadonlySet<string> {
  const found = new Set(nodes)
  for (const id of found) for (const dependent of graph.dependents.get(id) ?? []) found.add(dependent)
  return found
}
