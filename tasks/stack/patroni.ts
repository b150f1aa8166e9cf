/** Patroni 4 through its REST API (https://patroni.readthedocs.io/en/latest/rest_api.html). Reading takes no password. */
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import type { Probe, ServiceHandle } from '../../lib/index.ts'
import { endpoint, formatEndpoint, messageOf, reachOf } from '../../lib/index.ts'
import type { Address, HandleOptions, ReadOptions } from './endpoint.ts'
import { addressOf } from './endpoint.ts'
import { requestJson } from './http.ts'

export const postgresPort = 5432
export const patroniPort = 8008

/** After how many milliseconds without an answer the next member is asked. */
const patience = 300

/** A member of the cluster, as `GET /cluster` lists it. */
const memberSchema = z.object({
  name: z.string(),
  role: z.enum(['leader', 'replica', 'sync_standby', 'quorum_standby', 'standby_leader']),
  /** `running` of a leader, `streaming` of a replica that receives WAL; else `starting`, `stopped`, `creating replica` ... */
  state: z.string(),
  api_url: z.string().optional(),
  host: z.string().optional(),
  port: z.number().nullish(),
  timeline: z.number().nullish(),
  /** Bytes behind the leader; the text `unknown` when Patroni can not tell. */
  lag: z.union([z.number(), z.literal('unknown')]).nullish(),
  pending_restart: z.boolean().optional(),
  tags: z.record(z.string(), z.unknown()).optional(),
})
const clusterSchema = z.object({
  scope: z.string().optional(),
  members: z.array(memberSchema),
  pause: z.boolean().optional(),
  scheduled_switchover: z.object({}).loose().optional(),
})
export type PatroniMember = z.infer<typeof memberSchema>
export type PatroniCluster = z.infer<typeof clusterSchema>

/** What a member says of itself, `GET /health`; sent with status 503 while PostgreSQL does not run, with nulls for what it can not tell then. */
const statusSchema = z.object({
  state: z.string(),
  role: z.string(),
  postmaster_start_time: z.string().optional(),
  server_version: z.number().nullish(),
  timeline: z.number().nullish(),
  replication_state: z.string().optional(),
  sync_standby: z.boolean().optional(),
  cluster_unlocked: z.boolean().optional(),
  failsafe_mode_is_active: z.boolean().optional(),
  pause: z.boolean().optional(),
  pending_restart: z.boolean().optional(),
  database_system_identifier: z.string().optional(),
  /** Unix time of the last look into etcd. */
  dcs_last_seen: z.number().nullish(),
  xlog: z
    .object({
      location: z.number().nullish(),
      received_location: z.number().nullish(),
      replayed_location: z.number().nullish(),
      paused: z.boolean().optional(),
    })
    .optional(),
  replication: z
    .array(
      z.object({
        application_name: z.string(),
        client_addr: z.string().nullish(),
        state: z.string(),
        sync_state: z.string(),
        sync_priority: z.number().nullish(),
      }),
    )
    .optional(),
  patroni: z.object({ version: z.string(), scope: z.string(), name: z.string() }),
})
export type PatroniStatus = z.infer<typeof statusSchema>

/** The cluster as this member read it from etcd. `url`: an endpoint or `http://host:port`. */
export async function readPatroniCluster(url: string | Address, options: ReadOptions = {}): Promise<PatroniCluster> {
  return ask(url, '/cluster', clusterSchema, options)
}

/** This member's own state, whatever it is. Of `/health`: for `/patroni` a member that is starting waits a second and more. */
export async function readPatroni(url: string | Address, options: ReadOptions = {}): Promise<PatroniStatus> {
  return ask(url, '/health', statusSchema, options)
}

export interface PostgresMemberOptions {
  /** Largest distance of a replica behind the leader, in bytes; default 16 MiB. */
  readonly maximumLag?: number
}

/** One member: PostgreSQL runs, as the leader with the lock, or as a replica that streams. */
export function postgresMember(): Probe<ServiceHandle> {
  return async (handle, context) => {
    const status = await readPatroni(await addressOf(handle, patroniPort, context), { signal: context.signal })
    if (status.state !== 'running') return { healthy: false, detail: `PostgreSQL is ${status.state}` }
    if (status.cluster_unlocked) return { healthy: false, detail: `${status.role}, but the cluster has no leader` }
    if (status.role === 'primary') return { healthy: true, detail: `leader, timeline ${status.timeline ?? '?'}` }
    if (status.replication_state !== 'streaming') {
      return { healthy: false, detail: `replica, ${status.replication_state ?? 'not streaming'}` }
    }
    return { healthy: true, detail: `${status.sync_standby ? 'synchronous standby' : 'replica'}, streaming` }
  }
}

export interface PostgresClusterOptions extends PostgresMemberOptions {
  /** How many members the cluster must have; default: as many as handles are given. */
  readonly members?: number
  /** Whether a synchronous standby is required; default true. */
  readonly synchronous?: boolean
}

/** The whole cluster: one leader, every replica streaming on its timeline and close behind, a synchronous standby. */
export function postgresCluster(options: PostgresClusterOptions = {}): Probe<readonly ServiceHandle[]> {
  return async (handles, { runtime, signal }) => {
    const cluster = await firstAnswer(handles, { signal, reach: await reachOf(runtime, signal) })
    return judgePatroniCluster(cluster, { members: handles.length, ...options })
  }
}

/** What `postgresCluster` decides, of a cluster already read. */
export function judgePatroniCluster(
  cluster: PatroniCluster,
  options: PostgresClusterOptions = {},
): { readonly healthy: boolean; readonly detail: string } {
  const { members } = cluster
  const maximumLag = options.maximumLag ?? 16 * 1024 * 1024
  const wanted = options.members ?? members.length
  const leaders = members.filter(isLeader)
  const [leader] = leaders
  if (!leader) return { healthy: false, detail: 'no leader' }
  if (leaders.length > 1) return { healthy: false, detail: `${leaders.length} leaders` }
  if (leader.state !== 'running') return { healthy: false, detail: `leader ${leader.name} is ${leader.state}` }
  if (members.length < wanted) return { healthy: false, detail: `${members.length} of ${wanted} members known` }
  const replicas = members.filter((member) => member !== leader)
  for (const { name, state, timeline, lag } of replicas) {
    if (state !== 'streaming') return { healthy: false, detail: `${name} is ${state}` }
    if (timeline !== leader.timeline) return { healthy: false, detail: `${name} is on timeline ${timeline}` }
    if (lag === 'unknown') return { healthy: false, detail: `the lag of ${name} is unknown` }
    if ((lag ?? 0) > maximumLag) return { healthy: false, detail: `${name} is ${lag} bytes behind` }
  }
  const synchronous = members.filter(({ role }) => role === 'sync_standby' || role === 'quorum_standby')
  if ((options.synchronous ?? true) && replicas.length > 0 && synchronous.length === 0) {
    return { healthy: false, detail: 'no synchronous standby yet' }
  }
  const lag = Math.max(0, ...replicas.map((member) => (typeof member.lag === 'number' ? member.lag : 0)))
  const standby = synchronous.map(({ name }) => name).join(', ')
  const streaming = `${replicas.length} streaming, ${lag} bytes behind`
  return { healthy: true, detail: `${leader.name} leads, ${streaming}${standby && `, ${standby} synchronous`}` }
}

export interface PostgresLeader {
  readonly handle: ServiceHandle
  readonly member: PatroniMember
  /** Where PostgreSQL is reached from this machine. */
  readonly address: Address
}

/**
 * The leader among these services (their names are the members' names), as the first member that answers knows it.
 * A leader that was just cut off is named for up to `ttl` seconds: prove it by a write where that matters.
 *
 * Rejects when nobody answers, when there is no leader, or when it is none of these services.
 */
export async function postgresLeader(
  handles: readonly ServiceHandle[],
  options: HandleOptions = {},
): Promise<PostgresLeader> {
  const cluster = await firstAnswer(handles, options)
  const member = cluster.members.find(isLeader)
  if (!member) throw new Error('the PostgreSQL cluster has no leader')
  const handle = handles.find(({ service }) => service === member.name)
  if (!handle)
    throw new Error(`the leader ${member.name} is none of ${handles.map(({ service }) => service).join(', ')}`)
  return { handle, member, address: endpoint(handle, postgresPort, options.reach) }
}

function isLeader({ role }: PatroniMember): boolean {
  return role === 'leader' || role === 'standby_leader'
}

/**
 * The cluster as told by whoever answers first. One is asked at a time, the next when it fails or keeps silent; a
 * question is never broken off for a quicker answer, which Patroni logs with a stack trace.
 */
async function firstAnswer(handles: readonly ServiceHandle[], options: HandleOptions): Promise<PatroniCluster> {
  if (handles.length === 0) throw new Error('no PostgreSQL service given')
  const said = new Set<string>()
  const asked: Promise<PatroniCluster>[] = []
  for (const handle of handles) {
    const question = readPatroniCluster(endpoint(handle, patroniPort, options.reach), options)
    asked.push(question)
    const answer = await Promise.race([
      question.catch((error: unknown) => void said.add(messageOf(error))),
      setTimeout(patience, undefined, { ref: false }),
    ])
    if (answer) return answer
    options.signal?.throwIfAborted()
  }
  try {
    return await Promise.any(asked)
  } catch {
    options.signal?.throwIfAborted()
    throw new Error(`no member answers: ${[...said].join('; ')}`)
  }
}

async function ask<Out>(
  url: string | Address,
  path: string,
  schema: z.ZodType<Out>,
  options: ReadOptions,
): Promise<Out> {
  const target = typeof url === 'string' ? toEndpoint(url) : url
  const answer = await requestJson(target, path, options)
  const parsed = schema.safeParse(answer.body)
  if (!parsed.success) {
    throw new Error(`Patroni ${formatEndpoint(target)}${path}, ${answer.status}: ${z.prettifyError(parsed.error)}`)
  }
  return parsed.data
}

function toEndpoint(url: string): Address {
  const { hostname, port } = new URL(url)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 80 : Number(port) }
}
