/** `pause` and `resume`: the whole stack frozen where it is, and thawed. */
import { setTimeout as delay } from 'node:timers/promises'
import { type ContainerSummary, type Task, task } from '../../lib/index.ts'
import { chosen, projectContainers, serviceOf } from './handles.ts'
import { record } from './health.ts'
import { historyFile, readHistory } from './history.ts'
import { outlivedLease, pauseOf } from './lease.ts'
import { bringBack, type RecoverOptions, tilted } from './recover.ts'
import { type Around, betweenClusters, inOrder, type LifecycleOptions, seconds } from './starting.ts'
import { groupOf } from './state.ts'

/** Freezes every running container; memory and connections stay as they are. Undone by `resume`. */
export function pauseTask(options: LifecycleOptions): Task<undefined> {
  return task({
    description: 'Freeze the whole stack where it is; it uses no processor time until resume',
    effect: 'change',
    runLocks: ['stack'],
    run: async (context) => {
      const { log } = context
      const containers = chosen(await projectContainers(context), undefined)
      const running = containers.filter(({ state }) => state === 'running')
      const began = performance.now()
      try {
        // clients before what they use: nobody is left waiting for somebody frozen
        const order = betweenClusters(await options.dependencies(context))
        await inOrder(running.map(serviceOf), order, 'dependents-first', async (service) => {
          await Promise.all(
            running.filter((one) => serviceOf(one) === service).map((container) => freeze(container, context)),
          )
        })
      } catch (thrown) {
        // half a frozen stack is worse than none
        await thaw(await projectContainers({ ...context, signal: AbortSignal.timeout(30_000) }), {
          ...context,
          signal: AbortSignal.timeout(30_000),
        })
        throw thrown
      }
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
export function resumeTask(options: RecoverOptions): Task<undefined> {
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
      const frozenMs = pauseOf(history)
      const began = performance.now()
      await thaw(frozen, context)
      const recovery = await bringBack(context, options)
      const took = seconds(performance.now() - began)
      log(`${frozen.length} containers thawed, healthy after ${took}`)
      for (const line of recovery.done) log(line)
      const outlived = await outlivedLease(history, frozenMs, context)
      if (outlived !== undefined) log(outlived)
      const distrustful = await tilted(context, await options.password())
      if (distrustful.length > 0)
        log('the Sentinels replace no Redis master for 30 s, since their clock jumped; at once: devstack run recover')
      await record('resume', context, options)
    },
  })
}

/** On a busy machine the kernel can fail to stop all processes of a container in time ("unable to freeze"); then once more. */
async function freeze({ id }: ContainerSummary, { runtime, signal }: Around): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await runtime.pause(id, { signal })
    } catch (thrown) {
      signal.throwIfAborted()
      if (attempt === 5) throw thrown
      await delay(100 * attempt, undefined, { signal })
    }
  }
}

/** etcd first: PostgreSQL that finds no etcd steps down. */
async function thaw(containers: readonly ContainerSummary[], context: Around): Promise<void> {
  const { runtime, signal } = context
  const frozen = containers.filter(({ state }) => state === 'paused')
  const isConsensus = (one: ContainerSummary): boolean => groupOf(serviceOf(one)) === 'etcd'
  for (const part of [frozen.filter(isConsensus), frozen.filter((one) => !isConsensus(one))])
    await Promise.all(part.map(({ id }) => runtime.unpause(id, { signal })))
}
