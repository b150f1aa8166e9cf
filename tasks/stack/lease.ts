/** The PostgreSQL leader and its lease: how long it may be out of touch before another takes its place. */
import { endpoint, reachOf, type ServiceHandle, z } from '../../lib/index.ts'
import { longTime } from './clock.ts'
import { runningHandles } from './handles.ts'
import { episodes, type HistoryRecord } from './history.ts'
import { requestJson } from './http.ts'
import { patroniPort, postgresLeader } from './patroni.ts'
import { type Around, isMember } from './starting.ts'

/** What became of the leader, in words, when the stack was frozen for longer than its lease; else `undefined`. */
export async function outlivedLease(
  history: readonly HistoryRecord[],
  frozenMs: number | undefined,
  context: Around,
): Promise<string | undefined> {
  const lease = await leaseMs(context)
  if (frozenMs === undefined || lease === undefined || frozenMs <= lease) return undefined
  const before = leaderBefore(history)
  const after = await leaderOf(context)
  const outcome =
    before === undefined || after === undefined || before === after
      ? `${after ?? 'its leader'} leads again`
      : `${after} leads in place of ${before}`
  return `the freeze of ${longTime(frozenMs)} outlived the PostgreSQL leader's lease of ${longTime(lease)}: ${outcome}`
}

/** How long the stack has been frozen, when it was seen to be. */
export function pauseOf(history: readonly HistoryRecord[], now = Date.now()): number | undefined {
  const last = episodes(history, now).at(-1)
  return last?.state === 'paused' ? last.to - last.from : undefined
}

/** The PostgreSQL leader as it was last seen. */
export function leaderBefore(history: readonly HistoryRecord[]): string | undefined {
  for (const { services } of history.toReversed()) {
    const leader = Object.entries(services).find(([, { detail }]) => detail.startsWith('leader, timeline'))
    if (leader) return leader[0]
  }
  return undefined
}

/** The PostgreSQL that takes writes; `undefined` without one. Rejects when the cluster has no leader. */
export async function leaderHandle(context: Around): Promise<ServiceHandle | undefined> {
  const { runtime, signal } = context
  const handles = await runningHandles(context)
  const single = handles.find(({ service }) => service === 'postgres')
  const members = handles.filter(({ service }) => isMember(service))
  if (single || members.length === 0) return single
  return (await postgresLeader(members, { signal, reach: await reachOf(runtime, signal) })).handle
}

/** Name of the PostgreSQL leader; `undefined` without a cluster or a leader. */
async function leaderOf(context: Around): Promise<string | undefined> {
  return (await leaderHandle(context).catch(() => undefined))?.service
}

const configSchema = z.object({ ttl: z.number().default(30) })
/** Patroni takes lower values for this one, and says so in its log alone. */
const shortestLease = 20

/** How long the PostgreSQL leader keeps its role without renewing it; `undefined` without a cluster. */
async function leaseMs(context: Around): Promise<number | undefined> {
  const { runtime, signal } = context
  const member = (await runningHandles(context)).find(({ service }) => isMember(service))
  if (!member) return undefined
  const answer = await requestJson(endpoint(member, patroniPort, await reachOf(runtime, signal)), '/config', { signal })
  const parsed = configSchema.safeParse(answer.body)
  return parsed.success ? Math.max(parsed.data.ttl, shortestLease) * 1000 : undefined
}
