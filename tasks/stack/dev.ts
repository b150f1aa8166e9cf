/** `dev`: the applications with their sources mounted, each change served at once. */
import { type LoadedStack, type Needs, type ServiceHandle, type Task, task, z } from '../../lib/index.ts'
import { record } from './health.ts'
import type { LifecycleOptions } from './starting.ts'
import { formatPorts } from './table.ts'

/** The task. `load` reads the stack with its files for development; back to the built images goes `up`. */
export function devTask(load: () => Promise<LoadedStack>, options: LifecycleOptions): Task<undefined> {
  return task({
    description: 'Run the applications with hot reload: sources mounted, inspectors open on 127.0.0.1',
    effect: 'create',
    runLocks: ['stack'],
    params: z.object({
      services: z
        .array(z.string())
        .optional()
        .meta({ positional: true })
        .describe('only these and what they depend on'),
    }),
    needs: async (params): Promise<Needs> => (await load()).ready(params.services),
    run: async (context) => {
      const { needs, log } = context
      const { model } = await load()
      for (const handle of Object.values(needs as Record<string, ServiceHandle>)) {
        const mounted = (model.services[handle.service]?.volumes ?? []).flatMap((one) =>
          one.type === 'bind' && one.source !== undefined ? [one.source] : [],
        )
        if (mounted.length > 0) log(`${handle.service} ${formatPorts(handle.ports)} follows ${mounted.join(', ')}`)
      }
      log('Back to the built images: devstack run up')
      await record('dev', context, options)
    },
  })
}
