/** `compose('compose.yaml')`: the services of compose files as tasks with gates on their edges. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, dirname, resolve } from 'node:path'
import { formatWarnings } from '../compose/format.ts'
import type { ComposeModel, ComposeService } from '../compose/schema.ts'
import { networkSpecs, volumeSpecs } from '../compose/shared.ts'
import { buildOptions, composeDependencies, containerSpec, imageOf } from '../compose/spec.ts'
import { task } from '../config/define.ts'
import type { Need, Needs, Task } from '../engine/task.ts'
import { DevstackError, suggest } from '../errors.ts'
import type { ContainerGate } from '../gate/gate.ts'
import { type ContainerSummary, labels, type ServiceHandle } from '../runtime/runtime.ts'
import { type BuiltImage, imageTask, pulledImage } from './image.ts'
import { claimForRun, type OwnerContext } from './owner.ts'
import { type ServiceTasks, serviceTasks } from './service.ts'
import { type SnapshotContext, snapshot } from './snapshot.ts'

/** Compose files, and what is said of their services. */
export interface StackOptions {
  readonly files: readonly string[]
  /** What relative paths in the files are relative to; default the first file's folder, as in docker compose. */
  readonly directory?: string
  /** Default: COMPOSE_PROFILES. */
  readonly profiles?: readonly string[]
  /** Gates of services in place of their own healthchecks. */
  readonly gates?: Readonly<Record<string, ContainerGate<ServiceHandle> | readonly ContainerGate<ServiceHandle>[]>>
  /** Images that are made by tasks: for `FROM` lines and `image:` entries. */
  readonly images?: Readonly<Record<string, Need<BuiltImage>>>
  /** What must be done before the first network or image is made. */
  readonly before?: Needs
  /** Variables for interpolation, over the project's. */
  readonly environment?: Readonly<Record<string, string>>
  /** Services whose images are built although nothing changed, without layers of earlier builds. */
  readonly afresh?: readonly string[]
  /** Told what containers there are, before the first network, volume or container is made; throws to refuse. */
  readonly admit?: (present: readonly ContainerSummary[]) => void
}

/** What the folder of the project tells. */
export interface StackPlace {
  readonly directory: string
  readonly project: string
  readonly environment: Readonly<Record<string, string>>
}

/** A stack read from its files. */
export interface LoadedStack {
  readonly model: ComposeModel
  readonly services: ReadonlyMap<string, ServiceTasks>
  /** The ready task of every service, by name; of those named, and what they depend on, when some are. */
  ready(names?: readonly string[]): Record<string, Task<ServiceHandle>>
  /** The image tasks, by tag. */
  readonly images: ReadonlyMap<string, Task<BuiltImage>>
}

/** Reads the files and makes the tasks; nothing runs. Throws COMPOSE_* for what is wrong in the files. */
export async function loadStack(options: StackOptions, place: StackPlace): Promise<LoadedStack> {
  const { directory, project } = place
  // what reads the files is large, and most configs have none
  const { loadCompose } = await import('../compose/load.ts')
  const environment = { DEVSTACK_PROJECT: project, ...place.environment, ...options.environment }
  const model = await loadCompose({
    files: options.files.map((file) => resolve(directory, file)),
    directory: options.directory ?? dirname(resolve(directory, options.files[0] ?? '.')),
    environment,
    ...(options.profiles ? { profiles: options.profiles } : {}),
    projectName: project,
  })
  const before = options.before ?? {}
  const ground = groundTask(model, project, options)
  const images = new Map<string, Task<BuiltImage>>()
  const maker = (reference: string): Need<BuiltImage> | undefined =>
    options.images?.[reference] ?? images.get(reference)
  for (const service of Object.values(model.services)) {
    const build = buildOptions(model, service, project)
    const tag = imageOf(service, project)
    if (images.has(tag)) continue
    images.set(
      tag,
      build
        ? imageTask(
            { ...build, tags: [tag, ...build.tags.filter((one) => one !== tag)] },
            { maker, before, afresh: options.afresh?.includes(service.name) ?? false },
          )
        : imageFor(service, tag, options),
    )
  }
  const services = new Map<string, ServiceTasks>()
  const making = (name: string): ServiceTasks => {
    const made = services.get(name)
    if (made) return made
    const service = model.services[name]!
    const gates = options.gates?.[name]
    const tasks = serviceTasks({
      model,
      service,
      ground,
      image: images.get(imageOf(service, project))!,
      others: making,
      portSource: { environment, ...(options.environment ? { chosen: options.environment } : {}) },
      specOf: (image, stateDirectory) =>
        containerSpec(model, service, { project, image, configDirectory: resolve(stateDirectory, 'files') }),
      ...(gates === undefined ? {} : { gates: Array.isArray(gates) ? gates : [gates as ContainerGate<ServiceHandle>] }),
    })
    services.set(name, tasks)
    return tasks
  }
  for (const name of Object.keys(model.services)) making(name)
  return {
    model,
    services,
    images,
    ready(names) {
      const wanted = names && names.length > 0 ? names : Object.keys(model.services)
      // what others wait for until it has ended is a job, not a service
      const jobs = new Set(
        Object.values(model.services)
          .flatMap(composeDependencies)
          .flatMap(({ service, condition }) => (condition === 'service_completed_successfully' ? [service] : [])),
      )
      return Object.fromEntries(
        wanted.map((name) => {
          const tasks = serviceNamed(model, services, name)
          return [name, jobs.has(name) ? tasks.completed : tasks.ready]
        }),
      )
    },
  }
}

/**
 * The `name:` of compose files, relative to the place; undefined without one, and when the files can not be read: whoever
 * loads them says so. YAML is parsed only when a line looks like it.
 */
export async function stackName(
  files: readonly string[],
  { directory, environment }: Omit<StackPlace, 'project'>,
): Promise<string | undefined> {
  const paths = files.map((file) => resolve(directory, file))
  try {
    if (!paths.some((path) => /^["']?name["']?[ \t]*:|^\s*\{/m.test(readFileSync(path, 'utf8')))) return undefined
    const { composeName } = await import('../compose/load.ts')
    return await composeName({ files: paths, directory: dirname(paths[0]!), environment })
  } catch (thrown) {
    if (thrown instanceof DevstackError && thrown.code === 'COMPOSE_NAME') throw thrown
    return undefined
  }
}

function imageFor(service: ComposeService, reference: string, options: StackOptions): Task<BuiltImage> {
  return pulledImage(reference, {
    ...(service.platform === undefined ? {} : { platform: service.platform }),
    ...(service.pull_policy === undefined ? {} : { policy: service.pull_policy }),
    maker: (wanted) => options.images?.[wanted],
    ...(options.before ? { before: options.before } : {}),
  })
}

function serviceNamed(model: ComposeModel, services: ReadonlyMap<string, ServiceTasks>, name: string): ServiceTasks {
  const found = services.get(name)
  if (found) return found
  throw new DevstackError({
    kind: 'usage',
    code: 'STACK_UNKNOWN_SERVICE',
    message: `There is no service "${name}" in ${model.files.map((file) => basename(file)).join(', ')}.${suggest(name, services.keys())}`,
    hint: `The services are ${[...services.keys()].join(', ')}.`,
  })
}

/** Networks and named volumes; reused while they are there. First of all it makes sure that the project is this checkout's. */
function groundTask(model: ComposeModel, project: string, { before = {}, admit }: StackOptions): Task<undefined> {
  const networks = networkSpecs(model, project)
  const volumes = volumeSpecs(model, project)
  const enter = async (context: OwnerContext & SnapshotContext): Promise<string | undefined> => {
    const moved = await claimForRun(context)
    admit?.(await snapshot(context))
    return moved
  }
  let warnedIn = ''
  /** Once a run, by the one task that all services of the files need. */
  const warn = ({ runId, note }: { readonly runId: string; note(text: string): void }): void => {
    if (warnedIn === runId) return
    warnedIn = runId
    for (const line of formatWarnings(model)) note(line)
  }
  return task({
    description: 'Make networks and volumes',
    label: 'networks and volumes',
    needs: before,
    private: true,
    effect: 'create',
    observe: async (context) => {
      const { runtime, signal, log } = context
      warn(context)
      const moved = await enter(context)
      if (moved !== undefined) log(`takes over what ${moved} made: that folder is gone, or has no config any more`)
      const filter = { [labels.project]: project }
      const [foundNetworks, foundVolumes] = await Promise.all([
        runtime.networks(filter, { signal }),
        runtime.volumes(filter, { signal }),
      ])
      const missing = [
        ...networks.filter(({ name, external }) => !external && !foundNetworks.some((found) => found.name === name)),
        ...volumes.filter(({ name, external }) => !external && !foundVolumes.some((found) => found.name === name)),
      ].map(({ name }) => name)
      const external = [...networks, ...volumes].some(({ external: outside }) => outside)
      if (missing.length === 0 && !external) return { state: 'fresh', cause: 'all are there', value: undefined }
      return {
        state: 'stale',
        cause: missing.length > 0 ? `${missing.join(', ')} missing` : 'external ones are looked for',
      }
    },
    run: async (context) => {
      const {
        runtime,
        signal,
        project: { directory },
      } = context
      warn(context)
      await enter(context)
      const own = { [labels.project]: project, [labels.directory]: directory }
      await Promise.all([
        ...networks.map(async (network) => {
          if (!network.external)
            return runtime.ensureNetwork({ ...network, labels: { ...network.labels, ...own } }, { signal })
          const found = (await runtime.networks({}, { signal })).some(({ name }) => name === network.name)
          if (!found) throw missingExternal('network', network.name)
          return undefined
        }),
        ...volumes.map(async (volume) => {
          if (!volume.external)
            return runtime.ensureVolume({ ...volume, labels: { ...volume.labels, ...own } }, { signal })
          const found = (await runtime.volumes({}, { signal })).some(({ name }) => name === volume.name)
          if (!found) throw missingExternal('volume', volume.name)
          return undefined
        }),
      ])
    },
  })
}

function missingExternal(what: string, name: string): DevstackError {
  return new DevstackError({
    kind: 'runtime',
    code: 'STACK_EXTERNAL_MISSING',
    message: `The external ${what} "${name}" does not exist.`,
    hint: `Create it, or take \`external: true\` away so that devstack makes it.`,
  })
}

/** A project's name for resources that need a number, for instance a subnet: 0 to `below` - 1, the same for the same name. */
export function numberOf(project: string, below: number): number {
  return createHash('sha256').update(project).digest().readUInt32BE() % below
}

/** For each service the services it depends on. */
export function composeDependenciesOf(model: ComposeModel): Map<string, readonly string[]> {
  return new Map(
    Object.values(model.services).map((service) => [
      service.name,
      composeDependencies(service).map((one) => one.service),
    ]),
  )
}
