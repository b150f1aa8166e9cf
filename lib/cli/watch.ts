/** Runs again whenever a file changes that the tasks read. A stale run is cancelled properly before the next begins. */
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Graph } from '../engine/graph.ts'
import type { Json } from '../engine/schema.ts'
import { formatError, toDevstackError } from '../errors.ts'
import { workingDirectory } from '../session/host.ts'
import { openFiles } from '../state/files.ts'
import type { Invocation } from './args.ts'
import { type ExecuteOptions, execute } from './execute.ts'
import type { Io } from './io.ts'
import { type Prepared, prepare } from './prepare.ts'
import { FileChanges } from './watch-files.ts'

type Recorded = NonNullable<ExecuteOptions['recorded']>

/** Watches until the signal aborts; the exit code is then 0, since ending it is how a watch ends. */
export async function watchRuns(first: Prepared, invocation: Invocation, io: Io): Promise<number> {
  const changes = new FileChanges()
  const done = new Map<string, { readonly value: Json; readonly cause: string }>()
  let inputs = watchedInputs(first)
  let recorded: Recorded = new Map()
  try {
    while (!io.signal.aborted) {
      changes.add(new Set([...inputs.map(({ cwd }) => cwd), first.loaded.directory]))
      const controller = new AbortController()
      const stop = (): void => controller.abort(io.signal.reason)
      io.signal.addEventListener('abort', stop, { once: true })
      const running = runOnce({ invocation, io, signal: controller.signal, recorded, done }).then((prepared) => {
        if (!controller.signal.aborted) io.stderr.write('Waiting for changes; Ctrl-C ends it.\n')
        return prepared
      })
      let touched: readonly string[] = []
      while (touched.length === 0 && !io.signal.aborted) {
        touched = await relevant(await changes.next(io.signal), inputs, first)
      }
      controller.abort()
      const prepared = (await running) ?? first
      io.signal.removeEventListener('abort', stop)
      if (io.signal.aborted) break
      inputs = watchedInputs(prepared)
      recorded = untouched(prepared, done, touched, await nodesReading(touched, inputs, first))
      const names = touched.slice(0, 3).map((path) => relative(first.loaded.directory, path))
      const more = touched.length > 3 ? ` and ${touched.length - 3} more` : ''
      io.stderr.write(`\n${names.join(', ')}${more} changed.\n`)
    }
  } finally {
    changes.close()
  }
  return 0
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

interface Watched {
  readonly node: string
  readonly cwd: string
  readonly patterns: readonly string[]
}

function watchedInputs({ graph, loaded }: Prepared): readonly Watched[] {
  const watched: Watched[] = []
  for (const node of graph.nodes.values()) {
    const cwd = workingDirectory(node, loaded.registry, loaded.directory)
    if (node.definition.inputs) watched.push({ node: node.id, cwd, patterns: node.definition.inputs })
  }
  if (watched.length > 0) return watched
  // a graph that declares nothing is run again for any change of the project
  return graph.targets.map((node) => ({ node, cwd: loaded.directory, patterns: ['**/*'] }))
}

/** Of the changed paths those that are read: the config's files, and inputs, also when they were removed. */
async function relevant(
  changed: readonly string[],
  inputs: readonly Watched[],
  { loaded }: Prepared,
): Promise<readonly string[]> {
  const known = await inputPaths(inputs, loaded.directory)
  const isRead = (path: string): boolean =>
    loaded.files.includes(path) ||
    inputs.some(({ cwd }, index) => {
      const name = relative(cwd, path)
      return known[index]!.has(name) || (!existsSync(path) && !name.startsWith('..'))
    })
  return changed.filter(isRead)
}

async function nodesReading(
  touched: readonly string[],
  inputs: readonly Watched[],
  { loaded }: Prepared,
): Promise<ReadonlySet<string>> {
  const known = await inputPaths(inputs, loaded.directory)
  const reading = inputs.filter(({ cwd }, index) =>
    touched.some((path) => known[index]!.has(relative(cwd, path)) || !existsSync(path)),
  )
  return new Set(reading.map(({ node }) => node))
}

function inputPaths(inputs: readonly Watched[], directory: string): Promise<readonly ReadonlySet<string>[]> {
  const files = openFiles({ directory: join(directory, '.devstack') })
  return Promise.all(inputs.map(async ({ cwd, patterns }) => new Set(await files.list(cwd, patterns))))
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
