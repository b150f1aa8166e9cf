/** `upgrade`: images made again and containers replaced one by one, so that the stack serves all the while. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type BuiltImage,
  DevstackError,
  endpoint,
  handleOf,
  type LoadedStack,
  messageOf,
  type Needs,
  reachOf,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import type { Address } from './endpoint.ts'
import { chosen, projectContainers, runningHandles, serviceOf } from './handles.ts'
import { record } from './health.ts'
import { requestJson } from './http.ts'
import { patroniPort, postgresLeader, readPatroniCluster } from './patroni.ts'
import { replaceService, serviceNamed } from './rebuild.ts'
import { redisMaster, redisReplication } from './redis.ts'
import { askRedis, RedisError } from './resp.ts'
import { sentinelGroup, sentinelPort } from './sentinel.ts'
import { type Around, isMember, type LifecycleOptions, replicated, seconds, settled } from './starting.ts'
import { groupOf } from './state.ts'

export interface UpgradeOptions extends LifecycleOptions {
  readonly load: () => Promise<LoadedStack>
  readonly redisPassword: () => Promise<string>
  readonly patroniPassword: () => Promise<string>
}

type Working = Around & { readonly runId: string; log(text: string): void }

/** The task. Only what differs from its image or description is replaced. */
export function upgradeTask(options: UpgradeOptions): Task<undefined> {
  return task({
    description: 'Build what changed and replace containers one by one: replicas, then a switchover, then the rest',
    effect: 'change',
    runLocks: ['stack'],
    params: z.object({
      services: z.array(z.string()).optional().meta({ positional: true }).describe('only these'),
    }),
    needs: async ({ services }): Promise<Needs> => {
      const stack = await options.load()
      const names = services && services.length > 0 ? services : [...stack.services.keys()]
      return Object.fromEntries(names.map((name) => [name, serviceNamed(stack, name).image]))
    },
    run: async (context) => {
      const { log } = context
      const images = context.needs as Record<string, BuiltImage>
      const stack = await options.load()
      const containers = chosen(await projectContainers(context), undefined)
      const outdated: string[] = []
      for (const service of containers.map(serviceOf).filter((name) => images[name])) {
        const differences = await serviceNamed(stack, service).differences(context, images[service]!)
        if (!differences || differences.length === 0) continue
        outdated.push(service)
        log(`${service}: ${differences[0]}`)
      }
      if (outdated.length === 0) {
        log('every container runs what it should')
        return
      }
      await mustBeWell(context, options)
      const began = performance.now()
      const replace = async (service: string): Promise<void> => {
        const from = performance.now()
        const tasks = serviceNamed(stack, service)
        await replaceService({ service, tasks, image: images[service]! }, context)
        // the next one goes only when this one is back
        await settled(context, options)
        log(`${service} replaced, all healthy after ${seconds(performance.now() - from)}`)
      }
      await roll(outdated, { ...options, replace }, context)
      log(`${outdated.length} containers replaced in ${seconds(performance.now() - began)}`)
      await record('upgrade', context, options)
    },
  })
}

/** With a member missing already, taking another away would be an outage. */
async function mustBeWell(context: Working, options: UpgradeOptions): Promise<void> {
  const sick = await settled(context, options, { withinMs: 10_000, throws: false })
  if (sick.length === 0) return
  throw new DevstackError({
    kind: 'gate',
    code: 'UPGRADE_NEEDS_HEALTH',
    message: `The stack is not healthy, and a rolling upgrade would take another member away: ${sick.join('; ')}.`,
    hint: 'Bring it back first with: devstack run recover',
  })
}

interface Roll extends UpgradeOptions {
  readonly replace: (service: string) => Promise<void>
}

/** Clusters in the order of what depends on what; in each, whoever leads goes last and hands over before. */
async function roll(outdated: readonly string[], options: Roll, context: Working): Promise<void> {
  const of = (group: string): readonly string[] => outdated.filter((one) => groupOf(one) === group)
  const known = ['etcd', 'redis', 'sentinel', 'postgres']
  for (const service of of('etcd')) await options.replace(service)
  await rollRedis(of('redis'), options, context)
  for (const service of of('sentinel')) await options.replace(service)
  await rollPostgres(of('postgres'), options, context)
  const dependencies = await options.dependencies(context)
  const rest = outdated.filter((one) => !known.includes(groupOf(one)))
  // whoever is depended on first
  const depth = (service: string): number =>
    Math.max(0, ...(dependencies.get(service) ?? []).map((one) => depth(one) + 1))
  for (const service of rest.toSorted((a, b) => depth(a) - depth(b))) await options.replace(service)
}

async function rollPostgres(services: readonly string[], options: Roll, context: Working): Promise<void> {
  const leading = services.length > 0 && services.some(isMember) ? await leaderNow(context) : undefined
  for (const service of services.filter((one) => one !== leading)) await options.replace(service)
  if (leading === undefined || !services.includes(leading)) return
  await switchover(context, options)
  await options.replace(leading)
}

async function leaderNow(context: Working): Promise<string> {
  const { runtime, signal } = context
  const members = (await runningHandles(context)).filter(({ service }) => isMember(service))
  return (await postgresLeader(members, { signal, reach: await reachOf(runtime, signal) })).handle.service
}

/** Hands PostgreSQL's leadership to the synchronous standby: `POST /switchover`, and then waits until it is so. */
async function switchover(context: Working, options: UpgradeOptions): Promise<void> {
  const { runtime, signal, log } = context
  const members = (await runningHandles(context)).filter(({ service }) => isMember(service))
  const reach = await reachOf(runtime, signal)
  const began = performance.now()
  const until = began + 60_000
  let asked = false
  for (;;) {
    let said = ''
    try {
      const { handle } = await postgresLeader(members, { signal, reach })
      const address = endpoint(handle, patroniPort, reach)
      const cluster = await readPatroniCluster(address, { signal })
      const standby = cluster.members.find(({ role }) => role === 'sync_standby')
      if (!standby) said = 'there is no synchronous standby'
      else {
        const { status, body } = await requestJson(address, '/switchover', {
          json: { leader: handle.service, candidate: standby.name },
          login: { user: 'patroni', password: await options.patroniPassword() },
          signal,
          text: true,
        })
        asked = status === 200
        said = String(body)
        if (asked) {
          await leads(standby.name, context)
          await replicated(context)
          log(`${standby.name} leads in place of ${handle.service} after ${seconds(performance.now() - began)}`)
          return
        }
      }
    } catch (thrown) {
      signal.throwIfAborted()
      if (asked) throw thrown
      said = messageOf(thrown)
    }
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'SWITCHOVER_REFUSED',
        message: `PostgreSQL's leadership could not be handed over within 60 s: ${said}.`,
        hint: 'See how the cluster is with: devstack run health',
      })
    }
    await delay(200, undefined, { signal })
  }
}

async function leads(name: string, context: Working): Promise<void> {
  const until = performance.now() + 60_000
  while ((await leaderNow(context).catch(() => undefined)) !== name) {
    context.signal.throwIfAborted()
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'timeout',
        code: 'SWITCHOVER_LATE',
        message: `${name} did not become PostgreSQL's leader within 60 s of the switchover.`,
        hint: `See why with: devstack run logs ${name}`,
      })
    }
    await delay(50, undefined, { signal: context.signal })
  }
}

async function rollRedis(services: readonly string[], options: Roll, context: Working): Promise<void> {
  if (services.length === 0) return
  const { runtime, signal } = context
  const password = await options.redisPassword()
  const reach = await reachOf(runtime, signal)
  const nodes = async () => (await runningHandles(context)).filter(({ service }) => groupOf(service) === 'redis')
  const master = async (): Promise<string> =>
    (await redisMaster(await nodes(), { password, signal, reach })).handle.service
  const leading = await master()
  for (const service of services.filter((one) => one !== leading)) await options.replace(service)
  if (!services.includes(leading)) return
  const sentinel = (await projectContainers(context)).find((one) => groupOf(serviceOf(one)) === 'sentinel')
  if (sentinel) {
    const address = endpoint(handleOf(sentinel, serviceOf(sentinel)), sentinelPort, reach)
    await failover({ sentinel: address, password, leading, nodes, master }, context)
  }
  await options.replace(leading)
}

interface Failover {
  readonly sentinel: Address
  readonly password: string
  /** Who is to be no master any more. */
  readonly leading: string
  readonly nodes: () => Promise<readonly ServiceHandle[]>
  readonly master: () => Promise<string>
}

/** Has a Sentinel put another Redis in the master's place, and waits until it leads and all others follow it. */
async function failover({ sentinel, password, leading, nodes, master }: Failover, context: Working): Promise<void> {
  const { runtime, signal, log } = context
  const began = performance.now()
  const until = began + 60_000
  for (;;) {
    const [reply] = await askRedis(sentinel, [['SENTINEL', 'FAILOVER', sentinelGroup]], { password, signal })
    if (!(reply instanceof RedisError)) break
    // NOGOODSLAVE right after a replica came back, INPROG while another is under way
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'REDIS_FAILOVER_REFUSED',
        message: `Sentinel does not hand the Redis master over: ${reply.message}.`,
        hint: 'See how it is with: devstack run health',
      })
    }
    await delay(200, undefined, { signal })
  }
  const probe = redisReplication({ password })
  const moved = async (): Promise<boolean> =>
    (await master()) !== leading && (await probe(await nodes(), { runtime, signal })).healthy
  while (!(await moved().catch(() => false))) {
    signal.throwIfAborted()
    if (performance.now() > until + 30_000) {
      throw new DevstackError({
        kind: 'timeout',
        code: 'REDIS_FAILOVER_LATE',
        message: `${leading} is still the Redis master 90 s after Sentinel was asked to replace it.`,
        hint: 'See why with: devstack run logs sentinel1',
      })
    }
    await delay(100, undefined, { signal })
  }
  log(`${await master()} is Redis master in place of ${leading} after ${seconds(performance.now() - began)}`)
}
