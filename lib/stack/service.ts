/** A compose service as three nodes, shown as one row: its container is created, started, and waited for. */

import { join } from 'node:path'
import { z } from 'zod'
import type { ComposeModel, ComposeService } from '../compose/schema.ts'
import { composeDependencies, inlineFiles } from '../compose/spec.ts'
import { task } from '../config/define.ts'
import type { Ambient } from '../context.ts'
import { lazySchema } from '../engine/schema.ts'
import { after, type Need, type Task } from '../engine/task.ts'
import { DevstackError } from '../errors.ts'
import { completedGate, healthyGate, runningGate } from '../gate/container.ts'
import type { ContainerGate } from '../gate/gate.ts'
import { type ContainerSpec, type ContainerSummary, labels, type ServiceHandle } from '../runtime/runtime.ts'
import { readStoredSpec, specDifferences, specHash } from '../runtime/spec.ts'
import { replaceFile } from '../state/checked.ts'
import type { BuiltImage } from './image.ts'
import { snapshot } from './snapshot.ts'

/** Id of the image a container was made from: a rebuilt image keeps its tag. */
const imageLabel = 'devstack.image'

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
  /** Makes its container anew and starts it, whatever it was; all others stay as they are, and no gate is waited for. */
  replace(context: Working & { log(text: string): void }, image: BuiltImage): Promise<ServiceHandle>
}

/** What is needed to act on one service outside of its tasks. */
export type Working = Pick<Ambient, 'runtime' | 'project'> & { readonly runId: string; readonly signal: AbortSignal }

export interface ServiceOptions {
  readonly model: ComposeModel
  readonly service: ComposeService
  readonly project: string
  readonly specOf: (image: string, stateDirectory: string) => ContainerSpec
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
      return present && differencesOf(present, specFor(options, context, image), image)
    },
    async replace(context, image) {
      const { runtime, signal } = context
      const present = await lookFor(service.name, context)
      if (present?.state === 'paused') await runtime.unpause(present.id, { signal })
      const made = await makeContainer(options, context, { image, present })
      await runtime.start(made.id, { signal })
      const started = await runtime.inspect(made.id, { signal })
      return started ? handleOf(started, service.name) : made
    },
  }
}

/** The service's container as it is now, not as the run first saw it. */
async function lookFor(service: string, { runtime, project, signal }: Working): Promise<ContainerSummary | undefined> {
  const filter = { [labels.project]: project.name, [labels.service]: service }
  return (await runtime.containers(filter, { signal }))[0]
}

/** The container as described, with the labels by which it is found and compared. */
function specFor(options: ServiceOptions, { project }: Pick<Working, 'project'>, image: BuiltImage): ContainerSpec {
  const spec = options.specOf(image.tag, project.stateDirectory)
  return { ...spec, labels: { ...spec.labels, [labels.directory]: project.directory, [imageLabel]: image.id } }
}

/** Creates the container, in place of the present one if there is any. */
async function makeContainer(
  { service, model, ...options }: ServiceOptions,
  context: Working & { log(text: string): void },
  { image, present }: { readonly image: BuiltImage; readonly present: ContainerSummary | undefined },
): Promise<ServiceHandle> {
  const { runtime, signal, project, log } = context
  const spec = specFor({ service, model, ...options }, context, image)
  for (const { name, content } of inlineFiles(model, service)) {
    replaceFile(join(project.stateDirectory, 'files', name), Buffer.from(content), { mode: 0o644 })
  }
  if (present) {
    await runtime.stop(present.id, { signal })
    await runtime.remove(present.id, { signal })
  }
  const { id, warnings } = await runtime.create(
    { ...spec, labels: { ...spec.labels, [labels.run]: context.runId } },
    { signal },
  )
  for (const warning of warnings) log(warning)
  return {
    id,
    name: spec.name,
    service: service.name,
    project: spec.project,
    image: image.id,
    addresses: fixedAddresses(spec),
    ports: [...spec.ports],
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
  return tested ? healthyGate() : runningGate()
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
      const { image } = context.needs
      const present = await containerOf(context, service.name)
      if (!present) return { state: 'stale', cause: 'there is no container yet' }
      const differences = differencesOf(present, specFor(options, context, image), image)
      if (differences.length === 0)
        return { state: 'fresh', cause: 'as described', value: handleOf(present, service.name) }
      return { state: 'stale', cause: `is recreated: ${differences[0]}`, differences }
    },
    run: async (context) => {
      const { image } = context.needs
      const present = await containerOf(context, service.name)
      if (present) {
        const differences = differencesOf(present, specFor(options, context, image), image)
        context.log(`recreating: ${differences.join('; ')}`)
      }
      return makeContainer(options, context, { image, present })
    },
  })
}

/** What makes the container another one than described, in words; empty when nothing does. */
function differencesOf(present: ContainerSummary, spec: ContainerSpec, image: BuiltImage): readonly string[] {
  if (present.state === 'dead' || present.state === 'removing') return [`its container is ${present.state}`]
  if (present.labels[imageLabel] !== image.id) return [`image ${image.tag} is another one now`]
  if (present.labels[labels.hash] === specHash(spec)) return []
  const was = readStoredSpec(present.labels)
  const differences = was ? specDifferences(was, spec) : []
  return differences.length > 0 ? differences : ['its description changed']
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
      const { container } = context.needs
      const present = (await snapshot(context)).find(({ id }) => id === container.id)
      if (present?.state === 'running')
        return { state: 'fresh', cause: 'it runs', value: handleOf(present, service.name) }
      return { state: 'stale', cause: present ? `its container is ${present.state}` : 'it is not started' }
    },
    run: async ({ runtime, needs, signal }) => {
      const { container } = needs
      const details = await runtime.inspect(container.id, { signal })
      if (details?.state === 'paused') await runtime.unpause(container.id, { signal })
      else if (details?.state !== 'running') await runtime.start(container.id, { signal })
      const complete =
        container.ports.every(({ hostPort }) => hostPort !== 0) && Object.keys(container.addresses).length > 0
      if (complete) return container
      const started = await runtime.inspect(container.id, { signal })
      return started ? handleOf(started, service.name) : container
    },
  })
}

/** The service's container in the run's look at the project. */
export async function containerOf(
  context: Parameters<typeof snapshot>[0],
  service: string,
): Promise<ContainerSummary | undefined> {
  return (await snapshot(context)).find(({ labels: found }) => found[labels.service] === service)
}

/** A listed container as the value that flows along edges. */
export function handleOf(container: ContainerSummary, service: string): ServiceHandle {
  return {
    id: container.id,
    name: container.name,
    service,
    project: container.labels[labels.project] ?? '',
    image: container.imageId,
    addresses: { ...container.addresses },
    ports: [...container.ports],
  }
}

/** Addresses that are known before the start. */
function fixedAddresses(spec: ContainerSpec): Record<string, string> {
  if (!spec.networks.every(({ ipv4Address }) => ipv4Address !== undefined)) return {}
  return Object.fromEntries(spec.networks.map(({ network, ipv4Address }) => [network, ipv4Address!]))
}
