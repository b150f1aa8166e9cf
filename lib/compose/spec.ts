import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type {
  BuildOptions,
  ContainerSpec,
  Healthcheck,
  Mount,
  NetworkAttachment,
  RestartPolicy,
} from '../runtime/runtime.ts'
import type { ComposeModel, ComposeMount, ComposeService } from './schema.ts'
import { defined, networkName, volumeName } from './shared.ts'
import { composeError } from './tree.ts'

export interface SpecOptions {
  readonly project: string
  /** What to run; the service's `image`, or what its build made. */
  readonly image: string
  /** Engine-wide name of a network of the model; default: as in `networkSpecs`. */
  readonly networkName?: (key: string) => string
  /** Engine-wide name of a volume of the model; default: as in `volumeSpecs`. */
  readonly volumeName?: (key: string) => string
  /** Beside the service's own labels, and over them. */
  readonly labels?: Readonly<Record<string, string>>
  /** Absolute folder for configs and secrets whose text stands in the model. */
  readonly configDirectory: string
  /**
   * Puts a text where a container can mount it and gives the absolute path; the name carries a hash of the text, so the same name always
   * means the same text. Default: the name in `configDirectory`, and nothing is written (`inlineFiles` tells what to write).
   */
  readonly writeFile?: (name: string, content: string) => string
}

/** A text that a container mounts as a file. */
export interface InlineFile {
  readonly name: string
  readonly content: string
}

/** Engine-wide name of the container of a service: `<project>-<service>-1` unless `container_name` says otherwise. */
export function containerName(service: ComposeService, project: string): string {
  return service.container_name ?? `${project}-${service.name}-1`
}

/** The configs and secrets of a service whose text stands in the model, under the names that `containerSpec` mounts. */
export function inlineFiles(model: ComposeModel, service: ComposeService): readonly InlineFile[] {
  return grantsOf(model, service).flatMap(({ inline }) => (inline ? [inline] : []))
}

/**
 * What makes the service's container. Ports without an address go to 127.0.0.1; configs and secrets become read-only bind mounts.
 * Does no I/O but what `writeFile` does.
 */
export function containerSpec(model: ComposeModel, service: ComposeService, options: SpecOptions): ContainerSpec {
  const { project, image } = options
  const networkMode = namespaceOf(model, service.network_mode, project)
  const limits = service.deploy?.resources?.limits
  const reservations = service.deploy?.resources?.reservations
  const quota = service.cpu_quota ? service.cpu_quota / (service.cpu_period ?? 100_000) : undefined
  const reservedShares =
    reservations?.cpus === undefined ? undefined : Math.max(2, Math.round(reservations.cpus * 1024))
  return defined({
    name: containerName(service, project),
    project,
    service: service.name,
    image,
    platform: service.platform,
    command: service.command,
    entrypoint: service.entrypoint,
    environment: service.environment,
    labels: { ...service.labels, ...options.labels },
    user: service.user,
    workingDirectory: service.working_dir,
    hostname: service.hostname,
    domainname: service.domainname,
    ports: service.ports.map((port) => ({
      hostIp: port.host_ip ?? '127.0.0.1',
      hostPort: port.published ?? 0,
      containerPort: port.target,
      protocol: port.protocol,
    })),
    expose: service.expose.length > 0 ? service.expose : undefined,
    mounts: mountsOf(model, service, options),
    networks: networkMode === undefined ? attachmentsOf(model, service, options) : [],
    networkMode,
    extraHosts: service.extra_hosts,
    dns: service.dns,
    dnsSearch: service.dns_search,
    healthcheck: healthcheckOf(service),
    restart: restartOf(service),
    stopSignal: service.stop_signal,
    stopGraceMs: service.stop_grace_period,
    init: service.init,
    tty: service.tty,
    stdinOpen: service.stdin_open,
    privileged: service.privileged,
    readOnly: service.read_only,
    capAdd: service.cap_add,
    capDrop: service.cap_drop,
    securityOpt: service.security_opt,
    groupAdd: service.group_add,
    sysctls: service.sysctls,
    ulimits: service.ulimits && Object.entries(service.ulimits).map(([name, limit]) => ({ name, ...limit })),
    devices: service.devices?.map((one) => ({ host: one.source, container: one.target, permissions: one.permissions })),
    shmSizeBytes: service.shm_size,
    memoryBytes: service.mem_limit ?? limits?.memory,
    memoryReservationBytes: service.mem_reservation ?? reservations?.memory,
    memorySwapBytes: service.memswap_limit,
    cpus: service.cpus ?? limits?.cpus ?? quota,
    cpuShares: service.cpu_shares ?? reservedShares,
    cpuset: service.cpuset,
    pidsLimit: service.pids_limit ?? limits?.pids,
    oomScoreAdj: service.oom_score_adj,
    ipc: namespaceOf(model, service.ipc, project),
    pid: namespaceOf(model, service.pid, project),
    logging: service.logging && {
      driver: service.logging.driver ?? 'json-file',
      options: service.logging.options ?? {},
    },
  })
}

/** `service:x` as the container it means; other modes as they are. */
function namespaceOf(model: ComposeModel, mode: string | undefined, project: string): string | undefined {
  if (!mode?.startsWith('service:')) return mode
  const name = mode.slice('service:'.length)
  const service = Object.hasOwn(model.services, name) ? model.services[name] : undefined
  return `container:${service ? containerName(service, project) : name}`
}

function attachmentsOf(model: ComposeModel, service: ComposeService, options: SpecOptions): NetworkAttachment[] {
  const nameOf = options.networkName ?? ((key: string) => networkName(model, options.project, key))
  return Object.entries(service.networks)
    .toSorted(([, a], [, b]) => (b.priority ?? 0) - (a.priority ?? 0))
    .map(([key, one]) =>
      defined({
        network: nameOf(key),
        // Other containers find it by its service's name, whatever the container is called.
        aliases: [...new Set([service.name, ...one.aliases])],
        ipv4Address: one.ipv4_address,
        ipv6Address: one.ipv6_address,
      }),
    )
}

function mountsOf(model: ComposeModel, service: ComposeService, options: SpecOptions): Mount[] {
  const nameOf = options.volumeName ?? ((key: string) => volumeName(model, options.project, key))
  const mounts = service.volumes.map((mount) => mountOf(mount, nameOf))
  const temporary = service.tmpfs.map(({ target, size, mode, uid, gid }) =>
    defined({ type: 'tmpfs' as const, target, sizeBytes: size, mode, uid, gid }),
  )
  const files = grantsOf(model, service).map(({ target, file, inline }): Mount => {
    const source = inline ? write(inline, options) : file!
    return { type: 'bind', source, target, readOnly: true, create: false }
  })
  return [...mounts, ...temporary, ...files]
}

function write({ name, content }: InlineFile, options: SpecOptions): string {
  return options.writeFile ? options.writeFile(name, content) : join(options.configDirectory, name)
}

function mountOf(mount: ComposeMount, nameOf: (key: string) => string): Mount {
  const { target, read_only: readOnly } = mount
  if (mount.type === 'bind')
    return { type: 'bind', source: mount.source, target, readOnly, create: mount.bind.create_host_path }
  if (mount.type === 'tmpfs')
    return defined({ type: 'tmpfs', target, sizeBytes: mount.tmpfs?.size, mode: mount.tmpfs?.mode })
  // An empty source is an anonymous volume.
  const source = mount.source === undefined ? '' : nameOf(mount.source)
  return defined({ type: 'volume', source, target, readOnly, copy: mount.volume?.nocopy ? false : undefined })
}

function grantsOf(model: ComposeModel, service: ComposeService) {
  const of = (kind: 'config' | 'secret') =>
    service[`${kind}s`].map(({ source, target }) => {
      const resource = model[`${kind}s`][source]!
      if (resource.content === undefined) return { target, file: resource.file, inline: undefined }
      const hash = createHash('sha256').update(resource.content).digest('hex').slice(0, 12)
      return { target, file: undefined, inline: { name: `${kind}-${source}-${hash}`, content: resource.content } }
    })
  return [...of('config'), ...of('secret')]
}

function healthcheckOf({ healthcheck }: ComposeService): Healthcheck | undefined {
  if (!healthcheck) return undefined
  return defined({
    // No test of its own: the image's, with these times.
    test: healthcheck.test ?? [],
    intervalMs: healthcheck.interval,
    timeoutMs: healthcheck.timeout,
    startPeriodMs: healthcheck.start_period,
    startIntervalMs: healthcheck.start_interval,
    retries: healthcheck.retries,
  })
}

function restartOf({ restart, deploy }: ComposeService): RestartPolicy {
  const [name, times] = restart?.split(':') ?? []
  if (name !== undefined) {
    const policy = { name: name as RestartPolicy['name'] }
    return times === undefined ? policy : { ...policy, maximumRetries: Number(times) }
  }
  const policy = deploy?.restart_policy
  if (!policy) return { name: 'no' }
  if (policy.condition === 'none') return { name: 'no' }
  if (policy.condition === 'on-failure') return defined({ name: 'on-failure', maximumRetries: policy.max_attempts })
  return { name: 'always' }
}

/** How to build the service's image, first tag first: its `image`, or `<project>-<service>`. Undefined when it has no `build`. */
export function buildOptions(model: ComposeModel, service: ComposeService, project: string): BuildOptions | undefined {
  const { build } = service
  if (!build) return undefined
  if (!Object.hasOwn(model.services, service.name)) {
    throw composeError('UNKNOWN_SERVICE', `There is no service "${service.name}" in this model`)
  }
  return defined({
    context: build.context,
    dockerfile: build.dockerfile,
    dockerfileInline: build.dockerfile_inline,
    tags: [...new Set([imageOf(service, project), ...(build.tags ?? [])])],
    args: build.args,
    labels: build.labels,
    target: build.target,
    platform: build.platforms?.[0] ?? service.platform,
    network: build.network,
    noCache: build.no_cache,
    pull: build.pull,
    extraHosts: build.extra_hosts,
  })
}

/** The image reference of a service: its `image`, or what its build is called, `<project>-<service>`. */
export function imageOf(service: ComposeService, project: string): string {
  return service.image ?? `${project}-${service.name}`.toLowerCase()
}

/** One service that another waits for. */
export interface ComposeDependency {
  readonly service: string
  readonly condition: 'service_started' | 'service_healthy' | 'service_completed_successfully'
  readonly required: boolean
  readonly restart: boolean
}

/** What a service waits for; `links` and `network_mode: service:x` included, as `service_started`. */
export function composeDependencies(service: ComposeService): readonly ComposeDependency[] {
  return Object.entries(service.depends_on).map(([name, { condition, required, restart }]) => ({
    service: name,
    condition,
    required,
    restart,
  }))
}
