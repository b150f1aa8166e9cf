/** A compose service as three nodes, shown as one row: its container is created, started, and waited for. */
import { z } from 'zod'
import type { ComposeService } from '../compose/schema.ts'
import { composeDependencies } from '../compose/spec.ts'
import { task } from '../config/define.ts'
import { lazySchema } from '../engine/schema.ts'
import { after, type Need, type Task } from '../engine/task.ts'
import { DevstackError } from '../errors.ts'
import { completedGate, healthyGate, runningOrDoneGate } from '../gate/container.ts'
import type { ContainerGate } from '../gate/gate.ts'
import type { ServiceHandle } from '../runtime/runtime.ts'
import {
  containerOf,
  type Described,
  differencesOf,
  handleOf,
  lookFor,
  makeContainer,
  replaceContainer,
  startContainer,
  type Telling,
  type Working,
} from './container.ts'
import type { BuiltImage } from './image.ts'
import { snapshot } from './snapshot.ts'

/** A schema of ServiceHandle. */
export const serviceHandle = lazySchema(() =>
  z.object({
    id: z.string(),
    name: z.string(),
    service: z.string(),
    project: z.string(),
    image: z.string(),
    addresses: z.record(z.string(), z.string()),
    ports: z
      .array(
        z.object({
          hostIp: z.string(),
          hostPort: z.number(),
          containerPort: z.number(),
          protocol: z.enum(['tcp', 'udp']),
        }),
      )
      .readonly(),
  }),
)

/** The tasks of one service of a compose file. */
export interface ServiceTasks {
  /** Its container exists as described, started or not. */
  readonly create: Task<ServiceHandle>
  /** It runs. */
  readonly start: Task<ServiceHandle>
  /** It is ready: its gates hold. */
  readonly ready: Task<ServiceHandle>
  /** It has ended with exit code 0. */
  readonly completed: Task<ServiceHandle>
  readonly image: Task<BuiltImage>
  /** What `ready` waits for. */
  readonly gates: readonly ContainerGate<ServiceHandle>[]
  /** What makes its container another one than described, in words; `undefined` without a container. Looks anew. */
  differences(context: Working, image: BuiltImage): Promise<readonly string[] | undefined>
  /** Makes its container anew, whatever it was, and waits for its gates; all others stay as they are. */
  replace(context: Telling, image: BuiltImage): Promise<ServiceHandle>
}

export interface ServiceOptions extends Described {
  readonly image: Task<BuiltImage>
  /** Networks and volumes. */
  readonly ground: Task<unknown>
  /** Tasks of another service of the model. */
  readonly others: (name: string) => ServiceTasks
  /** In place of the container's own healthcheck. */
  readonly gates?: readonly ContainerGate<ServiceHandle>[]
}

/** The tasks of one service. Everything that depends on it says which of the three it waits for. */
export function serviceTasks(options: ServiceOptions): ServiceTasks {
  const { service } = options
  const create = createTask(options)
  const start = startTask(options, create)
  const gates = (options.gates ?? [defaultGate(service)]).map(startedAgain)
  const ready = task({
    description: `${service.name} is ready`,
    label: service.name,
    private: true,
    effect: 'create',
    service: true,
    partOf: service.name,
    weight: 0,
    needs: { container: start },
    gate: [...gates],
    returns: serviceHandle,
    run: ({ needs }) => needs.container,
  })
  const completed = task({
    description: `${service.name} has ended`,
    label: `${service.name} completed`,
    private: true,
    effect: 'create',
    partOf: service.name,
    weight: 0,
    needs: { container: start },
    gate: completedGate({ within: '10m' }),
    returns: serviceHandle,
    run: ({ needs }) => needs.container,
  })
  return {
    create,
    start,
    ready,
    completed,
    image: options.image,
    gates,
    async differences(context, image) {
      const present = await lookFor(service.name, context)
      return present && differencesOf(present, options, { context, image })
    },
    replace: (context, image) => replaceContainer(options, context, { image, gates }),
  }
}

/**
 * The gate, but a container that somebody stopped while it was waited for is started again, once: `docker stop` of an
 * earlier `down` goes on in the engine after its devstack was killed. A container that ends by itself is none of these,
 * since its restart policy brings it back.
 */
function startedAgain(gate: ContainerGate<ServiceHandle>): ContainerGate<ServiceHandle> {
  const wrap = (inner: ContainerGate<ServiceHandle>): ContainerGate<ServiceHandle> => ({
    ...inner,
    hold: async (handle, context) => {
      try {
        return await inner.hold(handle, context)
      } catch (thrown) {
        if (!(thrown instanceof DevstackError && thrown.code === 'GATE_CONTAINER_EXITED')) throw thrown
        const details = await context.runtime.inspect(handle.id, { signal: context.signal })
        const policy = details?.restartPolicy?.name
        if (policy !== 'always' && policy !== 'unless-stopped') throw thrown
        context.answer('it was stopped meanwhile, and is started again')
        await context.runtime.start(handle.id, { signal: context.signal })
        return inner.hold(handle, context)
      }
    },
    bounded: (withinMs) => wrap((inner.bounded?.(withinMs) ?? inner) as ContainerGate<ServiceHandle>),
  })
  return wrap(gate)
}

function defaultGate(service: ComposeService): ContainerGate<ServiceHandle> {
  const tested = service.healthcheck?.test !== undefined && service.healthcheck.test[0] !== 'NONE'
  return tested ? healthyGate() : runningOrDoneGate()
}

function createTask(options: ServiceOptions): Task<ServiceHandle> {
  const { service } = options
  return task({
    description: `Create the container of ${service.name}`,
    label: `${service.name} create`,
    private: true,
    effect: 'create',
    partOf: service.name,
    // the engine does the work
    weight: 0,
    needs: { image: options.image, ground: options.ground },
    returns: serviceHandle,
    observe: async (context) => {
      // in a plan, the image is not known while a task that makes it would run first
      const image = context.needs.image as BuiltImage | undefined
      const present = await containerOf(context, service.name)
      if (!present) return { state: 'stale', cause: 'there is no container yet' }
      if (!image) return { state: 'stale', cause: 'is recreated when its image turns out to be another one' }
      const differences = differencesOf(present, options, { context, image })
      if (differences.length === 0)
        return { state: 'fresh', cause: 'as described', value: handleOf(present, service.name) }
      return { state: 'stale', cause: `is recreated: ${differences[0]}`, differences }
    },
    run: async (context) => {
      const { image } = context.needs
      const present = await containerOf(context, service.name)
      if (present) {
        const differences = differencesOf(present, options, { context, image })
        context.log(`recreating: ${differences.join('; ')}`)
      }
      return makeContainer(options, context, { image, present })
    },
  })
}

function startTask(options: ServiceOptions, create: Task<ServiceHandle>): Task<ServiceHandle> {
  const { service } = options
  const waits: Record<string, Need> = {}
  for (const dependency of composeDependencies(service)) {
    const other = options.others(dependency.service)
    const need =
      dependency.condition === 'service_started'
        ? other.start
        : dependency.condition === 'service_healthy'
          ? other.ready
          : other.completed
    waits[dependency.service] = dependency.required ? need : after(need, { optional: true })
  }
  return task({
    description: `Start ${service.name}`,
    label: `${service.name} start`,
    private: true,
    effect: 'create',
    partOf: service.name,
    weight: 0,
    needs: { ...waits, container: create } as { container: Task<ServiceHandle> },
    returns: serviceHandle,
    observe: async (context) => {
      // in a plan, it is not known while it would be made first
      const container = context.needs.container as ServiceHandle | undefined
      if (!container) return { state: 'stale', cause: `its container would be made first` }
      const present = (await snapshot(context)).find(({ id }) => id === container.id)
      if (present?.state === 'running')
        return { state: 'fresh', cause: 'it runs', value: handleOf(present, service.name) }
      return { state: 'stale', cause: present ? `its container is ${present.state}` : 'it is not started' }
    },
    run: async ({ runtime, needs, signal }) => {
      const { container } = needs
      const details = await runtime.inspect(container.id, { signal })
      if (details?.state === 'paused') await runtime.unpause(container.id, { signal })
      else if (details?.state !== 'running') await startContainer(container.id, options, { runtime, signal })
      const complete =
        container.ports.every(({ hostPort }) => hostPort !== 0) && Object.keys(container.addresses).length > 0
      if (complete) return container
      const started = await runtime.inspect(container.id, { signal })
      return started ? handleOf(started, service.name) : container
    },
  })
}
