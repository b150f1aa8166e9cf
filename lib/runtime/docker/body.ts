/** A ContainerSpec as the body of POST /containers/create (Docker Engine API 1.41; newer fields by version). Pure. */
import { DevstackError } from '../../errors.ts'
import { type ContainerSpec, type Healthcheck, labels, type Mount, type NetworkAttachment } from '../runtime.ts'
import { specHash, storedSpec } from '../spec.ts'

type Json = Readonly<Record<string, unknown>>

/** The networks beyond the first: engines below 1.44 take only one at creation, so the rest are connected afterwards. */
export const furtherNetworks = (spec: ContainerSpec): readonly NetworkAttachment[] => spec.networks.slice(1)

export interface BodyOptions {
  readonly kind: 'docker' | 'podman'
  /** Minor number of the agreed API version. */
  readonly api: number
  /** Of the checkout. */
  readonly directory?: string
}

/**
 * The body. `api` is the minor number of the agreed API version; `start_interval` is left out below 44. Labels of ours are
 * added: project, service, hash, stored spec and, when given, the checkout's directory.
 */
export function createBody(spec: ContainerSpec, options: BodyOptions): Json {
  const [first] = spec.networks
  const exposed = [
    ...spec.ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`),
    ...(spec.expose ?? []).map((port) => (port.includes('/') ? port : `${port}/tcp`)),
  ]
  return compact({
    Image: spec.image,
    Cmd: spec.command,
    Entrypoint: spec.entrypoint,
    Env: Object.entries(spec.environment).map(([name, value]) => `${name}=${value}`),
    Labels: {
      ...(options.directory !== undefined && { [labels.directory]: options.directory }),
      ...spec.labels,
      [labels.project]: spec.project,
      [labels.service]: spec.service,
      [labels.hash]: specHash(spec),
      [labels.spec]: storedSpec(spec),
    },
    User: spec.user,
    WorkingDir: spec.workingDirectory,
    Hostname: spec.hostname,
    Domainname: spec.domainname,
    ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])),
    Healthcheck: spec.healthcheck && healthcheck(spec.healthcheck, options.api),
    StopSignal: spec.stopSignal,
    StopTimeout: spec.stopGraceMs === undefined ? undefined : Math.ceil(spec.stopGraceMs / 1000),
    Tty: spec.tty,
    OpenStdin: spec.stdinOpen,
    HostConfig: hostConfig(spec, options.kind),
    NetworkingConfig: first && { EndpointsConfig: { [first.network]: endpoint(first) } },
  })
}

function hostConfig(spec: ContainerSpec, kind: BodyOptions['kind']): Json {
  const bindings: Record<string, { HostIp: string; HostPort: string }[]> = {}
  for (const { hostIp, hostPort, containerPort, protocol } of spec.ports) {
    const key = `${containerPort}/${protocol}`
    bindings[key] ??= []
    bindings[key].push({ HostIp: hostIp, HostPort: hostPort === 0 ? '' : String(hostPort) })
  }
  return compact({
    NetworkMode: spec.networkMode ?? spec.networks[0]?.network,
    PortBindings: bindings,
    RestartPolicy: compact({ Name: spec.restart.name, MaximumRetryCount: spec.restart.maximumRetries }),
    Binds: spec.mounts.flatMap((mount) => (mount.type === 'bind' && mount.create ? [bindText(mount)] : [])),
    Mounts: spec.mounts.flatMap(mountObject),
    Tmpfs: Object.fromEntries(
      spec.mounts.flatMap((mount) =>
        mount.type === 'tmpfs' ? [[mount.target, tmpfsOptions(mount, kind)] as const] : [],
      ),
    ),
    ExtraHosts: spec.extraHosts,
    Dns: spec.dns,
    DnsSearch: spec.dnsSearch,
    Init: spec.init,
    Privileged: spec.privileged,
    ReadonlyRootfs: spec.readOnly,
    CapAdd: spec.capAdd,
    CapDrop: spec.capDrop,
    SecurityOpt: spec.securityOpt,
    GroupAdd: spec.groupAdd,
    Sysctls: spec.sysctls,
    Ulimits: spec.ulimits?.map(({ name, soft, hard }) => ({ Name: name, Soft: soft, Hard: hard })),
    Devices: spec.devices?.map(({ host, container, permissions }) => ({
      PathOnHost: host,
      PathInContainer: container,
      CgroupPermissions: permissions,
    })),
    ShmSize: spec.shmSizeBytes,
    Memory: spec.memoryBytes,
    MemoryReservation: spec.memoryReservationBytes,
    MemorySwap: spec.memorySwapBytes,
    NanoCpus: spec.cpus === undefined ? undefined : Math.round(spec.cpus * 1e9),
    CpuShares: spec.cpuShares,
    CpusetCpus: spec.cpuset,
    PidsLimit: spec.pidsLimit,
    OomScoreAdj: spec.oomScoreAdj,
    IpcMode: spec.ipc,
    PidMode: spec.pid,
    LogConfig: spec.logging && { Type: spec.logging.driver, Config: spec.logging.options },
  })
}

function mountObject(mount: Mount): readonly Json[] {
  if (mount.type === 'tmpfs' || (mount.type === 'bind' && mount.create)) return []
  const { source, target, readOnly } = mount
  if (mount.type === 'bind') return [{ Type: 'bind', Source: source, Target: target, ReadOnly: readOnly }]
  const noCopy = mount.copy === false ? { VolumeOptions: { NoCopy: true } } : {}
  // An anonymous volume has no source.
  return [{ Type: 'volume', ...(source && { Source: source }), Target: target, ReadOnly: readOnly, ...noCopy }]
}

/** Only this form makes a missing host folder, and it knows no way to quote a colon. */
function bindText(mount: Extract<Mount, { type: 'bind' }>): string {
  if (mount.source.includes(':') || mount.target.includes(':'))
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_MOUNT_MISSING',
      message: `The mount ${mount.source} cannot be created by the engine: its path has a colon.`,
      hint: 'Create the folder yourself and set `create_host_path: false`, or rename it.',
    })
  return `${mount.source}:${mount.target}:${mount.readOnly ? 'ro' : 'rw'}`
}

function tmpfsOptions(mount: Extract<Mount, { type: 'tmpfs' }>, kind: BodyOptions['kind']): string {
  const owned = mount.uid !== undefined || mount.gid !== undefined
  return [
    'rw',
    ...(mount.sizeBytes === undefined ? [] : [`size=${mount.sizeBytes}`]),
    ...(mount.mode === undefined ? [] : [`mode=${mount.mode.toString(8).padStart(4, '0')}`]),
    // Podman 4 knows no ids here; `U` gives the mount to the container's user, who is meant in practice.
    ...(kind === 'podman' && owned ? ['U'] : []),
    ...(kind === 'podman' || mount.uid === undefined ? [] : [`uid=${mount.uid}`]),
    ...(kind === 'podman' || mount.gid === undefined ? [] : [`gid=${mount.gid}`]),
  ].join(',')
}

/** An attachment as the engine's endpoint settings. */
export function endpoint(attachment: Omit<NetworkAttachment, 'network'>): Json {
  const { aliases, ipv4Address, ipv6Address } = attachment
  return compact({
    Aliases: aliases,
    IPAMConfig:
      ipv4Address || ipv6Address ? compact({ IPv4Address: ipv4Address, IPv6Address: ipv6Address }) : undefined,
  })
}

function healthcheck(check: Healthcheck, api: number): Json {
  const nanoseconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms * 1e6)
  return compact({
    Test: check.test,
    Interval: nanoseconds(check.intervalMs),
    Timeout: nanoseconds(check.timeoutMs),
    StartPeriod: nanoseconds(check.startPeriodMs),
    StartInterval: api >= 44 ? nanoseconds(check.startIntervalMs) : undefined,
    Retries: check.retries,
  })
}

/** Without the fields that are undefined. */
function compact(object: Readonly<Record<string, unknown>>): Json {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined))
}
