/** `shell`: a shell in the container of a service. */
import { handleOf, type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { chosen, projectContainers } from './handles.ts'

/** bash where the image has it, else sh. */
const command = ['sh', '-c', 'if command -v bash >/dev/null; then exec bash; else exec sh; fi']

/** The task. Its exit code is the shell's; standard input may be a pipe. */
export function shellTask(): Task<undefined> {
  return task({
    description: 'Open a shell in the container of a service',
    aliases: ['sh'],
    effect: 'change',
    interactive: true,
    params: z.object({
      user: z.string().optional().meta({ short: 'u' }).describe('as this user, such as root'),
      service: z.string().meta({ positional: true }).describe('where'),
    }),
    run: async (context) => {
      const { params } = context
      const container = chosen(await projectContainers(context), [params.service])[0]!
      const user = params.user === undefined ? {} : { user: params.user }
      await attachTo(handleOf(container, params.service), { command, ...user }, context)
    },
  })
}
