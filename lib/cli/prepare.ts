/** From the words of the command line to a graph that can run. */
import type { LoadedConfig } from '../config/load.ts'
import { buildGraph, type Graph } from '../engine/graph.ts'
import { DevstackError } from '../errors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { Invocation, Options } from './args.ts'
import { lazyRuntime } from './engine.ts'
import type { Io } from './io.ts'
import { openConfig } from './open-config.ts'
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
  const loaded = await openConfig(invocation.options, io)
  const { options, targets } = await readTargets(invocation, loaded.registry)
  return prepareTargets({ loaded, options, targets, io })
}

/** The same for targets that are known already. */
export async function prepareTargets(given: {
  readonly loaded: LoadedConfig
  readonly options: Options
  readonly targets: readonly TaskTarget[]
  readonly io: Io
}): Promise<Prepared> {
  const { loaded, options, targets, io } = given
  const graph = await buildGraph(targets, loaded.registry)
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
  outer.addEventListener('abort', () => controller.abort(outer.reason), { once: true })
  return { signal: controller.signal, clear: () => clearTimeout(timer) }
}
