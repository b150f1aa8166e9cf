/** `flush-cache`: everything that Redis holds. */
import { type Task, task } from '../../lib/index.ts'
import { findRedis } from './cluster.ts'
import type { DataSettings } from './options.ts'
import { redisCli } from './redis-data.ts'

/** The task. Replicas follow the master. */
export function flushCacheTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Remove everything from Redis',
    effect: 'destroy',
    locks: ['redis'],
    destroys: () => [`every key in Redis of ${settings.project}`],
    run: async (context) => {
      const { handle, password } = await findRedis(settings, context)
      const keys = await redisCli(context, handle, { words: ['DBSIZE'], password })
      await redisCli(context, handle, { words: ['FLUSHALL'], password })
      context.log(`${keys} keys are gone from ${handle.service} and its replicas`)
    },
  })
}
