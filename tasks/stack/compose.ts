/** `compose('compose.yaml')`: any compose file as a stack, with the tasks to run it. */
import {
  type ContainerGate,
  DevstackError,
  definePack,
  type LoadedStack,
  loadStack,
  type Pack,
  type PackContext,
  type ServiceHandle,
  stackName,
  type Task,
  type TaskReference,
} from '../../lib/index.ts'
import { downTask } from './down.ts'
import { execTask } from './exec.ts'
import { type HealthOptions, healthTask, statusTask } from './health.ts'
import { logsTask } from './logs.ts'
import { upTask } from './up.ts'

/** What `compose` takes beside the files. */
export interface ComposeOptions {
  /** Services of these profiles, too; default: COMPOSE_PROFILES. */
  readonly profiles?: readonly string[]
  /** Conditions of services in place of their own healthchecks. */
  readonly gates?: Readonly<Record<string, ContainerGate<ServiceHandle> | readonly ContainerGate<ServiceHandle>[]>>
}

/** A stack as a pack, whose services can be needed by tasks. */
export interface StackPack extends Pack {
  /** The service, ready: `needs: { db: stack.service('db') }`. The value is its handle. */
  service(name: string): TaskReference<ServiceHandle>
}

/** A service of a stack that is loaded once its pack is in use. */
export function serviceReference(
  name: string,
  stack: string,
  load: () => Promise<LoadedStack> | undefined,
): TaskReference<ServiceHandle> {
  return {
    kind: 'reference',
    name,
    resolve: async () => {
      const loaded = load()
      if (!loaded) {
        throw new DevstackError({
          kind: 'config',
          code: 'STACK_NOT_USED',
          message: `A task needs the service "${name}" of ${stack}, which the config does not use.`,
          hint: 'Put the stack into the config: defineConfig({ use: [stack], ... })',
        })
      }
      return (await loaded).ready([name])[name]!
    },
  }
}

/**
 * The services of compose files as tasks: `up`, `down`, `status`, `health`, `logs`, `exec`, and each service as a need for
 * the config's own tasks. Files are relative to the config, later ones are merged over earlier ones (compose-spec).
 */
export function compose(files: string | readonly string[], options: ComposeOptions = {}): StackPack {
  const list = typeof files === 'string' ? [files] : files
  let loading: (() => Promise<LoadedStack>) | undefined
  const open = (place: PackContext): (() => Promise<LoadedStack>) => {
    let stack: Promise<LoadedStack> | undefined
    loading = () => {
      stack ??= loadStack({ ...options, files: list }, place)
      return stack
    }
    return loading
  }
  const pack = definePack({
    name: `compose ${list.join(' ')}`,
    projectName: (place) => stackName(list, place),
    tasks: (place) => composeTasks(open(place), options),
    model: async () => (await loading!()).model,
  })
  return {
    ...pack,
    service: (name) => serviceReference(name, list.join(', '), () => loading?.()),
  }
}

function composeTasks(load: () => Promise<LoadedStack>, options: ComposeOptions): Record<string, Task> {
  const health: HealthOptions = {
    gates: async () => options.gates ?? {},
    expected: async () => [...(await load()).services.keys()],
  }
  return {
    up: upTask({ load, clusters: () => ({}), variants: false }),
    down: downTask(load),
    status: statusTask(health),
    health: healthTask(health),
    logs: logsTask(),
    exec: execTask(),
  }
}
