import { z } from 'zod'
import type { Place } from '../errors.ts'

/** The resolved model's shape: what `loadCompose` promises, checked once at the end. Sizes are bytes, durations milliseconds. */

const text = z.string().min(1)
const texts = z.record(z.string(), z.string())
const extensions = z.record(z.string(), z.unknown()).optional()
const whole = z.number().int()

/** Made by the reader itself, so not looked at again. */
const place = z.custom<Place>()

const port = z.strictObject({
  target: whole.min(1).max(65535),
  /** Absent: the engine chooses one. */
  published: whole.min(0).max(65535).optional(),
  /** Absent: 127.0.0.1. */
  host_ip: z.string().optional(),
  protocol: z.enum(['tcp', 'udp']),
  name: z.string().optional(),
  app_protocol: z.string().optional(),
  extensions,
})

const volumeMount = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('bind'),
    source: text,
    target: text,
    read_only: z.boolean(),
    bind: z.strictObject({ create_host_path: z.boolean() }),
    volume: z.unknown().optional(),
    tmpfs: z.unknown().optional(),
    extensions,
  }),
  z.strictObject({
    type: z.literal('volume'),
    /** Absent: an anonymous volume. */
    source: text.optional(),
    target: text,
    read_only: z.boolean(),
    volume: z.strictObject({ nocopy: z.boolean().optional(), extensions }).optional(),
    extensions,
  }),
  z.strictObject({
    type: z.literal('tmpfs'),
    target: text,
    read_only: z.literal(false),
    tmpfs: z.strictObject({ size: whole.optional(), mode: whole.optional(), extensions }).optional(),
    extensions,
  }),
])

const dependency = z.strictObject({
  condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']),
  required: z.boolean(),
  restart: z.boolean(),
  extensions,
})

const attachment = z.strictObject({
  aliases: z.array(text),
  ipv4_address: text.optional(),
  ipv6_address: text.optional(),
  priority: whole.optional(),
  extensions,
})

const build = z.strictObject({
  context: text,
  dockerfile: text.optional(),
  dockerfile_inline: z.string().optional(),
  args: texts.optional(),
  labels: texts.optional(),
  target: text.optional(),
  platforms: z.array(text).optional(),
  network: text.optional(),
  no_cache: z.boolean().optional(),
  pull: z.boolean().optional(),
  extra_hosts: z.array(text).optional(),
  tags: z.array(text).optional(),
  extensions,
})

const healthcheck = z.strictObject({
  test: z.array(z.string()).optional(),
  interval: z.number().min(0).optional(),
  timeout: z.number().min(0).optional(),
  start_period: z.number().min(0).optional(),
  start_interval: z.number().min(0).optional(),
  retries: whole.min(0).optional(),
  extensions,
})

const deploy = z.strictObject({
  resources: z
    .strictObject({
      limits: z
        .strictObject({ cpus: z.number().optional(), memory: whole.optional(), pids: whole.optional(), extensions })
        .optional(),
      reservations: z.strictObject({ cpus: z.number().optional(), memory: whole.optional(), extensions }).optional(),
      extensions,
    })
    .optional(),
  restart_policy: z
    .strictObject({
      condition: z.enum(['none', 'on-failure', 'any']).optional(),
      max_attempts: whole.optional(),
      extensions,
    })
    .optional(),
  update_config: z.strictObject({ order: z.enum(['start-first', 'stop-first']).optional(), extensions }).optional(),
  extensions,
})

const tmpfsMount = z.strictObject({
  target: text,
  size: whole.optional(),
  mode: whole.optional(),
  uid: whole.optional(),
  gid: whole.optional(),
})

const grant = z.strictObject({ source: text, target: text, extensions })

const service = z.strictObject({
  name: text,
  /** Where its key stands. */
  place,
  image: text.optional(),
  build: build.optional(),
  /** Empty: the image's own is cleared. */
  command: z.array(z.string()).optional(),
  entrypoint: z.array(z.string()).optional(),
  /** `env_file` and `environment` together. */
  environment: texts,
  labels: texts,
  depends_on: z.record(z.string(), dependency),
  ports: z.array(port),
  expose: z.array(text),
  volumes: z.array(volumeMount),
  tmpfs: z.array(tmpfsMount),
  networks: z.record(z.string(), attachment),
  network_mode: text.optional(),
  configs: z.array(grant),
  secrets: z.array(grant),
  container_name: text.optional(),
  hostname: text.optional(),
  domainname: text.optional(),
  platform: text.optional(),
  pull_policy: z.enum(['always', 'never', 'missing', 'build']).optional(),
  user: text.optional(),
  working_dir: text.optional(),
  restart: text.optional(),
  stop_signal: text.optional(),
  stop_grace_period: z.number().min(0).optional(),
  healthcheck: healthcheck.optional(),
  deploy: deploy.optional(),
  profiles: z.array(text),
  init: z.boolean().optional(),
  tty: z.boolean().optional(),
  stdin_open: z.boolean().optional(),
  privileged: z.boolean().optional(),
  read_only: z.boolean().optional(),
  cap_add: z.array(text).optional(),
  cap_drop: z.array(text).optional(),
  security_opt: z.array(text).optional(),
  group_add: z.array(z.string()).optional(),
  sysctls: texts.optional(),
  ulimits: z.record(z.string(), z.strictObject({ soft: whole, hard: whole })).optional(),
  devices: z.array(z.strictObject({ source: text, target: text, permissions: text })).optional(),
  extra_hosts: z.array(text).optional(),
  dns: z.array(text).optional(),
  dns_search: z.array(text).optional(),
  shm_size: whole.optional(),
  mem_limit: whole.optional(),
  mem_reservation: whole.optional(),
  memswap_limit: whole.optional(),
  cpus: z.number().optional(),
  cpu_shares: whole.optional(),
  cpu_quota: whole.optional(),
  cpu_period: whole.optional(),
  cpuset: z.string().optional(),
  pids_limit: whole.optional(),
  oom_score_adj: whole.min(-1000).max(1000).optional(),
  ipc: text.optional(),
  pid: text.optional(),
  logging: z.strictObject({ driver: text.optional(), options: texts.optional(), extensions }).optional(),
  extensions,
})

const network = z.strictObject({
  name: text.optional(),
  driver: text.optional(),
  driver_opts: texts.optional(),
  ipam: z
    .strictObject({
      config: z
        .array(
          z.strictObject({
            subnet: text.optional(),
            ip_range: text.optional(),
            gateway: text.optional(),
            extensions,
          }),
        )
        .optional(),
      extensions,
    })
    .optional(),
  external: z.boolean(),
  internal: z.boolean().optional(),
  attachable: z.boolean().optional(),
  enable_ipv6: z.boolean().optional(),
  labels: texts,
  extensions,
})

const volume = z.strictObject({
  name: text.optional(),
  driver: text.optional(),
  driver_opts: texts.optional(),
  external: z.boolean(),
  labels: texts,
  extensions,
})

const fileResource = z.strictObject({
  /** Absolute. */
  file: text.optional(),
  content: z.string().optional(),
  /** Name of the variable; its value is in `content` once read. */
  environment: text.optional(),
  extensions,
})

export const modelSchema = z.strictObject({
  /** From `projectName`, COMPOSE_PROJECT_NAME or the files' `name:`, in this order. */
  name: text.optional(),
  services: z.record(z.string(), service),
  networks: z.record(z.string(), network),
  volumes: z.record(z.string(), volume),
  configs: z.record(z.string(), fileResource),
  secrets: z.record(z.string(), fileResource),
  extensions,
  /** Services that no active profile switches on, with the profiles that would. */
  disabled: z.record(z.string(), z.array(z.string())),
  /** Absolute paths of everything read, `env_file`s too, in order. */
  files: z.array(text),
  /** Where things stand, by dotted name: `services.web`, `services.web.ports`, `services.web.ports:8080` (published), `networks.back`. */
  places: z.record(z.string(), place),
  /** What a person should know although it is no error: variables that are not set. */
  warnings: z.array(z.strictObject({ message: z.string(), place: place.optional() })),
})

type Immutable<T> = T extends (infer Item)[]
  ? readonly Immutable<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Immutable<T[Key]> }
    : T

export type ComposeModel = Immutable<z.infer<typeof modelSchema>>
export type ComposeService = Immutable<z.infer<typeof service>>
export type ComposeNetwork = Immutable<z.infer<typeof network>>
export type ComposeVolume = Immutable<z.infer<typeof volume>>
export type ComposeFileResource = Immutable<z.infer<typeof fileResource>>
export type ComposeMount = ComposeService['volumes'][number]
export type ComposePort = ComposeService['ports'][number]
