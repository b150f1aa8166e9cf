/** `recover`: after sleep, hibernation, a crash of the engine or of single members, the stack is brought back. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ContainerSummary,
  DevstackError,
  endpoint,
  messageOf,
  reachOf,
  type ServiceHandle,
  type Task,
  task,
} from '../../lib/index.ts'
import { type Clock, clockJumps, describeJump, longTime, machineClock } from './clock.ts'
import { chosen, projectContainers, runningHandles, serviceOf } from './handles.ts'
import { readHealth, record } from './health.ts'
import { historyFile, readHistory } from './history.ts'
import { leaderHandle, outlivedLease, pauseOf } from './lease.ts'
import { parseInfo } from './redis.ts'
import { askRedis } from './resp.ts'
import { sentinelPort } from './sentinel.ts'
import {
  type Around,
  betweenClusters,
  inOrder,
  type LifecycleOptions,
  ready,
  replicated,
  seconds,
  startInOrder,
} from './starting.ts'
import type { ServiceRow } from './table.ts'

type Logging = Around & { log(text: string): void }

export interface RecoverOptions extends LifecycleOptions {
  readonly password: () => Promise<string>
  /** Default: this machine's. */
  readonly clock?: Clock
}

/** How long members get to find together by themselves before they are restarted, in milliseconds; an old Redis master takes 11 s. */
const patienceMs = 25_000
/** A clock in a container that differs by more was not told of the machine's sleep. */
const driftMs = 2000

/** The task. Exit code 0: healthy, whatever was done for it. */
export function recoverTask(options: RecoverOptions): Task<undefined> {
  return task({
    description: 'Bring the stack back after sleep, hibernation or a crash',
    effect: 'change',
    runLocks: ['stack'],
    run: async (context) => {
      const { log, project } = context
      const history = readHistory(historyFile(project))
      const last = history.at(-1)
      const frozenMs = pauseOf(history)
      const jumps = last?.clock ? clockJumps(last.clock, (options.clock ?? machineClock)()) : []
      for (const jump of jumps) log(`since the stack was last seen, ${describeJump(jump)}`)
      const began = performance.now()
      const { found, done } = await bringBack(context, options)
      for (const line of [...found, ...done]) log(line)
      const outlived = found.length > 0 ? await outlivedLease(history, frozenMs, context) : undefined
      if (outlived !== undefined) log(outlived)
      const drift = await driftOf(context)
      if (drift !== undefined && Math.abs(drift) > driftMs) {
        log(
          `the containers' clock is ${longTime(Math.abs(drift))} ${drift < 0 ? 'behind' : 'ahead'}: restart the engine`,
        )
      }
      const distrustful = await endTilt(context, options)
      if (distrustful.length > 0) log(`restarted ${distrustful.join(', ')}: in TILT mode after a jump of the clock`)
      const took = seconds(performance.now() - began)
      log(
        found.length + done.length + distrustful.length === 0
          ? `all was well (looked for ${took})`
          : `healthy again after ${took}`,
      )
      await record('recover', context, options)
    },
  })
}

export interface Recovery {
  /** What was wrong, one line each. */
  readonly found: readonly string[]
  /** What was done about it. */
  readonly done: readonly string[]
}

/**
 * Thaws, starts, waits and, for members that do not come to themselves, restarts; in the order of what depends on what.
 * Returns once every service is healthy, PostgreSQL replicates and takes a write. Throws STACK_NOT_UP, RECOVER_FAILED.
 */
export async function bringBack(context: Logging, options: LifecycleOptions): Promise<Recovery> {
  const { runtime, signal } = context
  const found: string[] = []
  const done: string[] = []
  const containers = chosen(await projectContainers(context), undefined)
  const frozen = containers.filter(({ state }) => state === 'paused')
  if (frozen.length > 0) {
    found.push(`frozen: ${namesOf(frozen)}`)
    await Promise.all(frozen.map(({ id }) => runtime.unpause(id, { signal })))
    done.push(`thawed ${namesOf(frozen)}`)
  }
  const dead = containers.filter(({ state }) => state === 'exited' || state === 'created' || state === 'dead')
  if (dead.length > 0) {
    found.push(`not running: ${dead.map((one) => `${serviceOf(one)} (${one.status})`).join(', ')}`)
    await startInOrder(dead, context, options).catch((thrown) => context.log(messageOf(thrown)))
    signal.throwIfAborted()
    done.push(`started ${namesOf(dead)}`)
  }
  let sick = await unhealthy(context, options, { until: performance.now() + patienceMs })
  if (sick.length > 0) {
    found.push(...sick.map(({ service, detail }) => `${service}: ${detail}`))
    const names = sick.filter(({ state }) => state !== 'missing').map(({ service }) => service)
    await inOrder(
      names,
      betweenClusters(await options.dependencies(context)),
      'dependencies-first',
      async (service) => {
        // a member before it may have cured it
        const [row] = await readHealth(context, options, [service])
        if (row?.healthy) return
        const container = containers.find((one) => serviceOf(one) === service)
        if (!container) return
        await runtime.restart(container.id, { signal })
        done.push(`restarted ${service}`)
        await ready(service, context, options).catch((thrown) => {
          signal.throwIfAborted()
          context.log(messageOf(thrown))
        })
      },
    )
    sick = await unhealthy(context, options, { until: performance.now() + patienceMs })
  }
  if (sick.length > 0) throw failed(sick)
  await replicated(context)
  await writable(context)
  return { found, done }
}

function namesOf(containers: readonly ContainerSummary[]): string {
  return containers.map(serviceOf).join(', ')
}

/** Services that are not healthy by then; returns at once when all are. */
async function unhealthy(
  context: Around,
  options: LifecycleOptions,
  { until }: { readonly until: number },
): Promise<readonly ServiceRow[]> {
  for (;;) {
    const sick = (await readHealth(context, options)).filter(({ healthy }) => healthy === false)
    if (sick.length === 0 || performance.now() > until || sick.every(({ state }) => state === 'missing')) return sick
    await delay(50, undefined, { signal: context.signal })
  }
}

function failed(sick: readonly ServiceRow[]): DevstackError {
  const missing = sick.every(({ state }) => state === 'missing')
  return new DevstackError({
    kind: 'gate',
    code: 'RECOVER_FAILED',
    message: `The stack could not be brought back: ${sick.map(({ service }) => service).join(', ')} ${missing ? 'have no container' : 'stay unhealthy'}.`,
    details: sick.map(({ service, detail }) => `${service}: ${detail}`),
    hint: missing
      ? 'Make them with: devstack run up'
      : `See why with: devstack run logs ${sick[0]!.service}. Start afresh, data kept, with: devstack run down -- up`,
  })
}

/** Proves that PostgreSQL takes a write, confirmed by its standby: a message in the WAL, which no table shows. */
async function writable(context: Around): Promise<void> {
  const { runtime, signal } = context
  const until = performance.now() + 60_000
  for (;;) {
    let said: string
    try {
      const leader = await leaderHandle(context)
      if (!leader) return
      const { exitCode, stderr } = await runtime.exec(leader.id, {
        command: [
          'psql',
          '--no-psqlrc',
          '--quiet',
          '--username=postgres',
          '--dbname=postgres',
          `--command=SELECT pg_logical_emit_message(true, 'devstack', 'recover')`,
        ],
        environment: { PGOPTIONS: '-c statement_timeout=5s', PGCONNECT_TIMEOUT: '5' },
        signal,
      })
      // a commit whose standby keeps silent ends with a warning and exit code 0
      if (exitCode === 0 && !/synchronous replication/.test(stderr)) return
      said = `${leader.service}: ${stderr.trim()}`
    } catch (thrown) {
      signal.throwIfAborted()
      said = messageOf(thrown)
    }
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'RECOVER_NO_WRITE',
        message: `PostgreSQL takes no write: ${said}.`,
        hint: 'See why with: devstack run health, and devstack run logs',
      })
    }
    await delay(100, undefined, { signal })
  }
}

/** Milliseconds that the containers' clock is ahead of this machine's; matters where the engine runs in a virtual machine. */
async function driftOf(context: Around): Promise<number | undefined> {
  const { runtime, signal } = context
  const [handle] = await runningHandles(context)
  if (!handle) return undefined
  const before = Date.now()
  const { exitCode, stdout } = await runtime.exec(handle.id, { command: ['date', '+%s'], signal })
  const after = Date.now()
  if (exitCode !== 0) return undefined
  const theirs = Number(stdout.trim()) * 1000
  if (theirs + 1000 >= before && theirs <= after) return 0
  return theirs > after ? theirs - after : theirs + 1000 - before
}

/**
 * Sentinels that distrust their clock after a jump or a freeze: in TILT mode they watch for half a minute without acting, so that
 * a Redis master lost meanwhile is not replaced (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#tilt-mode).
 */
export async function tilted(context: Around, password: string): Promise<readonly ServiceHandle[]> {
  const { runtime, signal } = context
  const reach = await reachOf(runtime, signal)
  const sentinels = (await runningHandles(context)).filter(({ service }) => /^sentinel\d+$/.test(service))
  const answers = await Promise.all(
    sentinels.map((handle) =>
      askRedis(endpoint(handle, sentinelPort, reach), [['INFO', 'sentinel']], { password, signal }).then(
        ([info]) => parseInfo(String(info))['sentinel_tilt'] === '1',
        () => false,
      ),
    ),
  )
  return sentinels.filter((_, index) => answers[index])
}

/** Restarts them: none of them would act anyway. */
async function endTilt(context: Around, options: RecoverOptions): Promise<readonly string[]> {
  const { runtime, signal } = context
  const handles = await tilted(context, await options.password())
  await Promise.all(handles.map(({ id }) => runtime.restart(id, { signal })))
  await Promise.all(handles.map(({ service }) => ready(service, context, options)))
  return handles.map(({ service }) => service)
}
