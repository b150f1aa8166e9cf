/** `down`: stops and removes what `up` made, dependents first; data stays unless it is asked to go. */
import {
  claimProject,
  composeDependenciesOf,
  type LoadedStack,
  labels,
  type Needs,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { projectContainers, serviceOf } from './handles.ts'
import { keep } from './history.ts'

const params = z.object({
  volumes: z.boolean().default(false).describe('destroy the data, too'),
})

/**
 * The task. `load` tells who depends on whom; a stack whose files no longer load is taken down all the same. `after`
 * makes it a step of `reset`: the data goes, once those are done.
 */
export function downTask(load: () => Promise<LoadedStack>, after?: Needs): Task<undefined> {
  return task({
    ...(after ? { needs: after, private: true } : {}),
    description: 'Stop and remove the stack; data stays unless --volumes',
    params,
    effect: 'destroy',
    runLocks: ['stack'],
    destroys: async ({ params: { volumes }, runtime, project, signal }) => {
      if (!volumes && !after) return []
      const found = await runtime.volumes({ [labels.project]: project.name }, { signal })
      return found.map(({ name }) => `volume ${name} and the data in it`).sort()
    },
    run: async (context) => {
      const { runtime, project, signal, log, progress } = context
      await claimProject(context)
      const containers = await projectContainers(context)
      const order = await load().then(
        ({ model }) => composeDependenciesOf(model),
        () => new Map<string, readonly string[]>(),
      )
      const gone = new Map<string, Promise<void>>()
      let done = 0
      const remove = (service: string): Promise<void> => {
        const known = gone.get(service)
        if (known) return known
        const ending = (async () => {
          // whoever uses a service ends before it
          const users = [...order].filter(([, needs]) => needs.includes(service)).map(([user]) => user)
          await Promise.all(users.map(remove))
          await Promise.all(
            containers
              .filter((container) => serviceOf(container) === service)
              .map(async ({ id, state }) => {
                if (state === 'paused') await runtime.unpause(id, { signal })
                await runtime.stop(id, { signal })
                await runtime.remove(id, { volumes: true, signal })
                done += 1
                progress({ done, total: containers.length, unit: 'items', label: 'containers removed' })
              }),
          )
        })()
        gone.set(service, ending)
        return ending
      }
      await Promise.all([...new Set(containers.map(serviceOf))].map(remove))
      const filter = { [labels.project]: project.name }
      const networks = await runtime.networks(filter, { signal })
      await Promise.all(networks.map(({ name }) => runtime.removeNetwork(name, { signal })))
      const withVolumes = context.params.volumes || after !== undefined
      const volumes = withVolumes ? await runtime.volumes(filter, { signal }) : []
      await Promise.all(volumes.map(({ name }) => runtime.removeVolume(name, { signal })))
      await keep('down', [], context)
      const parts = [`${containers.length} containers`, `${networks.length} networks`]
      if (withVolumes) parts.push(`${volumes.length} volumes`)
      log(
        containers.length + networks.length + volumes.length === 0
          ? 'nothing was there'
          : `removed ${parts.join(', ')}`,
      )
    },
  })
}
