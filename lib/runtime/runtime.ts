/**
 * The container engine in our own nouns. Every call takes an AbortSignal; what comes back carries ids, never objects of an
 * engine's client library. Source of the semantics: Docker Engine API 1.41 and Podman's compatible API.
 */

/** Labels by which a fresh process finds, adopts or removes what an earlier one made. */
export const labels = {
  project: 'devstack.project',
  service: 'devstack.service',
  /** Fingerprint of the ContainerSpec the container was made from. */
  hash: 'devstack.hash',
  /** The spec itself as JSON without secrets, so that a difference can be named field by field. */
  spec: 'devstack.spec',
  run: 'devstack.run',
  /** Absolute path of the checkout that made it. */
  directory: 'devstack.directory',
  /** Set on images: fingerprint of the build's context and arguments. */
  context: 'devstack.context',
} as const

/** A port of a container that is published on the machine of its engine. */
export interface PortBinding {
  readonly hostIp: string
  /** 0: the engine chooses. */
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp'
}

export type Mount =
  | {
      readonly type: 'bind'
      readonly source: string
      readonly target: string
      readonly readOnly: boolean
      readonly create?: boolean
    }
  | {
      readonly type: 'volume'
      readonly source: string
      readonly target: string
      readonly readOnly: boolean
      readonly copy?: boolean
    }
  | {
      readonly type: 'tmpfs'
      readonly target: string
      readonly sizeBytes?: number
      readonly mode?: number
      readonly uid?: number
      readonly gid?: number
    }

export interface NetworkAttachment {
  /** The engine's name of the network. */
  readonly network: string
  readonly aliases: readonly string[]
  readonly ipv4Address?: string
  readonly ipv6Address?: string
}

export interface Healthcheck {
  /** `['NONE']` switches the image's own off; else `['CMD', ...]` or `['CMD-SHELL', text]`. */
  readonly test: readonly string[]
  readonly intervalMs?: number
  readonly timeoutMs?: number
  readonly startPeriodMs?: number
  /** Left out below API 1.44, where engines refuse it. */
  readonly startIntervalMs?: number
  readonly retries?: number
}

export interface RestartPolicy {
  readonly name: 'no' | 'always' | 'unless-stopped' | 'on-failure'
  readonly maximumRetries?: number
}

/** Everything that makes a container what it is. Two equal specs make interchangeable containers. */
export interface ContainerSpec {
  /** Engine-wide name, `<project>-<service>-<index>`. */
  readonly name: string
  readonly project: string
  readonly service: string
  readonly image: string
  readonly platform?: string
  readonly command?: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly user?: string
  readonly workingDirectory?: string
  readonly hostname?: string
  readonly domainname?: string
  readonly ports: readonly PortBinding[]
  readonly expose?: readonly string[]
  readonly mounts: readonly Mount[]
  readonly networks: readonly NetworkAttachment[]
  /** `host`, `none`, `container:<id>`; excludes `networks`. */
  readonly networkMode?: string
  readonly extraHosts?: readonly string[]
  readonly dns?: readonly string[]
  readonly dnsSearch?: readonly string[]
  readonly healthcheck?: Healthcheck
  readonly restart: RestartPolicy
  readonly stopSignal?: string
  readonly stopGraceMs?: number
  readonly init?: boolean
  readonly tty?: boolean
  readonly stdinOpen?: boolean
  readonly privileged?: boolean
  readonly readOnly?: boolean
  readonly capAdd?: readonly string[]
  readonly capDrop?: readonly string[]
  readonly securityOpt?: readonly string[]
  readonly groupAdd?: readonly string[]
  readonly sysctls?: Readonly<Record<string, string>>
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[]
  readonly devices?: readonly { readonly host: string; readonly container: string; readonly permissions: string }[]
  readonly shmSizeBytes?: number
  readonly memoryBytes?: number
  readonly memoryReservationBytes?: number
  readonly memorySwapBytes?: number
  readonly cpus?: number
  readonly cpuShares?: number
  readonly cpuset?: string
  readonly pidsLimit?: number
  readonly oomScoreAdj?: number
  readonly ipc?: string
  readonly pid?: string
  readonly logging?: { readonly driver: string; readonly options: Readonly<Record<string, string>> }
}

/** The states of a container, as Docker names them. */
export type ContainerState = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

/** What a listing tells; one call for all containers of a project. */
export interface ContainerSummary {
  readonly id: string
  readonly name: string
  readonly image: string
  readonly imageId: string
  readonly state: ContainerState
  /** The engine's words: `Up 3 seconds (healthy)`. */
  readonly status: string
  readonly labels: Readonly<Record<string, string>>
  /** Address by network name. */
  readonly addresses: Readonly<Record<string, string>>
  readonly ports: readonly PortBinding[]
  readonly createdAt: number
}

/** What looking at one container tells. */
export interface ContainerDetails extends ContainerSummary {
  /** Of its first process, as the engine's machine counts; 0 while it does not run. */
  readonly pid: number
  /** Of its last end; null while it runs and before its first start. */
  readonly exitCode: number | null
  readonly oomKilled: boolean
  /** By its restart policy. */
  readonly restarts: number
  /** Milliseconds since the epoch; 0 before its first start. */
  readonly startedAt: number
  /** Milliseconds since the epoch; 0 before its first end. */
  readonly finishedAt: number
  readonly health?: { readonly status: 'starting' | 'healthy' | 'unhealthy' | 'none'; readonly lastOutput: string }
  /** What the container was made with, its image's own included; absent where the engine does not tell. */
  readonly healthcheck?: Healthcheck
  readonly restartPolicy?: RestartPolicy
  readonly error: string
}

/** How a command in a container ended. */
export interface ExecResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface ExecOptions {
  readonly command: readonly string[]
  readonly user?: string
  readonly environment?: Readonly<Record<string, string>>
  readonly workingDirectory?: string
  readonly stdin?: string | Uint8Array | NodeJS.ReadableStream
  /** Given, output is streamed there and `stdout` / `stderr` of the result stay empty. */
  readonly onOutput?: (chunk: Uint8Array, stream: 'stdout' | 'stderr') => void
  readonly signal?: AbortSignal
}

export interface InteractiveExecOptions extends Omit<ExecOptions, 'stdin' | 'onOutput'> {
  readonly stdin: NodeJS.ReadableStream
  readonly stdout: NodeJS.WritableStream
  readonly tty: boolean
  readonly size?: { readonly columns: number; readonly rows: number }
}

/** A line that a container wrote. */
export interface LogLine {
  readonly text: string
  readonly stream: 'stdout' | 'stderr'
  /** RFC 3339 with nanoseconds, as the engine gives it. */
  readonly at: string
}

export interface LogOptions {
  readonly follow?: boolean
  /** Seconds since the epoch, or RFC 3339. */
  readonly since?: string | number
  readonly until?: string | number
  /** Last lines only. */
  readonly tail?: number
  readonly signal?: AbortSignal
}

export interface EngineEvent {
  readonly kind: 'container' | 'network' | 'volume' | 'image'
  /** `start`, `die`, `oom`, `health_status: healthy`, `destroy` ... */
  readonly action: string
  readonly id: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly exitCode?: number
  readonly at: number
}

export interface NetworkSpec {
  readonly name: string
  readonly driver?: string
  readonly driverOptions?: Readonly<Record<string, string>>
  readonly subnet?: string
  readonly gateway?: string
  readonly ipRange?: string
  readonly internal?: boolean
  readonly attachable?: boolean
  readonly ipv6?: boolean
  readonly labels: Readonly<Record<string, string>>
}

export interface VolumeSpec {
  readonly name: string
  readonly driver?: string
  readonly driverOptions?: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
}

export interface BuildOptions {
  /** Absolute path of the context folder; its .dockerignore is honoured. */
  readonly context: string
  /** Relative to the context, or absolute; default `Dockerfile`. */
  readonly dockerfile?: string
  readonly dockerfileInline?: string
  readonly tags: readonly string[]
  readonly args?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly target?: string
  readonly platform?: string
  readonly network?: string
  readonly noCache?: boolean
  readonly pull?: boolean
  readonly extraHosts?: readonly string[]
  readonly onOutput?: (line: string) => void
  readonly signal?: AbortSignal
}

/** An image that the engine has. */
export interface Image {
  readonly id: string
  readonly tags: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly sizeBytes: number
  readonly user: string
  readonly createdAt: number
}

/** Which container engine answers, and where. */
export interface EngineInfo {
  /** `docker` or `podman`. */
  readonly kind: 'docker' | 'podman'
  readonly version: string
  readonly apiVersion: string
  /** Where it was found: `DOCKER_HOST`, `docker context "x"`, `default socket`, ... */
  readonly source: string
  readonly address: string
  readonly rootless: boolean
  readonly cpus: number
  readonly memoryBytes: number
  readonly operatingSystem: string
  readonly architecture: string
  readonly rootDirectory: string
  readonly warnings: readonly string[]
}

export interface PullProgress {
  readonly layer: string
  readonly status: string
  readonly done: number
  readonly total: number
}

type Call = { readonly signal?: AbortSignal }

/** A container's handle: what flows along the edges of a graph. JSON-safe. */
export interface ServiceHandle {
  readonly id: string
  readonly name: string
  readonly service: string
  readonly project: string
  readonly image: string
  /** Address by network name, inside the engine. */
  readonly addresses: Readonly<Record<string, string>>
  readonly ports: readonly PortBinding[]
}

/** What only looks. A dry plan gets this alone. */
export interface RuntimeReader {
  /** Version and address of the engine; throws RUNTIME_UNREACHABLE with a remedy when none answers. */
  info(call?: Call): Promise<EngineInfo>
  /** All containers that carry every given label (`value` undefined: any value), stopped ones too. */
  containers(filter: Readonly<Record<string, string | undefined>>, call?: Call): Promise<readonly ContainerSummary[]>
  /** `undefined` when there is no such container. */
  inspect(idOrName: string, call?: Call): Promise<ContainerDetails | undefined>
  /** Lines in order. With `follow`, ends when the container ends or the signal aborts. */
  logs(idOrName: string, options?: LogOptions): AsyncIterable<LogLine>
  /** Events from now on until the signal aborts. Reconnects when the stream breaks, and throws when the engine is gone. */
  events(
    filter: Readonly<Record<string, string | undefined>>,
    call: { readonly signal: AbortSignal },
  ): AsyncIterable<EngineEvent>
  /** `undefined` when there is no such image here. */
  image(reference: string, call?: Call): Promise<Image | undefined>
  images(filter: Readonly<Record<string, string | undefined>>, call?: Call): Promise<readonly Image[]>
  networks(
    filter: Readonly<Record<string, string | undefined>>,
    call?: Call,
  ): Promise<readonly (NetworkSpec & { readonly id: string })[]>
  volumes(filter: Readonly<Record<string, string | undefined>>, call?: Call): Promise<readonly VolumeSpec[]>
  /** Bytes used by each volume, by name; slow on engines with much data. */
  volumeSizes(call?: Call): Promise<Readonly<Record<string, number>>>
}

/** Everything. Calls are idempotent where the name says so: `ensure` of what is there, `stop` of what is stopped, `remove` of what is gone. */
export interface Runtime extends RuntimeReader {
  /** Creates the container and never starts it. A name already taken throws RUNTIME_NAME_TAKEN. */
  create(spec: ContainerSpec, call?: Call): Promise<{ readonly id: string; readonly warnings: readonly string[] }>
  start(idOrName: string, call?: Call): Promise<void>
  /** Sends the stop signal, then kills after `graceMs` (default: the container's own, else 10 s). */
  stop(idOrName: string, options?: { readonly graceMs?: number } & Call): Promise<void>
  kill(idOrName: string, options?: { readonly signalName?: string } & Call): Promise<void>
  pause(idOrName: string, call?: Call): Promise<void>
  unpause(idOrName: string, call?: Call): Promise<void>
  restart(idOrName: string, options?: { readonly graceMs?: number } & Call): Promise<void>
  /** Resolves with the exit code once it has ended. */
  wait(idOrName: string, call?: Call): Promise<number>
  /** Throws RUNTIME_NAME_TAKEN when another container has the name. */
  rename(idOrName: string, name: string, call?: Call): Promise<void>
  /** Kills if need be. `volumes`: anonymous ones go too. */
  remove(idOrName: string, options?: { readonly volumes?: boolean } & Call): Promise<void>
  exec(idOrName: string, options: ExecOptions): Promise<ExecResult>
  /** Exit code. Restores nothing on the terminal; the caller owns raw mode. */
  execInteractive(idOrName: string, options: InteractiveExecOptions): Promise<number>
  /** A tar stream of a path inside the container. */
  copyOut(idOrName: string, path: string, call?: Call): Promise<NodeJS.ReadableStream>
  /** Unpacks a tar stream at a path inside the container. */
  copyIn(idOrName: string, path: string, tar: NodeJS.ReadableStream | Uint8Array, call?: Call): Promise<void>
  connect(network: string, idOrName: string, attachment: Omit<NetworkAttachment, 'network'>, call?: Call): Promise<void>
  disconnect(network: string, idOrName: string, call?: Call): Promise<void>
  ensureNetwork(spec: NetworkSpec, call?: Call): Promise<{ readonly created: boolean }>
  removeNetwork(name: string, call?: Call): Promise<void>
  ensureVolume(spec: VolumeSpec, call?: Call): Promise<{ readonly created: boolean }>
  removeVolume(name: string, call?: Call): Promise<void>
  /** Builds; a failing step throws RUNTIME_BUILD_FAILED with that step and its output in `details`. */
  build(options: BuildOptions): Promise<Image>
  pull(
    reference: string,
    options?: { readonly platform?: string; readonly onProgress?: (progress: PullProgress) => void } & Call,
  ): Promise<Image>
  tag(reference: string, target: string, call?: Call): Promise<void>
  removeImage(reference: string, call?: Call): Promise<void>
  /** Creates an image from a tar of a root file system (`docker import`). */
  importImage(tar: NodeJS.ReadableStream, reference: string, call?: Call): Promise<Image>
  /** Closes idle connections. */
  close(): void
}
