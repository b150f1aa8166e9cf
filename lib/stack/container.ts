/** The container of a compose service: found, compared with its description, made, and replaced. */
import { join } from 'node:path'
import type { ComposeModel, ComposeService } from '../compose/schema.ts'
import { inlineFiles } from '../compose/spec.ts'
import type { Ambient } from '../context.ts'
import type { ContainerGate } from '../gate/gate.ts'
import { type ContainerSpec, type ContainerSummary, labels, type ServiceHandle } from '../runtime/runtime.ts'
import { readStoredSpec, specDifferences, specHash } from '../runtime/spec.ts'
import { replaceFile } from '../state/checked.ts'
import type { BuiltImage } from './image.ts'
import { type PortSource, withPortRemedy } from './port-remedy.ts'
import { snapshot } from './snapshot.ts'

/** Id of the image a container was made from: a rebuilt image keeps its tag. */
const imageLabel = 'devstack.image'

/** Ends the name of a container while the one that takes its place starts beside it. */
const leaving = '-leaving'

/** What is needed to act on one service outside of its tasks. */
export type Working = Pick<Ambient, 'runtime' | 'project'> & { readonly runId: string; readonly signal: AbortSignal }

export type Telling = Working & { log(text: string): void }

/** Where the description of a service's container comes from. */
export interface Described {
  readonly model: ComposeModel
  readonly service: ComposeService
  readonly specOf: (image: string, stateDirectory: string) => ContainerSpec
  readonly portSource: Omit<PortSource, 'model' | 'service'>
}

/** Starts the container; a port that is taken is told with where its number stands. */
export async function startContainer(
  id: string,
  { model, service, portSource }: Described,
  { runtime, signal }: Pick<Working, 'runtime' | 'signal'>,
): Promise<void> {
  try {
    await runtime.start(id, { signal })
  } catch (thrown) {
    throw withPortRemedy(thrown, { model, service, ...portSource })
  }
}

/** The service's container in the run's look at the project. */
export async function containerOf(
  context: Parameters<typeof snapshot>[0],
  service: string,
): Promise<ContainerSummary | undefined> {
  return theOne((await snapshot(context)).filter(({ labels: found }) => found[labels.service] === service))
}

/** The service's container as it is now, not as the run first saw it. */
export async function lookFor(
  service: string,
  { runtime, project, signal }: Working,
): Promise<ContainerSummary | undefined> {
  return theOne(await runtime.containers({ [labels.project]: project.name, [labels.service]: service }, { signal }))
}

/** A replacement that was killed half-way leaves two, of which the one that was to go counts least. */
function theOne(found: readonly ContainerSummary[]): ContainerSummary | undefined {
  return found.find(({ name }) => !name.endsWith(leaving)) ?? found[0]
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

/** What makes the container another one than described, in words; empty when nothing does. */
export function differencesOf(
  present: ContainerSummary,
  described: Described,
  { context, image }: { readonly context: Pick<Working, 'project'>; readonly image: BuiltImage },
): readonly string[] {
  if (present.state === 'dead' || present.state === 'removing') return [`its container is ${present.state}`]
  // made from what its tag meant at that moment: another checkout may have given the tag away just before
  if (present.imageId !== image.id || present.labels[imageLabel] !== image.id)
    return [`image ${image.tag} is another one now`]
  const spec = specFor(described, context, image)
  if (present.labels[labels.hash] === specHash(spec)) return []
  const was = readStoredSpec(present.labels)
  const differences = was ? specDifferences(was, spec) : []
  return differences.length > 0 ? differences : ['its description changed']
}

/** The container as described, with the labels by which it is found and compared. */
function specFor(described: Described, { project }: Pick<Working, 'project'>, image: BuiltImage): ContainerSpec {
  const spec = described.specOf(image.tag, project.stateDirectory)
  return { ...spec, labels: { ...spec.labels, [labels.directory]: project.directory, [imageLabel]: image.id } }
}

/** Creates the container, in place of the present one if there is any. */
export async function makeContainer(
  described: Described,
  context: Telling,
  { image, present }: { readonly image: BuiltImage; readonly present: ContainerSummary | undefined },
): Promise<ServiceHandle> {
  const { runtime, signal, project, log } = context
  const { service } = described
  const spec = specFor(described, context, image)
  for (const { name, content } of inlineFiles(described.model, service)) {
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

/** Addresses that are known before the start. */
function fixedAddresses(spec: ContainerSpec): Record<string, string> {
  if (!spec.networks.every(({ ipv4Address }) => ipv4Address !== undefined)) return {}
  return Object.fromEntries(spec.networks.map(({ network, ipv4Address }) => [network, ipv4Address!]))
}

export interface Replacement {
  readonly image: BuiltImage
  /** What the new container must show before it counts. */
  readonly gates: readonly ContainerGate<ServiceHandle>[]
}

/**
 * Makes the container anew, starts it and waits for its gates. With `deploy.update_config.order: start-first` the old one
 * serves until the new one does, and goes on when that fails; else it goes first. Rejects with the gate's autopsy.
 */
export async function replaceContainer(
  described: Described,
  context: Telling,
  replacement: Replacement,
): Promise<ServiceHandle> {
  const { service } = described
  const present = await lookFor(service.name, context)
  if (present?.state === 'paused') await context.runtime.unpause(present.id, { signal: context.signal })
  const startFirst = service.deploy?.update_config?.order === 'start-first'
  if (startFirst && present?.state === 'running') return replaceBeside(described, context, { ...replacement, present })
  const made = await makeContainer(described, context, { image: replacement.image, present })
  return startedWell(made, described, context, replacement)
}

async function replaceBeside(
  described: Described,
  context: Telling,
  { present, ...replacement }: Replacement & { readonly present: ContainerSummary },
): Promise<ServiceHandle> {
  const { runtime, signal } = context
  const name = present.name.endsWith(leaving) ? present.name.slice(0, -leaving.length) : present.name
  if (present.name === name) await runtime.rename(present.id, name + leaving, { signal })
  // an interrupted run still ends with one container that serves
  const patience = (): { readonly signal: AbortSignal } => ({ signal: AbortSignal.timeout(60_000) })
  let made: ServiceHandle | undefined
  let started: ServiceHandle
  try {
    made = await makeContainer(described, context, { image: replacement.image, present: undefined })
    started = await startedWell(made, described, context, replacement)
  } catch (thrown) {
    if (made) await runtime.remove(made.id, patience())
    await runtime.rename(present.id, name, patience())
    throw thrown
  }
  // its stop signal lets it finish what it has in hand
  await runtime.stop(present.id, patience())
  await runtime.remove(present.id, patience())
  return started
}

async function startedWell(
  made: ServiceHandle,
  described: Described,
  context: Working,
  { gates }: Replacement,
): Promise<ServiceHandle> {
  const { runtime, signal } = context
  await startContainer(made.id, described, context)
  const started = await runtime.inspect(made.id, { signal })
  const handle = started ? handleOf(started, made.service) : made
  for (const gate of gates) {
    await gate.hold(handle, { runtime, signal, node: made.service, blocked: [], answer: () => undefined })
  }
  return handle
}
