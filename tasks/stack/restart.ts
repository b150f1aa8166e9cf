/** `restart`: some services or all of them, and healthy again. */
import { type Task, task, z } from '../../lib/index.ts'
import { chosen, projectContainers, serviceOf } from './handles.ts'
import { record } from './health.ts'
import { type LifecycleOptions, seconds, settled, startInOrder, stopInOrder } from './starting.ts'

/** The task. Containers are the same afterwards: a changed file or image is for `up`. */
export function restartTask(options: LifecycleOptions): Task<undefined> {
  return task({
    description: 'Restart services, or all of them, and wait until they are healthy',
    effect: 'change',
    runLocks: ['stack'],
    params: z.object({
      services: z.array(z.string()).optional().meta({ positional: true }).describe('only these'),
    }),
    run: async (context) => {
      const { log, params } = context
      const containers = chosen(await projectContainers(context), params.services)
      const began = performance.now()
      await stopInOrder(containers, context, options)
      await startInOrder(containers, context, options)
      await settled(context, options)
      log(`${containers.map(serviceOf).join(', ')} healthy again after ${seconds(performance.now() - began)}`)
      await record('restart', context, options)
    },
  })
}
