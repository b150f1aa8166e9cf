/** Redis Sentinel (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/). */
import { z } from 'zod'
import type { Probe, ServiceHandle } from '../../lib/index.ts'
import { formatEndpoint } from '../../lib/index.ts'
import type { Address } from './endpoint.ts'
import { addressesOf, addressOf } from './endpoint.ts'
import type { RedisOptions, Reply } from './resp.ts'
import { askRedis, RedisError } from './resp.ts'

export const sentinelPort = 26379
/** The name that `sentinel monitor` gives the watched master and its replicas. */
export const sentinelGroup = 'devstack'

const whole = z.coerce.number().int()
const flags = z.string().transform((text) => text.split(','))
const masterSchema = z.object({
  name: z.string(),
  ip: z.string(),
  port: whole,
  flags,
  quorum: whole,
  'num-slaves': whole,
  'num-other-sentinels': whole,
  'config-epoch': whole,
})
const replicaSchema = z.object({
  ip: z.string(),
  port: whole,
  flags,
  'master-link-status': z.string().default('err'),
  'slave-repl-offset': whole.default(0),
})
const sentinelSchema = z.object({ ip: z.string(), port: whole, runid: z.string(), flags })

export interface SentinelView {
  readonly master: {
    readonly host: string
    readonly port: number
    /** `master` alone when all is well; `s_down`, `o_down`, `failover_in_progress` besides when it is not. */
    readonly flags: readonly string[]
    readonly quorum: number
    readonly epoch: number
  }
  readonly replicas: readonly {
    readonly host: string
    readonly port: number
    readonly flags: readonly string[]
    readonly linkUp: boolean
    readonly offset: number
  }[]
  /** The other Sentinels; never the one asked. */
  readonly sentinels: readonly {
    readonly host: string
    readonly port: number
    readonly id: string
    readonly flags: readonly string[]
  }[]
  /** Whether quorum and majority can be reached now, in Sentinel's own words. */
  readonly quorum: { readonly reached: boolean; readonly text: string }
}

/** What one Sentinel knows. Rejects when it does not answer or watches no such group. */
export async function readSentinel(
  target: Address,
  options: RedisOptions & { readonly group?: string } = {},
): Promise<SentinelView> {
  const group = options.group ?? sentinelGroup
  const [master, replicas, sentinels, quorum] = await askRedis(
    target,
    [
      ['SENTINEL', 'MASTER', group],
      ['SENTINEL', 'REPLICAS', group],
      ['SENTINEL', 'SENTINELS', group],
      ['SENTINEL', 'CKQUORUM', group],
    ],
    options,
  )
  const where = `Sentinel ${formatEndpoint(target)}`
  const known = parse(masterSchema, toRecord(master), where)
  return {
    master: {
      host: known.ip,
      port: known.port,
      flags: known.flags,
      quorum: known.quorum,
      epoch: known['config-epoch'],
    },
    replicas: toRecords(replicas).map((record) => {
      const replica = parse(replicaSchema, record, where)
      return {
        host: replica.ip,
        port: replica.port,
        flags: replica.flags,
        linkUp: replica['master-link-status'] === 'ok',
        offset: replica['slave-repl-offset'],
      }
    }),
    sentinels: toRecords(sentinels).map((record) => {
      const other = parse(sentinelSchema, record, where)
      return { host: other.ip, port: other.port, id: other.runid, flags: other.flags }
    }),
    quorum: {
      reached: typeof quorum === 'string' && quorum.startsWith('OK'),
      text: quorum instanceof RedisError ? quorum.message : String(quorum),
    },
  }
}

export interface SentinelOptions {
  readonly password?: string
  readonly group?: string
  /** How many replicas must be known and up; default 2. */
  readonly replicas?: number
  /** How many Sentinels there must be, the one asked included; default 3. */
  readonly sentinels?: number
}

/** One Sentinel: its master is up, all replicas and all other Sentinels are known and up, the quorum is reached. */
export function sentinelNode(options: SentinelOptions = {}): Probe<ServiceHandle> {
  return async (handle, context) => {
    const target = await addressOf(handle, sentinelPort, context)
    const view = await readSentinel(target, { ...options, signal: context.signal })
    return judgeSentinel(view, options)
  }
}

/** All Sentinels: each is healthy by itself and all name the same master. */
export function sentinelQuorum(options: SentinelOptions = {}): Probe<readonly ServiceHandle[]> {
  return async (handles, context) => {
    const targets = await addressesOf(handles, sentinelPort, context)
    const views = await Promise.all(
      targets.map((target) => readSentinel(target, { ...options, signal: context.signal })),
    )
    const masters = [...new Set(views.map(({ master }) => master.host))]
    if (masters.length > 1) return { healthy: false, detail: `they name different masters: ${masters.join(', ')}` }
    const verdicts = views.map((view) => judgeSentinel(view, { sentinels: handles.length, ...options }))
    const index = verdicts.findIndex((verdict) => !verdict.healthy)
    if (index >= 0) return { healthy: false, detail: `${handles[index]?.service}: ${verdicts[index]?.detail}` }
    return verdicts[0] ?? { healthy: false, detail: 'no Sentinel given' }
  }
}

/** What `sentinelNode` decides, of a view already read. */
export function judgeSentinel(
  view: SentinelView,
  options: SentinelOptions = {},
): { readonly healthy: boolean; readonly detail: string } {
  const { master } = view
  const trouble = master.flags.filter((flag) => flag !== 'master')
  if (trouble.length > 0) return { healthy: false, detail: `master ${master.host}: ${trouble.join(', ')}` }
  const replicas = view.replicas.filter((replica) => replica.linkUp && isUp(replica.flags)).length
  const wantedReplicas = options.replicas ?? 2
  if (replicas < wantedReplicas) return { healthy: false, detail: `${replicas} of ${wantedReplicas} replicas up` }
  const others = view.sentinels.filter(({ flags }) => isUp(flags)).length
  const wantedOthers = (options.sentinels ?? 3) - 1
  if (others < wantedOthers) return { healthy: false, detail: `${others} of ${wantedOthers} other Sentinels up` }
  if (!view.quorum.reached) return { healthy: false, detail: view.quorum.text }
  return { healthy: true, detail: `watches ${master.host}, ${replicas} replicas, ${others + 1} Sentinels` }
}

function isUp(flags: readonly string[]): boolean {
  return !flags.some((flag) => flag === 's_down' || flag === 'o_down' || flag === 'disconnected')
}

/** Sentinel answers with flat lists of alternating names and values. */
function toRecord(reply: Reply | undefined): Record<string, string> {
  if (reply instanceof RedisError) throw reply
  if (!Array.isArray(reply)) throw new Error(`unexpected answer of Sentinel: ${JSON.stringify(reply)}`)
  const record: Record<string, string> = {}
  for (let index = 0; index + 1 < reply.length; index += 2) record[String(reply[index])] = String(reply[index + 1])
  return record
}

function toRecords(reply: Reply | undefined): readonly Record<string, string>[] {
  if (reply instanceof RedisError) throw reply
  if (!Array.isArray(reply)) throw new Error(`unexpected answer of Sentinel: ${JSON.stringify(reply)}`)
  return reply.map((item: Reply) => toRecord(item))
}

function parse<Out>(schema: z.ZodType<Out>, value: unknown, where: string): Out {
  const parsed = schema.safeParse(value)
  if (!parsed.success) throw new Error(`${where}: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}
