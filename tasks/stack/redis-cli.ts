/** `redis-cli`: on the master, whoever that is; or on a replica. */
import { type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { runningHandles } from './handles.ts'
import { memberFor, type Product } from './leading.ts'
import { redisMaster } from './redis.ts'

const redis = (password: string): Product => ({
  name: 'Redis',
  leader: { what: 'Redis master', code: 'REDIS_NO_MASTER' },
  replica: { what: 'Redis replica', code: 'REDIS_NO_REPLICA' },
  find: (members, options) => redisMaster(members, { ...options, password }),
})

/** The task. `password` is asked for when it runs; it reaches redis-cli by the environment, which no process list shows. */
export function redisCliTask(password: () => Promise<string>): Task<undefined> {
  return task({
    description: 'Open redis-cli on the Redis master',
    effect: 'change',
    interactive: true,
    params: z.object({
      replica: z.boolean().default(false).describe('on a replica, which only reads'),
      words: z.array(z.string()).optional().meta({ positional: 'rest' }).describe('a command to run, such as DBSIZE'),
    }),
    run: async (context) => {
      const { params } = context
      const secret = await password()
      const members = (await runningHandles(context)).filter(({ service }) => /^redis\d*$/.test(service))
      const handle = await memberFor({ members, replica: params.replica }, redis(secret), context)
      await attachTo(
        handle,
        { command: ['redis-cli', ...(params.words ?? [])], environment: { REDISCLI_AUTH: secret } },
        context,
      )
    },
  })
}
