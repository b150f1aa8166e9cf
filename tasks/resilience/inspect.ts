/** `inspect`: etcd, Patroni, Redis and Sentinel, each asked at every member at the same time. */
import {
  type Ambient,
  type ContainerState,
  endpoint,
  handleOf,
  messageOf,
  type Reach,
  reachOf,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { etcdClientPort, readEtcd } from '../stack/etcd.ts'
import { notUp, projectContainers, serviceOf } from '../stack/handles.ts'
import { requestJson } from '../stack/http.ts'
import { patroniPort, readPatroni, readPatroniCluster } from '../stack/patroni.ts'
import { parseInfo, readRedis, redisPort } from '../stack/redis.ts'
import { askRedis } from '../stack/resp.ts'
import { readSentinel, sentinelPort } from '../stack/sentinel.ts'
import { formatInspection } from './inspect-text.ts'
import type { Inspection, Told } from './inspection.ts'
import { connectPostgres } from './postgres-client.ts'

type Around = Ambient & { readonly signal: AbortSignal }

/** How long one member is waited for: everything together is to take half a second. */
const defaultPatienceMs = 400

const historySchema = z.array(z.tuple([z.number(), z.number(), z.string()]).rest(z.unknown()))

/** Asks everybody at once; who does not answer within `patienceMs` (default 400) is part of the answer. */
export async function inspectStack(around: Around, patienceMs = defaultPatienceMs): Promise<Inspection> {
  const started = performance.now()
  const [containers, reach] = await Promise.all([projectContainers(around), reachOf(around.runtime, around.signal)])
  if (containers.length === 0) throw notUp()
  const services = containers.map((one) => ({ ...handleOf(one, serviceOf(one)), state: one.state }))
  const place = { services, reach, patienceMs, env: around.env, signal: around.signal }
  const [etcd, postgresql, redis, sentinel] = await Promise.all([
    etcdOf(place),
    postgresOf(place),
    redisOf(place),
    sentinelOf(place),
  ])
  return { etcd, postgresql, redis, sentinel, tookMs: Math.round(performance.now() - started) }
}

/** A service with the state of its container: one that does not run has no address to ask at. */
type Member = ServiceHandle & { readonly state: ContainerState }

interface Place {
  readonly services: readonly Member[]
  readonly reach: Reach
  readonly patienceMs: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

const named = ({ services }: Place, pattern: RegExp): readonly Member[] =>
  services.filter(({ service }) => pattern.test(service))

const soon = ({ signal, patienceMs }: Place): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(patienceMs)])

async function told<T>(
  place: Place,
  { service: member, state }: Member,
  ask: (signal: AbortSignal) => Promise<T>,
): Promise<Told<T>> {
  if (state !== 'running') return { member, error: `its container is ${state}` }
  try {
    return { member, ...(await ask(soon(place))) }
  } catch (thrown) {
    place.signal.throwIfAborted()
    const silent = thrown instanceof Error && /timeout|abort/i.test(thrown.name + thrown.message)
    return { member, error: silent ? 'no answer' : messageOf(thrown) }
  }
}

async function etcdOf(place: Place): Promise<Inspection['etcd']> {
  const all = named(place, /^etcd\d+$/)
  const asked = all.filter(({ state }) => state === 'running')
  const view = await readEtcd(
    asked.map((handle) => endpoint(handle, etcdClientPort, place.reach)),
    { signal: soon(place) },
  ).catch(() => undefined)
  place.signal.throwIfAborted()
  const nameOf = (id: string | undefined) => view?.members.find((member) => member.id === id)?.name
  return {
    leader: view?.leader ?? null,
    revision: view?.revision ?? null,
    members: all.map((handle) => {
      const member = handle.service
      if (handle.state !== 'running') return { member, error: `its container is ${handle.state}` }
      const status = view?.statuses[asked.indexOf(handle)]
      if (!status || 'error' in status) return { member, error: status?.error ?? 'no answer' }
      const role = status.leaderId === status.memberId ? 'leader' : `follows ${nameOf(status.leaderId) ?? 'nobody'}`
      const { term, index, sizeBytes, errors, version } = status
      return { member, role, term, index, sizeBytes, alarms: errors, version }
    }),
  }
}

async function postgresOf(place: Place): Promise<Inspection['postgresql']> {
  const handles = named(place, /^postgres\d+$/)
  const at = (handle: ServiceHandle) => endpoint(handle, patroniPort, place.reach)
  const nothing = { members: [] }
  const running = handles.filter(({ state }) => state === 'running')
  const [cluster, history, members, seconds] = await Promise.all([
    Promise.any(running.map((handle) => readPatroniCluster(at(handle), { signal: soon(place) }))).catch(() => nothing),
    Promise.any(running.map((handle) => requestJson(at(handle), '/history', { signal: soon(place) }))).catch(
      () => undefined,
    ),
    Promise.all(
      handles.map((handle) =>
        told(place, handle, async (signal) => {
          const status = await readPatroni(at(handle), { signal })
          return {
            role: status.role,
            state: status.replication_state ?? status.state,
            timeline: status.timeline ?? null,
          }
        }),
      ),
    ),
    Promise.all(handles.map((handle) => sqlOf(handle, place))),
  ])
  const lagOf = (name: string): number | null => {
    const lag = cluster.members.find((member) => member.name === name)?.lag
    return typeof lag === 'number' ? lag : null
  }
  const past = historySchema.safeParse(history?.body)
  const synchronous = cluster.members.filter(({ role }) => role === 'sync_standby' || role === 'quorum_standby')
  return {
    members: members.map((member, index) =>
      'error' in member
        ? member
        : {
            ...member,
            role: synchronous.some(({ name }) => name === member.member) ? 'synchronous standby' : member.role,
            lagBytes: lagOf(member.member),
            lagSeconds: seconds[index]?.lagSeconds ?? null,
          },
    ),
    synchronousStandby: synchronous.map(({ name }) => name).join(', ') || null,
    slots: seconds.flatMap((answer) => answer?.slots ?? []),
    history: past.success
      ? past.data
          .slice(-5)
          .map(([timeline, , reason, at]) => ({ timeline, reason, at: typeof at === 'string' ? at : null }))
      : [],
    maintenance: 'pause' in cluster && cluster.pause === true,
  }
}

/** What only SQL tells. Slots are asked for where they are used, on the leader. */
async function sqlOf(handle: Member, place: Place) {
  const password = place.env['APP_PASSWORD']
  if (password === undefined || handle.state !== 'running') return undefined
  const address = endpoint(handle, 5432, place.reach)
  const credentials = { user: 'app', database: 'app', password }
  try {
    const connection = await connectPostgres({ member: handle.service, address }, credentials, place.patienceMs)
    try {
      const [row] = await connection.query(
        `SELECT pg_is_in_recovery() AS replica,
                CASE WHEN NOT pg_is_in_recovery() THEN NULL
                     WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                     ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float END AS lag,
                (SELECT json_agg(json_build_object('name', slot_name, 'active', active, 'retainedBytes',
                          coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                                        ELSE pg_current_wal_lsn() END, restart_lsn), 0)::bigint))
                   FROM pg_replication_slots) AS slots`,
        [],
        place.patienceMs,
      )
      const slots = (row?.['slots'] ?? []) as Inspection['postgresql']['slots']
      return { lagSeconds: (row?.['lag'] ?? null) as number | null, slots: row?.['replica'] === false ? slots : [] }
    } finally {
      connection.cut()
    }
  } catch {
    // Patroni has told already that this member is not well
    return undefined
  }
}

async function redisOf(place: Place): Promise<Inspection['redis']> {
  const password = place.env['REDIS_PASSWORD']
  const members = await Promise.all(
    named(place, /^redis\d+$/).map((handle) =>
      told(place, handle, async (signal) => {
        const address = endpoint(handle, redisPort, place.reach)
        const [node, [keyspace]] = await Promise.all([
          readRedis(address, { password, signal }),
          askRedis(address, [['INFO', 'keyspace']], { password, signal }),
        ])
        const keys = Object.entries(typeof keyspace === 'string' ? parseInfo(keyspace) : {})
          .filter(([name]) => /^db\d+$/.test(name))
          .reduce((sum, [, text]) => sum + Number(/keys=(\d+)/.exec(text)?.[1] ?? 0), 0)
        const link =
          node.role === 'master'
            ? `${node.replicas.filter(({ state }) => state === 'online').length} replicas online`
            : `${node.linkUp ? 'up' : 'down'}, to ${node.master.host}`
        return { role: node.role, offset: node.offset, link, keys }
      }),
    ),
  )
  const masters = members.filter((member) => !('error' in member) && member.role === 'master')
  const [master] = masters
  const head = master && !('error' in master) ? master.offset : undefined
  return {
    master: masters.length === 1 ? master!.member : null,
    members: members.map((member) =>
      'error' in member
        ? member
        : { ...member, behindBytes: head === undefined ? null : Math.max(0, head - member.offset) },
    ),
  }
}

async function sentinelOf(place: Place): Promise<Inspection['sentinel']> {
  const password = place.env['REDIS_PASSWORD']
  const isUp = (flags: readonly string[]) => !flags.some((flag) => /down|disconnected/.test(flag))
  const members = await Promise.all(
    named(place, /^sentinel\d+$/).map((handle) =>
      told(place, handle, async (signal) => {
        const view = await readSentinel(endpoint(handle, sentinelPort, place.reach), { password, signal })
        return {
          master: view.master.host,
          quorum: view.quorum.text,
          epoch: view.master.epoch,
          replicas: view.replicas.filter(({ flags, linkUp }) => linkUp && isUp(flags)).length,
          sentinels: view.sentinels.map(({ host, flags }) =>
            isUp(flags) ? host : `${host} (${flags.filter((flag) => flag !== 'sentinel').join(',')})`,
          ),
          flags: view.master.flags.filter((flag) => flag !== 'master'),
        }
      }),
    ),
  )
  return { members }
}

/** The task. */
export function inspectTask(): Task<undefined> {
  return task({
    description: 'Look into etcd, Patroni, Redis and Sentinel: leaders, terms, timelines, lag, offsets, slots',
    effect: 'read',
    interactive: true,
    params: z.object({
      json: z.boolean().default(false).describe('print JSON'),
      patience: z.coerce
        .number()
        .positive()
        .max(600_000)
        .default(defaultPatienceMs)
        .describe('milliseconds a member is waited for'),
    }),
    run: async (context) => {
      const { terminal, params } = context
      const inspection = await inspectStack(context, params.patience)
      terminal.write(
        params.json ? `${JSON.stringify(inspection, null, 2)}\n` : formatInspection(inspection, terminal.columns),
      )
    },
  })
}
