import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadedConfig } from '../../config/load.ts'
import type { Registry } from '../../config/registry.ts'
import { buildGraph, type Target } from '../../engine/graph.ts'
import { describeHolder, portHolder } from '../../runtime/ports.ts'
import { openLocks } from '../../state/locks.ts'
import { listRuns } from '../../state/runs.ts'
import type { Invocation } from '../args.ts'
import { diagnose, exitCodeOf, formatFindings, machine } from '../doctor.ts'
import { lazyRuntime } from '../engine.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack doctor`: every finding with its remedy. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  let opened: Promise<LoadedConfig> | undefined
  const config = (): Promise<LoadedConfig> => {
    opened ??= openConfig(options, io)
    return opened
  }
  const loaded = await config().catch(() => undefined)
  const runtime = lazyRuntime(io.environment)
  const stateDirectory = join(loaded?.directory ?? io.cwd, '.devstack')
  try {
    const findings = await diagnose({
      ...machine,
      nodeVersion: process.version,
      portHolder: async (port) => {
        const holder = await portHolder(port, '127.0.0.1')
        return holder.kind === 'nobody' ? undefined : describeHolder(holder)
      },
      ...(loaded ? { project: { name: loaded.project, directory: loaded.directory, stateDirectory } } : {}),
      runtime: () => runtime,
      config: async () => {
        const { file, registry, environment } = await config()
        await checkGraph(registry)
        return { file, tasks: registry.entries().length, ports: portsOf(environment) }
      },
      locks: async () =>
        openLocks({ directory: stateDirectory })
          .holders()
          .map((holder) => ({
            name: holder.lock,
            pid: holder.pid,
            since: holder.since,
            alive: holder.state !== 'dead',
          })),
      exists: async (path) => existsSync(path),
      isRunning: async (run) =>
        listRuns(stateDirectory).some(({ runId, state }) => runId === run && state === 'running'),
      signal: io.signal,
    })
    io.stdout.write(options.json ? `${JSON.stringify(findings, null, 2)}\n` : `${formatFindings(findings)}\n`)
    return exitCodeOf(findings)
  } finally {
    runtime.close()
  }
}

/** Follows the needs of every task, as far as they are known without params. Throws what is wrong with the graph. */
async function checkGraph(registry: Registry): Promise<void> {
  for (const { task } of registry.entries()) {
    const { params, needs } = task.definition
    const defaults = await params?.['~standard'].validate({})
    if (defaults?.issues && typeof needs === 'function') continue
    // one by one, as they are run: two of them may make helpers of the same name
    const valid = defaults && !defaults.issues ? { params: defaults.value as Target['params'] & object } : {}
    await buildGraph([{ task, ...valid }], registry)
  }
}

/** Ports that the project publishes: the numbers of its `..._PORT` variables. */
function portsOf(environment: Readonly<Record<string, string>>): readonly number[] {
  return Object.entries(environment).flatMap(([name, value]) =>
    name.endsWith('_PORT') && /^\d{2,5}$/.test(value) ? [Number(value)] : [],
  )
}
