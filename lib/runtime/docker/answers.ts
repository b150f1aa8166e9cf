/** What engines answer, checked: only the fields that are relied on. Podman leaves out some and sends null for others. */
import { z } from 'zod'
import { DevstackError } from '../../errors.ts'
import type { ContainerState, PortBinding } from '../runtime.ts'
import type { Doing } from './failures.ts'

const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '')
const number = z
  .number()
  .nullish()
  .transform((value) => value ?? 0)
const record = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {})

const endpoints = z
  .record(z.string(), z.object({ IPAddress: text }).nullish())
  .nullish()
  .transform((value) =>
    Object.fromEntries(
      Object.entries(value ?? {}).flatMap(([name, endpoint]) =>
        endpoint?.IPAddress ? [[name, endpoint.IPAddress] as const] : [],
      ),
    ),
  )

const states: readonly ContainerState[] = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']

/** Podman's further states in Docker's words. */
export function containerState(said: string): ContainerState {
  const lower = said.toLowerCase()
  if (states.includes(lower as ContainerState)) return lower as ContainerState
  if (lower === 'configured' || lower === 'initialized') return 'created'
  if (lower === 'stopped') return 'exited'
  if (lower === 'stopping') return 'running'
  return 'dead'
}

const protocol = (said: string): 'tcp' | 'udp' => (said === 'udp' ? 'udp' : 'tcp')

/** GET /containers/json */
export const containerList = z.array(
  z.object({
    Id: z.string(),
    Names: z.array(z.string()).nullish(),
    Image: text,
    ImageID: text,
    State: text,
    Status: text,
    Labels: record,
    Created: z.union([z.number(), z.string().transform((at) => Date.parse(at) / 1000)]),
    Ports: z
      .array(z.object({ IP: text, PrivatePort: z.number(), PublicPort: number, Type: text }))
      .nullish()
      .transform((value) => value ?? []),
    NetworkSettings: z.object({ Networks: endpoints }).nullish(),
  }),
)

/** The published ports of a listing, sorted; IPv6 twins of 0.0.0.0 are folded away. */
export function publishedPorts(
  ports: readonly { IP: string; PrivatePort: number; PublicPort: number; Type: string }[],
): readonly PortBinding[] {
  const bindings = ports
    .filter(({ PublicPort }) => PublicPort > 0)
    .map(({ IP, PrivatePort, PublicPort, Type }) => ({
      hostIp: IP || '0.0.0.0',
      hostPort: PublicPort,
      containerPort: PrivatePort,
      protocol: protocol(Type),
    }))
  return sorted(bindings)
}

const sorted = (bindings: readonly PortBinding[]): readonly PortBinding[] =>
  bindings
    .filter(
      ({ hostIp, hostPort, containerPort }) =>
        hostIp !== '::' ||
        !bindings.some(
          (other) => other.hostIp === '0.0.0.0' && other.hostPort === hostPort && other.containerPort === containerPort,
        ),
    )
    .toSorted((a, b) => a.containerPort - b.containerPort || a.hostPort - b.hostPort)

/** GET /containers/{id}/json */
export const containerInspect = z.object({
  Id: z.string(),
  Name: text,
  Image: text,
  Created: text,
  RestartCount: number,
  State: z.object({
    Status: text,
    Pid: number,
    ExitCode: number,
    OOMKilled: z.boolean().nullish(),
    StartedAt: text,
    FinishedAt: text,
    Error: text,
    Health: healthShape().nullish(),
    Healthcheck: healthShape().nullish(),
  }),
  Config: z.object({ Image: text, Labels: record, Tty: z.boolean().nullish(), Healthcheck: healthcheck() }),
  HostConfig: z
    .object({
      RestartPolicy: z
        .object({
          Name: z.enum(['no', 'always', 'unless-stopped', 'on-failure']).nullish().catch(undefined),
          MaximumRetryCount: z.number().nullish(),
        })
        .nullish(),
    })
    .nullish(),
  NetworkSettings: z
    .object({
      Networks: endpoints,
      Ports: z
        .record(z.string(), z.array(z.object({ HostIp: text, HostPort: text })).nullish())
        .nullish()
        .transform((value) => value ?? {}),
    })
    .nullish(),
})

/** Durations are nanoseconds; `CMD`, `CMD-SHELL`, `NONE` or nothing at all. */
function healthcheck() {
  return z
    .object({
      Test: z.array(z.string()).nullish(),
      Interval: z.number().nullish(),
      Timeout: z.number().nullish(),
      Retries: z.number().nullish(),
    })
    .nullish()
    .catch(undefined)
}

function healthShape() {
  return z.object({
    Status: text,
    Log: z
      .array(z.object({ Output: text }))
      .nullish()
      .transform((value) => value ?? []),
  })
}

/** The published ports of an inspection, whose keys are `5432/tcp`. */
export function inspectedPorts(
  ports: Readonly<Record<string, readonly { HostIp: string; HostPort: string }[] | null | undefined>>,
): readonly PortBinding[] {
  return sorted(
    Object.entries(ports).flatMap(([key, bindings]) => {
      const [port = '0', kind = 'tcp'] = key.split('/')
      return (bindings ?? []).map(({ HostIp, HostPort }) => ({
        hostIp: HostIp || '0.0.0.0',
        hostPort: Number(HostPort),
        containerPort: Number(port),
        protocol: protocol(kind),
      }))
    }),
  )
}

/** POST /containers/create */
export const created = z.object({
  Id: z.string(),
  Warnings: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
})

/** GET /images/{name}/json */
export const imageInspect = z.object({
  Id: z.string(),
  RepoTags: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  Created: text,
  Size: number,
  Config: z.object({ Labels: record, User: text }).nullish(),
})

/** GET /images/json */
export const imageList = z.array(z.object({ Id: z.string() }))

/** GET /networks, GET /networks/{id} */
export const networkInspect = z.object({
  Id: text,
  Name: z.string(),
  Driver: text,
  Internal: z.boolean().nullish(),
  Attachable: z.boolean().nullish(),
  EnableIPv6: z.boolean().nullish(),
  Labels: record,
  Options: record,
  IPAM: z
    .object({
      Config: z
        .array(z.object({ Subnet: text, Gateway: text, IPRange: text }))
        .nullish()
        .transform((value) => value ?? []),
    })
    .nullish(),
  Containers: z
    .record(z.string(), z.object({ Name: text }))
    .nullish()
    .catch(undefined),
})

/** GET /volumes */
const volumeInspect = z.object({ Name: z.string(), Driver: text, Labels: record, Options: record })
export const volumeList = z.object({
  Volumes: z
    .array(volumeInspect)
    .nullish()
    .transform((value) => value ?? []),
})

/** GET /system/df */
export const diskUsage = z.object({
  Volumes: z
    .array(z.object({ Name: z.string(), UsageData: z.object({ Size: number }).nullish() }))
    .nullish()
    .transform((value) => value ?? []),
})

/** GET /info */
export const engineInfo = z.object({
  NCPU: number,
  MemTotal: number,
  OperatingSystem: text,
  Architecture: text,
  DockerRootDir: text,
  SecurityOptions: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  Warnings: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
})

/** GET /events, one message */
export const engineEvent = z.object({
  Type: text,
  Action: text,
  Actor: z.object({ ID: text, Attributes: record }),
  time: number,
  timeNano: number,
})

/** POST /containers/{id}/exec, GET /exec/{id}/json */
export const execCreated = z.object({ Id: z.string() })
export const execInspect = z.object({ Running: z.boolean().nullish(), ExitCode: z.number().nullish(), Pid: number })

/** POST /containers/{id}/wait */
export const waited = z.object({ StatusCode: z.number() })

/** JSON text as `schema` has it; RUNTIME_ANSWER when it is not. */
export function read<T extends z.ZodType>(schema: T, body: string, doing: Doing): z.output<T> {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw unusable(doing, `no JSON: ${body.slice(0, 120)}`, error)
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw unusable(doing, `${issue?.path.join('.') || 'the whole'}: ${issue?.message}`, parsed.error)
}

const unusable = (doing: Doing, what: string, cause: unknown): DevstackError =>
  new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_ANSWER',
    message: `${doing.what}: the engine's answer is not understood (${what}).`,
    hint: 'Is that a Docker or Podman engine of a known version? `devstack run setup` checks it.',
    cause,
  })

/** An image's name as people write it. Podman answers `docker.io/library/debian:12` for `debian:12`. */
export function familiar(image: string): string {
  return image.replace(/^docker\.io\/(library\/)?/, '')
}

/** An image's id as Docker writes it; Podman leaves the algorithm out. */
export function digest(id: string): string {
  return id.startsWith('sha256:') ? id : `sha256:${id}`
}

/** RFC 3339 as milliseconds since the epoch; 0 for the engine's zero time. */
export function instant(at: string): number {
  const ms = Date.parse(at)
  return Number.isNaN(ms) || ms < 0 ? 0 : ms
}
