/** From the words of the command line to a graph that can run. */
import { checkTask } from '../config/check.ts'
import type { LoadedConfig } from '../config/load.ts'
import { buildGraph, type Graph } from '../engine/graph.ts'
import { DevstackError } from '../errors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { concealerOf } from '../session/secrets.ts'
import type { Invocation } from './args.ts'
import { lazyRuntime } from './engine.ts'
import { commonOptions } from './grammar.ts'
import type { Io } from './io.ts'
import { readConfig } from './open.ts'
import { openConfig } from './open-config.ts'
import { collect, locationOf, looksLikeOption, type Options, takeOption } from './options.ts'
import { readTargets, type TaskTarget } from './params.ts'

export interface Prepared {
  readonly loaded: LoadedConfig
  readonly options: Options
  readonly targets: readonly TaskTarget[]
  readonly graph: Graph
  readonly runtime: Runtime
  /** Aborts with the process's signals and after `--timeout`. */
  readonly signal: AbortSignal
  /** Ends timers and connections, so that the process can end. */
  dispose(): void
}

/** Loads the config, reads targets and builds their graph. */
export async function prepare(invocation: Invocation, io: Io): Promise<Prepared> {
  return prepareTargets({ ...(await readInvocation(invocation, io)), io })
}

/** Loads the config that the invocation is about, and reads its targets. */
export async function readInvocation(
  invocation: Invocation,
  io: Io,
): Promise<Pick<Prepared, 'loaded' | 'options' | 'targets'>> {
  const located = await locate(invocation, io)
  const loaded = await openConfig(located.options, io)
  const { options, targets } = await readTargets(located, loaded.registry)
  return { loaded, options: { ...options, ...locationOf(located.options) }, targets }
}

const locating = commonOptions.filter(({ name }) => name === 'config' || name === 'cwd')

/**
 * The invocation with `--config` and `--cwd` from behind its tasks. A task may have params of these names, so the config
 * that would apply without them is asked first.
 */
async function locate(invocation: Invocation, io: Io): Promise<Invocation> {
  const { options, words } = invocation
  if (!words.some((word) => /^(--config|--cwd|-C)/.test(word))) return invocation
  try {
    const { registry } = await readConfig(options, io)
    const read = await readTargets(invocation, registry)
    return { ...invocation, options: { ...options, ...locationOf(read.options) } }
  } catch (thrown) {
    const there = { ...options, ...locationOf(locatingOptions(words)) }
    try {
      await readConfig(there, io)
    } catch (other) {
      const isElsewhere = thrown instanceof DevstackError && /^(CONFIG_|USAGE_UNKNOWN_TASK$)/.test(thrown.code)
      throw isElsewhere ? other : thrown
    }
    return { ...invocation, options: there }
  }
}

/** What `--config` and `--cwd` say, wherever they stand. */
function locatingOptions(words: readonly string[]): Options {
  const found = words.flatMap((word, index) =>
    word !== '--' && looksLikeOption(word) ? (takeOption(words.slice(index, index + 2), locating)?.found ?? []) : [],
  )
  return collect(found)
}

/** The same for targets that are known already. */
export async function prepareTargets(given: {
  readonly loaded: LoadedConfig
  readonly options: Options
  readonly targets: readonly TaskTarget[]
  readonly io: Io
}): Promise<Prepared> {
  const { loaded, options, targets, io } = given
  const graph = await buildGraph(targets, loaded.registry, concealerOf(loaded))
  for (const { name, task, definition } of graph.nodes.values()) {
    // those with a name of their own were checked as they were registered
    if (loaded.registry.nameOf(task) === undefined) checkTask(name, definition)
  }
  const runtime = lazyRuntime(io.environment)
  const { signal, clear } = deadlineOf(io.signal, options.timeout)
  return {
    loaded,
    options,
    targets,
    graph,
    runtime,
    signal,
    dispose: () => {
      clear()
      runtime.close()
    },
  }
}

function deadlineOf(outer: AbortSignal, ms: number | undefined): { signal: AbortSignal; clear: () => void } {
  if (ms === undefined) return { signal: outer, clear: () => {} }
  const controller = new AbortController()
  const timer = setTimeout(() => {
    const message = `The run took longer than --timeout (${ms} ms).`
    controller.abort(new DevstackError({ kind: 'timeout', code: 'TIMEOUT', message }))
  }, ms)
  // a signal that came while the config was loaded counts as well
  return { signal: AbortSignal.any([outer, controller.signal]), clear: () => clearTimeout(timer) }
}
