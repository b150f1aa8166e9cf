/** `rebuild`: the image of one service and its container, and nothing else. */
import {
  type BuiltImage,
  DevstackError,
  type LoadedStack,
  type Needs,
  type ServiceTasks,
  suggest,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { record } from './health.ts'
import { type Around, isMember, type LifecycleOptions, replicated, seconds } from './starting.ts'

const rebuildParams = z.object({
  cache: z.boolean().default(true).describe('take unchanged layers of earlier builds; --no-cache builds all of them'),
  dev: z.boolean().default(false).describe('the image for hot reload, as `dev` uses it'),
  fast: z.boolean().default(false).describe('of the fast mode'),
  service: z.string().meta({ positional: true }).describe('which'),
})
export type RebuildParams = z.infer<typeof rebuildParams>

/** The task. `load` reads the stack in which the service's image is what params ask for. */
export function rebuildTask(
  load: (params: RebuildParams) => Promise<LoadedStack>,
  options: LifecycleOptions,
): Task<undefined> {
  return task({
    description: 'Build the image of a service again and replace its container, nothing else',
    effect: 'change',
    runLocks: ['stack'],
    params: rebuildParams,
    needs: async (params): Promise<Needs> => ({ image: serviceNamed(await load(params), params.service).image }),
    run: async (context) => {
      const { params, needs, log } = context
      const { service } = params
      const image = (needs as { image: BuiltImage }).image
      const tasks = serviceNamed(await load(params), service)
      const differences = await tasks.differences(context, image)
      if (differences?.length === 0) {
        log(`${image.tag} is as it was and ${service} runs it; --no-cache builds it all the same`)
        return
      }
      const began = performance.now()
      await replaceService({ service, tasks, image }, context)
      log(`${service} runs ${image.tag}, healthy ${seconds(performance.now() - began)} after its image was built`)
      await record('rebuild', context, options)
    },
  })
}

export interface Replacement {
  readonly service: string
  readonly tasks: ServiceTasks
  readonly image: BuiltImage
}

/** Replaces the container and waits until the service, and the cluster it belongs to, is healthy. */
export async function replaceService(
  { service, tasks, image }: Replacement,
  context: Around & { readonly runId: string; log(text: string): void },
): Promise<void> {
  await tasks.replace(context, image)
  if (isMember(service)) await replicated(context)
}

/** The service's tasks. Throws STACK_UNKNOWN_SERVICE. */
export function serviceNamed(stack: LoadedStack, service: string): ServiceTasks {
  const found = stack.services.get(service)
  if (found) return found
  throw new DevstackError({
    kind: 'usage',
    code: 'STACK_UNKNOWN_SERVICE',
    message: `There is no service "${service}" here.${suggest(service, stack.services.keys())}`,
    hint: `The services are ${[...stack.services.keys()].join(', ')}.`,
  })
}
