/** etcd 3.5 through its JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/): numbers come as strings. */
import { z } from 'zod'
import type { Answer, Probe, ServiceHandle } from '../../lib/index.ts'
import { formatEndpoint, messageOf } from '../../lib/index.ts'
import type { Address, ReadOptions } from './endpoint.ts'
import { addressesOf, addressOf } from './endpoint.ts'
import { requestJson } from './http.ts'

export const etcdClientPort = 2379

/** 64-bit numbers are strings in JSON and absent when zero. Ids stay text: they do not fit a double. */
const id = z.string().default('0')
const count = z.coerce.number().int().nonnegative().default(0)
const header = z.object({ member_id: id, revision: count, raft_term: count })

const statusSchema = z.object({
  header,
  version: z.string(),
  leader: id,
  raftIndex: count,
  raftTerm: count,
  dbSize: count,
  isLearner: z.boolean().default(false),
  errors: z.array(z.string()).default([]),
})
const membersSchema = z.object({
  members: z.array(
    z.object({
      ID: id,
      /** Empty until the member has started once. */
      name: z.string().default(''),
      peerURLs: z.array(z.string()).default([]),
      clientURLs: z.array(z.string()).default([]),
      isLearner: z.boolean().default(false),
    }),
  ),
})
const rangeSchema = z.object({ header })

export interface EtcdMember {
  readonly id: string
  readonly name: string
  /** Whether it has ever published itself; not whether it runs now. */
  readonly started: boolean
  readonly learner: boolean
  readonly peerUrls: readonly string[]
  readonly clientUrls: readonly string[]
}

/** What one member says of itself. */
export interface EtcdStatus {
  readonly endpoint: Address
  readonly memberId: string
  readonly version: string
  /** `undefined` while there is none. */
  readonly leaderId: string | undefined
  readonly term: number
  readonly index: number
  readonly sizeBytes: number
  /** Alarms such as NOSPACE. */
  readonly errors: readonly string[]
}

export interface EtcdView {
  readonly members: readonly EtcdMember[]
  /** One for each endpoint asked, in that order. */
  readonly statuses: readonly (EtcdStatus | { readonly endpoint: Address; readonly error: string })[]
  /** Name of the member that all who answered take for the leader; `undefined` when they differ or have none. */
  readonly leader: string | undefined
  /** Revision of a linearizable read, thus proof of a quorum; `undefined` when the read failed. */
  readonly revision: number | undefined
}

/** What one member says of itself. Rejects when it does not answer. */
export async function readEtcdStatus(target: Address, options: ReadOptions = {}): Promise<EtcdStatus> {
  const status = await ask(target, '/v3/maintenance/status', {}, statusSchema, options)
  return {
    endpoint: target,
    memberId: status.header.member_id,
    version: status.version,
    leaderId: status.leader === '0' ? undefined : status.leader,
    term: status.raftTerm,
    index: status.raftIndex,
    sizeBytes: status.dbSize,
    errors: status.errors,
  }
}

/** The member list as this member knows it. A linearizable read, so it rejects without a quorum. */
async function readEtcdMembers(target: Address, options: ReadOptions = {}): Promise<readonly EtcdMember[]> {
  const { members } = await ask(target, '/v3/cluster/member/list', {}, membersSchema, options)
  return members.map((member) => ({
    id: member.ID,
    name: member.name,
    started: member.name !== '',
    learner: member.isLearner,
    peerUrls: member.peerURLs,
    clientUrls: member.clientURLs,
  }))
}

/** Reads a key linearizably, which needs a quorum, and gives the revision. Rejects when there is no quorum. */
async function readEtcdRevision(target: Address, options: ReadOptions = {}): Promise<number> {
  const key = Buffer.from('devstack').toString('base64')
  const range = await ask(target, '/v3/kv/range', { key, limit: '1' }, rangeSchema, options)
  return range.header.revision
}

/**
 * The whole cluster, asked at every endpoint at once. Members that do not answer are part of the view; it rejects only
 * when none answers.
 */
export async function readEtcd(endpoints: readonly Address[], options: ReadOptions = {}): Promise<EtcdView> {
  const statuses = await Promise.all(
    endpoints.map((target) =>
      readEtcdStatus(target, options).catch((error: unknown) => ({ endpoint: target, error: messageOf(error) })),
    ),
  )
  const answered = statuses.filter((status): status is EtcdStatus => !('error' in status))
  const first = answered[0]
  if (!first) throw new Error(`no etcd member answers: ${statuses.map(describeFailure).join('; ')}`)
  const [members, revision] = await Promise.all([
    readEtcdMembers(first.endpoint, options).catch(() => []),
    readEtcdRevision(first.endpoint, options).catch(() => undefined),
  ])
  const leaders = new Set(answered.map((status) => status.leaderId))
  const leaderId = leaders.size === 1 ? first.leaderId : undefined
  const leader = leaderId && members.find((member) => member.id === leaderId)?.name
  return { members, statuses, leader: leader || undefined, revision }
}

export interface EtcdOptions {
  /** How many members must have started; default: all that are listed. */
  readonly members?: number
}

/** One member: it answers, every listed member has started, it follows a leader, it serves a linearizable read. */
export function etcdMember(options: EtcdOptions = {}): Probe<ServiceHandle> {
  return async (handle, context) => {
    const { signal } = context
    const target = await addressOf(handle, etcdClientPort, context)
    const status = await readEtcdStatus(target, { signal })
    if (status.leaderId === undefined) return { healthy: false, detail: 'no leader elected yet' }
    const [members, revision] = await Promise.all([
      readEtcdMembers(target, { signal }),
      readEtcdRevision(target, { signal }),
    ])
    const missing = missingMembers(members, options)
    if (missing) return missing
    const leader = members.find((member) => member.id === status.leaderId)?.name ?? status.leaderId
    const role = status.leaderId === status.memberId ? 'leader' : `follower of ${leader}`
    return { healthy: true, detail: `${role}, ${members.length} members started, revision ${revision}` }
  }
}

/** The whole cluster: each of these members answers and agrees on one leader, and a linearizable read succeeds. */
export function etcdCluster(options: EtcdOptions = {}): Probe<readonly ServiceHandle[]> {
  return async (handles, context) => {
    const view = await readEtcd(await addressesOf(handles, etcdClientPort, context), { signal: context.signal })
    const silent = view.statuses.flatMap((status, index) => ('error' in status ? [handles[index]?.service] : []))
    if (silent.length > 0) return { healthy: false, detail: `no answer from ${silent.join(', ')}` }
    if (view.revision === undefined) return { healthy: false, detail: 'no quorum: a linearizable read failed' }
    const missing = missingMembers(view.members, { members: options.members ?? handles.length })
    if (missing) return missing
    if (!view.leader) return { healthy: false, detail: 'the members do not agree on a leader' }
    const alarms = view.statuses.flatMap((status) => ('error' in status ? [] : status.errors))
    if (alarms.length > 0) return { healthy: false, detail: `alarm: ${[...new Set(alarms)].join(', ')}` }
    return { healthy: true, detail: `${view.members.length} members, ${view.leader} leads, revision ${view.revision}` }
  }
}

function missingMembers(members: readonly EtcdMember[], options: EtcdOptions): Answer | undefined {
  const started = members.filter((member) => member.started).length
  const wanted = Math.max(options.members ?? 0, members.length)
  if (started >= wanted) return undefined
  return { healthy: false, detail: `${started} of ${wanted} members started` }
}

async function ask<Out>(
  target: Address,
  path: string,
  json: unknown,
  schema: z.ZodType<Out>,
  options: ReadOptions,
): Promise<Out> {
  const answer = await requestJson(target, path, { json, signal: options.signal })
  if (answer.status !== 200) {
    const failure = z
      .object({ message: z.string() })
      .or(z.object({ error: z.string() }))
      .safeParse(answer.body)
    const said = failure.success ? ('message' in failure.data ? failure.data.message : failure.data.error) : ''
    throw new Error(`etcd ${formatEndpoint(target)} answered ${answer.status}${said && `: ${said}`}`)
  }
  const parsed = schema.safeParse(answer.body)
  if (!parsed.success) throw new Error(`etcd ${formatEndpoint(target)}${path}: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}

function describeFailure(status: EtcdView['statuses'][number]): string {
  return 'error' in status ? `${formatEndpoint(status.endpoint)} ${status.error}` : ''
}
