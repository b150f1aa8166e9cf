/** A compose service as three nodes, shown as one row: its container is created, started, and waited for. */

import { join } from 'node:path'
import { z } from 'zod'
import { type ComposeModel, type ComposeService, composeDependencies, inlineFiles } from '../compose/index.ts'
import { task } from '../config/define.ts'
import type { Ambient } from '../context.ts'
import { after, type BaseContext, type Need, type Task } from '../engine/task.ts'
import { completedGate, healthyGate, runningGate } from '../gate/container.ts'
import type { ContainerGate } from '../gate/gate.ts'
import { type ContainerSpec, type ContainerSummary, labels, type ServiceHandle } from '../runtime/runtime.ts'
import { readStoredSpec, specDifferences, specHash } from '../runtime/spec.ts'
import { replaceFile } from '../state/checked.ts'
import type { BuiltImage } from './image.ts'
import { snapshot } from './snapshot.ts'

/** Id of the image a container was made from: a rebuilt image keeps its tag. */
const imageLabel = 'devstack.image'

const port = z.object({
  hostIp: z.string(),
  hostPort: z.number(),
  containerPort: z.number(),
  protocol: z.enum(['tcp', 'udp']),
})
export const serviceHandle = z.object({
  id: z.string(),
  name: z.string(),
  service: z.string(),
  project: z.string(),
  image: z.string(),
  addresses: z.record(z.string(), z.string()),
  ports: z.array(port).readonly(),
})

export interface ServiceTasks {
  /** Its container exists as described, started or not. */
  readonly create: Task<ServiceHandle>
  /** It runs. */
  readonly start: Task<ServiceHandle>
  /** It is ready: its gates hold. */
  readonly ready: Task<ServiceHandle>
  /** It has ended with exit code 0. */
  readonly completed: Task<ServiceHandle>
}

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
  const ready = task({
    description: `${service.name} is ready`,
    label: service.name,
    private: true,
    effect: 'create',
    service: true,
    partOf: service.name,
    weight: 0,
    needs: { container: start },
    gate: [...(options.gates ?? [defaultGate(service)])],
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
  return { create, start, ready, completed }
}

function defaultGate(service: ComposeService): ContainerGate<ServiceHandle> {
  const tested = service.healthcheck?.test !== undefined && service.healthcheck.test[0] !== 'NONE'
  return tested ? healthyGate() : runningGate()
}

type Context = BaseContext<Record<never, never>, unknown> & Ambient

function createTask(options: ServiceOptions): Task<ServiceHandle> {
  const { service, model } = options
  const wanted = (context: Context, image: BuiltImage): ContainerSpec => {
    const spec = options.specOf(image.tag, context.project.stateDirectory)
    return {
      ...spec,
      labels: { ...spec.labels, [labels.directory]: context.project.directory, [imageLabel]: image.id },
    }
  }
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
      const present = await containerOf(context, service.name)
      if (!present) return { state: 'stale', cause: 'there is no container yet' }
      const differences = differencesOf(present, wanted(context, context.needs.image), context.needs.image)
      if (differences.length === 0)
        return { state: 'fresh', cause: 'as described', value: handleOf(present, service.name) }
      return { state: 'stale', cause: `is recreated: ${differences[0]}`, differences }
    },
    run: async (context) => {
      const { runtime, signal, needs, log } = context
      const spec = wanted(context, needs.image)
      for (const { name, content } of inlineFiles(model, service)) {
        replaceFile(join(context.project.stateDirectory, 'files', name), Buffer.from(content), { mode: 0o644 })
      }
      const present = await containerOf(context, service.name)
      if (present) {
        const differences = differencesOf(present, spec, needs.image)
        log(`recreating: ${differences.join('; ')}`)
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
        image: needs.image.id,
        addresses: fixedAddresses(spec),
        ports: [...spec.ports],
      }
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
