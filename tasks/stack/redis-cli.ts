/** `redis-cli`: on the master, whoever that is; or on a replica. */
import { DevstackError, messageOf, reachOf, type ServiceHandle, type Task, task, z } from '../../lib/index.ts'
import { attachTo } from './attach.ts'
import { notUp, runningHandles } from './handles.ts'
import { redisMaster } from './redis.ts'
import type { Around } from './starting.ts'

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
      const handle = await findRedis(context, { password: secret, replica: params.replica })
      await attachTo(
        handle,
        { command: ['redis-cli', ...(params.words ?? [])], environment: { REDISCLI_AUTH: secret } },
        context,
      )
    },
  })
}

/** The master's container, or a replica's. Throws STACK_NOT_UP and REDIS_NO_MASTER. */
export async function findRedis(
  context: Around,
  { password, replica = false }: { readonly password: string; readonly replica?: boolean },
): Promise<ServiceHandle> {
  const { runtime, signal } = context
  const nodes = (await runningHandles(context)).filter(({ service }) => /^redis\d*$/.test(service))
  if (nodes.length === 0) throw notUp()
  try {
    const { handle } = await redisMaster(nodes, { password, signal, reach: await reachOf(runtime, signal) })
    if (!replica) return handle
    const other = nodes.find(({ id }) => id !== handle.id)
    if (!other) throw new Error('no replica runs')
    return other
  } catch (cause) {
    signal.throwIfAborted()
    throw new DevstackError({
      kind: 'gate',
      code: replica ? 'REDIS_NO_REPLICA' : 'REDIS_NO_MASTER',
      message: `There is no Redis ${replica ? 'replica' : 'master'} to connect to: ${messageOf(cause)}.`,
      hint: 'See how it is with: devstack run health. Bring it back with: devstack run recover',
      cause,
    })
  }
}
