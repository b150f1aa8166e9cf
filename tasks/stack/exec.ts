/** `exec`: a command in a service's container, on a terminal of its own when there is one. */
import { handleOf, type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { chosen, projectContainers } from './handles.ts'

/** The task. Its exit code is the command's. */
export function execTask(): Task<undefined> {
  return task({
    description: 'Run a command in the container of a service',
    effect: 'change',
    interactive: true,
    params: z.object({
      user: z.string().optional().describe('as this user'),
      service: z.string().meta({ positional: true }).describe('where'),
      command: z.array(z.string()).min(1).meta({ positional: 'rest' }).describe('the command and its arguments'),
    }),
    run: async (context) => {
      const { params } = context
      const container = chosen(await projectContainers(context), [params.service])[0]!
      const user = params.user === undefined ? {} : { user: params.user }
      await attachTo(handleOf(container, params.service), { command: params.command, ...user }, context)
    },
  })
}
