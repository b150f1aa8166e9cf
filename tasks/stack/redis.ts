/** Redis 7: role and replication, read from `INFO replication` (https://redis.io/docs/latest/commands/info/). */
import { z } from 'zod'
import type { Probe, ServiceHandle } from '../../lib/index.ts'
import { endpoint, formatEndpoint } from '../../lib/index.ts'
import type { Address, HandleOptions } from './endpoint.ts'
import { addressesOf, addressOf } from './endpoint.ts'
import type { RedisOptions } from './resp.ts'
import { askRedis, RedisError } from './resp.ts'

export const redisPort = 6379

export interface RedisReplica {
  readonly host: string
  readonly port: number
  /** `online` once it follows the stream of commands. */
  readonly state: string
  readonly offset: number
  /** Seconds since it last reported. */
  readonly lag: number
}

export type RedisNode =
  | {
      readonly role: 'master'
      readonly version: string
      readonly offset: number
      readonly replicas: readonly RedisReplica[]
    }
  | {
      readonly role: 'replica'
      readonly version: string
      readonly offset: number
      readonly master: { readonly host: string; readonly port: number }
      readonly linkUp: boolean
      readonly syncing: boolean
    }

const whole = z.coerce.number().int()
const masterSchema = z.object({
  redis_version: z.string(),
  role: z.literal('master'),
  master_repl_offset: whole,
  connected_slaves: whole,
})
const replicaSchema = z.object({
  redis_version: z.string(),
  role: z.literal('slave'),
  master_host: z.string(),
  master_port: whole,
  master_link_status: z.enum(['up', 'down']),
  master_sync_in_progress: whole.default(0),
  slave_repl_offset: whole.default(0),
})
const connectedSchema = z.object({
  ip: z.string(),
  port: whole,
  state: z.string(),
  offset: whole,
  lag: whole,
})
const infoSchema = z.discriminatedUnion('role', [masterSchema, replicaSchema])

/** `key:value` lines of INFO; section titles and empty lines left out. */
export function parseInfo(text: string): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0 && !line.startsWith('#')) fields[line.slice(0, colon)] = line.slice(colon + 1)
  }
  return fields
}

/** Role and replication of one Redis. Rejects when it does not answer, also while it loads its data (LOADING). */
export async function readRedis(target: Address, options: RedisOptions = {}): Promise<RedisNode> {
  const replies = await askRedis(
    target,
    [
      ['INFO', 'server'],
      ['INFO', 'replication'],
    ],
    options,
  )
  const texts = replies.map((reply) => {
    if (reply instanceof RedisError) throw reply
    if (typeof reply !== 'string') throw new Error(`Redis ${formatEndpoint(target)} answered INFO with no text`)
    return reply
  })
  return toNode(parseInfo(texts.join('\n')), target)
}

function toNode(fields: Record<string, string>, target: Address): RedisNode {
  const parsed = infoSchema.safeParse(fields)
  if (!parsed.success) throw new Error(`Redis ${formatEndpoint(target)} INFO: ${z.prettifyError(parsed.error)}`)
  const info = parsed.data
  if (info.role === 'slave') {
    return {
      role: 'replica',
      version: info.redis_version,
      offset: info.slave_repl_offset,
      master: { host: info.master_host, port: info.master_port },
      linkUp: info.master_link_status === 'up',
      syncing: info.master_sync_in_progress !== 0,
    }
  }
  const replicas = Array.from({ length: info.connected_slaves }, (_, index) => {
    const pairs = (fields[`slave${index}`] ?? '').split(',').map((pair) => pair.split('=', 2))
    const replica = connectedSchema.parse(Object.fromEntries(pairs))
    return { host: replica.ip, port: replica.port, state: replica.state, offset: replica.offset, lag: replica.lag }
  })
  return { role: 'master', version: info.redis_version, offset: info.master_repl_offset, replicas }
}

/** One Redis: it answers with data loaded; a replica's link to its master is up. */
export function redisNode(options: { readonly password?: string } = {}): Probe<ServiceHandle> {
  return async (handle, context) => {
    const target = await addressOf(handle, redisPort, context)
    const node = await readRedis(target, { ...options, signal: context.signal })
    if (node.role === 'master') return { healthy: true, detail: `master, ${node.replicas.length} replicas` }
    const of = `replica of ${node.master.host}`
    if (node.linkUp) return { healthy: true, detail: `${of}, link up` }
    return { healthy: false, detail: node.syncing ? `${of}, synchronising` : `${of}, link down` }
  }
}

/** All of them: one master, all others online as its replicas with the link up. */
export function redisReplication(options: { readonly password?: string } = {}): Probe<readonly ServiceHandle[]> {
  return async (handles, context) => {
    const targets = await addressesOf(handles, redisPort, context)
    const nodes = await Promise.all(targets.map((target) => readRedis(target, { ...options, signal: context.signal })))
    const masters = nodes.flatMap((node, index) => (node.role === 'master' ? [{ node, handle: handles[index]! }] : []))
    const [master] = masters
    if (!master || masters.length > 1) return { healthy: false, detail: `${masters.length} masters` }
    const down = nodes.flatMap((node, index) =>
      node.role === 'replica' && !node.linkUp ? [handles[index]!.service] : [],
    )
    if (down.length > 0) return { healthy: false, detail: `link down: ${down.join(', ')}` }
    const online = master.node.replicas.filter((replica) => replica.state === 'online')
    if (online.length < handles.length - 1) {
      return { healthy: false, detail: `${online.length} of ${handles.length - 1} replicas online` }
    }
    return { healthy: true, detail: `${master.handle.service} is master, ${online.length} replicas online` }
  }
}

/**
 * The service that is master now. Several can call themselves so right after a failover: then the one with online
 * replicas counts. Rejects when there is none.
 */
export async function redisMaster(
  handles: readonly ServiceHandle[],
  options: RedisOptions & HandleOptions = {},
): Promise<{ readonly handle: ServiceHandle; readonly node: RedisNode; readonly address: Address }> {
  const answers = await Promise.allSettled(
    handles.map(async (handle) => {
      const address = endpoint(handle, redisPort, options.reach)
      return { handle, address, node: await readRedis(address, options) }
    }),
  )
  options.signal?.throwIfAborted()
  const masters = answers
    .flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    .filter(({ node }) => node.role === 'master')
    .sort((a, b) => onlineReplicas(b.node) - onlineReplicas(a.node))
  const [master] = masters
  if (master) return master
  const said = answers.flatMap((answer) => (answer.status === 'rejected' ? [String(answer.reason?.message)] : []))
  throw new Error(`no Redis is master${said.length > 0 ? `: ${[...new Set(said)].join('; ')}` : ''}`)
}

function onlineReplicas(node: RedisNode): number {
  return node.role === 'master' ? node.replicas.filter((replica) => replica.state === 'online').length : 0
}
