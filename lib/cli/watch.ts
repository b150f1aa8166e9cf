/** Runs again whenever a file changes that the tasks read. A stale run is cancelled properly before the next begins. */
import { type FSWatcher, watch } from 'node:fs'
import { relative, sep } from 'node:path'
import { workingDirectory } from '../session/host.ts'
import { openFiles } from '../state/files.ts'
import type { Invocation } from './args.ts'
import { execute } from './execute.ts'
import type { Io } from './io.ts'
import { type Prepared, prepareTargets } from './prepare.ts'

/** Changes this close together are one. */
const quietMs = 100
/** Never watched: what tasks and tools write all the time. */
const ignored = new Set(['.devstack', '.git', 'node_modules'])

/** Watches until the signal aborts; the exit code is then 0, since ending it is how a watch ends. */
export async function watchRuns(prepared: Prepared, invocation: Invocation, io: Io): Promise<number> {
  const inputs = watchedInputs(prepared)
  let wake: (changed: string) => void = () => {}
  const changes = new Set<string>()
  const watchers = watchDirectories([...new Set(inputs.map(({ cwd }) => cwd))], (path) => {
    changes.add(path)
    wake(path)
  })
  try {
    while (!io.signal.aborted) {
      changes.clear()
      const controller = new AbortController()
      const stop = (): void => controller.abort()
      io.signal.addEventListener('abort', stop, { once: true })
      const running = runOnce(prepared, invocation, io, controller.signal)
      let touched: readonly string[] = []
      let ended = false
      const done = running.then(() => {
        ended = true
      })
      // either the run ends and a change comes later, or a change makes the run stale
      do {
        await Promise.race([nextChange((listener) => (wake = listener), io.signal), ...(ended ? [] : [done])])
        if (ended && changes.size === 0) await nextChange((listener) => (wake = listener), io.signal)
        await settle(changes, io.signal)
        touched = await relevant([...changes], inputs, prepared)
        changes.clear()
      } while (touched.length === 0 && !io.signal.aborted)
      if (!ended) controller.abort()
      await running
      io.signal.removeEventListener('abort', stop)
      if (!io.signal.aborted) {
        const names = touched.slice(0, 3).map((path) => relative(prepared.loaded.directory, path))
        io.stderr.write(
          `\n${names.join(', ')}${touched.length > 3 ? ` and ${touched.length - 3} more` : ''} changed.\n`,
        )
      }
    }
  } finally {
    for (const watcher of watchers) watcher.close()
  }
  return 0
}

async function runOnce(prepared: Prepared, invocation: Invocation, io: Io, signal: AbortSignal): Promise<void> {
  const fresh = await prepareTargets({ ...prepared, io: { ...io, signal } })
  try {
    await execute({ ...fresh, options: { ...invocation.options, ...prepared.options }, io, signal })
  } finally {
    fresh.dispose()
  }
}

interface Watched {
  readonly cwd: string
  readonly patterns: readonly string[]
}

function watchedInputs(prepared: Prepared): readonly Watched[] {
  const { graph, loaded } = prepared
  const watched: Watched[] = []
  for (const node of graph.nodes.values()) {
    const cwd = workingDirectory(node, loaded.registry, loaded.directory)
    if (node.definition.inputs) watched.push({ cwd, patterns: node.definition.inputs })
  }
  // a graph that declares nothing is run again for any change of the project
  return watched.length > 0 ? watched : [{ cwd: loaded.directory, patterns: ['**/*'] }]
}

function watchDirectories(directories: readonly string[], changed: (path: string) => void): readonly FSWatcher[] {
  return directories.map((directory) =>
    watch(directory, { recursive: true }, (_, name) => {
      if (name === null) return
      if (name.split(sep).some((part) => ignored.has(part))) return
      changed(`${directory}${sep}${name}`)
    }),
  )
}

function nextChange(listen: (wake: () => void) => void, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    listen(resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

/** Resolves once nothing has changed for a moment: editors write a file in several steps. */
async function settle(changes: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  for (let before = -1; before !== changes.size && !signal.aborted; ) {
    before = changes.size
    await new Promise((resolve) => setTimeout(resolve, quietMs))
  }
}

/** The changed paths that are inputs of a task, or were until they were removed. */
async function relevant(
  changed: readonly string[],
  inputs: readonly Watched[],
  prepared: Prepared,
): Promise<readonly string[]> {
  const { existsSync } = await import('node:fs')
  const files = openFiles({ directory: `${prepared.loaded.directory}/.devstack` })
  const hits = new Set<string>()
  for (const { cwd, patterns } of inputs) {
    const known = new Set(await files.list(cwd, patterns))
    for (const path of changed) {
      const name = relative(cwd, path)
      if (known.has(name) || (!existsSync(path) && !name.startsWith('..'))) hits.add(path)
    }
  }
  return [...hits]
}
