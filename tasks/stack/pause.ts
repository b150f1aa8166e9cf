/** `pause` and `resume`: the whole stack frozen where it is, and thawed. */
import { type ContainerSummary, type Task, task } from '../../lib/index.ts'
import { longTime } from './clock.ts'
import { chosen, projectContainers, serviceOf } from './handles.ts'
import { record } from './health.ts'
import { episodes, type HistoryRecord, historyFile, readHistory } from './history.ts'
import { bringBack, leaderOf, leaseMs } from './recover.ts'
import { type Around, inOrder, type LifecycleOptions, seconds } from './starting.ts'
import { groupOf } from './state.ts'

/** Freezes every running container; memory and connections stay as they are. Undone by `resume`. */
export function pauseTask(options: LifecycleOptions): Task<undefined> {
  return task({
    description: 'Freeze the whole stack where it is; it uses no processor time until resume',
    effect: 'change',
    runLocks: ['stack'],
    run: async (context) => {
      const { runtime, signal, log } = context
      const containers = chosen(await projectContainers(context), undefined)
      const running = containers.filter(({ state }) => state === 'running')
      const began = performance.now()
      // clients before what they use: nobody is left waiting for somebody frozen
      await inOrder(
        running.map(serviceOf),
        groupsOf(await options.dependencies(context)),
        'dependents-first',
        async (service) => {
          await Promise.all(
            running.filter((one) => serviceOf(one) === service).map(({ id }) => runtime.pause(id, { signal })),
          )
        },
      )
      log(
        running.length === 0
          ? 'nothing runs'
          : `${running.length} containers frozen in ${seconds(performance.now() - began)}. Go on with: devstack run resume`,
      )
      await record('pause', context, options)
    },
    undo: async (context) => {
      await thaw(await projectContainers(context), context)
      context.log('thawed')
    },
  })
}

/** Thaws, waits until the stack is healthy, and says when the freeze outlived the PostgreSQL leader's lease. */
export function resumeTask(options: LifecycleOptions): Task<undefined> {
  return task({
    description: 'Thaw a frozen stack and see that it is healthy',
    aliases: ['unpause'],
    effect: 'change',
    runLocks: ['stack'],
    run: async (context) => {
      const { log, project } = context
      const containers = chosen(await projectContainers(context), undefined)
      const frozen = containers.filter(({ state }) => state === 'paused')
      if (frozen.length === 0) {
        log('nothing is frozen')
        return
      }
      const history = readHistory(historyFile(project))
      const pausedMs = pauseOf(history)
      const began = performance.now()
      await thaw(frozen, context)
      const recovery = await bringBack(context, options)
      const took = seconds(performance.now() - began)
      log(`${frozen.length} containers thawed, healthy after ${took}`)
      for (const line of recovery.done) log(line)
      const lease = await leaseMs(context)
      if (pausedMs !== undefined && lease !== undefined && pausedMs > lease) {
        const before = leaderBefore(history)
        const after = await leaderOf(context)
        const outcome =
          before === undefined || after === undefined || before === after
            ? `${after ?? 'its leader'} leads again`
            : `${after} leads in place of ${before}`
        log(
          `the freeze of ${longTime(pausedMs)} outlived the PostgreSQL leader's lease of ${longTime(lease)}: ${outcome}`,
        )
      }
      await record('resume', context, options)
    },
  })
}

/** Of dependencies between services those that order clients before servers; members of one cluster freeze together. */
function groupsOf(dependencies: ReadonlyMap<string, readonly string[]>): Map<string, readonly string[]> {
  return new Map(
    [...dependencies].map(([service, needs]) => [service, needs.filter((one) => groupOf(one) !== groupOf(service))]),
  )
}

/** etcd first: PostgreSQL that finds no etcd steps down. */
export async function thaw(containers: readonly ContainerSummary[], context: Around): Promise<void> {
  const { runtime, signal } = context
  const frozen = containers.filter(({ state }) => state === 'paused')
  const isConsensus = (one: ContainerSummary): boolean => groupOf(serviceOf(one)) === 'etcd'
  for (const part of [frozen.filter(isConsensus), frozen.filter((one) => !isConsensus(one))])
    await Promise.all(part.map(({ id }) => runtime.unpause(id, { signal })))
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
