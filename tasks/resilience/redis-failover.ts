/** `test-failover:redis`: the Redis master goes away; what is lost is measured, since replication is asynchronous. */
import { reachOf, type Task, z } from '../../lib/index.ts'
import { redisMaster } from '../stack/redis.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { peersOf } from './peers.ts'
import { redisLoad } from './redis-load.ts'

const faults = ['kill', 'crash', 'pause', 'partition'] as const

/** Name of the service that is Redis master now. */
export async function redisMasterName(
  context: Pick<ExperimentContext<unknown>, 'services' | 'runtime' | 'env' | 'signal'>,
): Promise<string> {
  const { runtime, signal } = context
  const { handle } = await redisMaster(
    context.services.filter(({ service }) => /^redis\d+$/.test(service)),
    { password: context.env['REDIS_PASSWORD'], reach: await reachOf(runtime, signal), signal },
  )
  return handle.service
}

/** What Sentinel waits before it acts, and one or two seconds to act: 2 s with the default of 1 s, 7 s with 5 s. */
function gapLimit({ SENTINEL_DOWN_AFTER_MS: given }: Readonly<Record<string, string | undefined>>): number {
  const downAfter = Number(given ?? 1000)
  return downAfter > 1000 ? downAfter + 2000 : 2000
}

/** The task. */
export function redisFailoverTask(): Task<ExperimentOutcome> {
  let old = ''
  return experiment({
    description: 'Lose the Redis master and measure gap and loss',
    params: { fault: z.enum(faults).default('kill').describe('how the master is lost') },
    load: [redisLoad()],
    helper: ({ fault }) => fault === 'crash' || fault === 'partition',
    inject: async (context) => {
      const { fault } = context.params
      old = await redisMasterName(context)
      const details = fault === 'partition' ? { peers: peersOf(old, context.services), direction: 'both' } : {}
      await context.fault(fault, old, details)
    },
    observe: async (context) => {
      // a master that is back before Sentinel missed it keeps its place
      if (context.params.fault !== 'crash') await context.newLeader(old, 'redis')
      await context.writesFlow()
    },
    assert: (report, context) => {
      const [load] = report.loads
      const refused = load?.errors['NOREPLICAS'] ?? 0
      if (refused > 0) {
        context.note(`min-replicas-to-write 1 made a master without replicas refuse ${refused} writes (NOREPLICAS).`)
      }
      if (load && load.ledger.lost > 0) {
        context.note(`Redis replicates asynchronously: ${load.ledger.lost} acknowledged writes are lost.`)
      }
      return []
    },
    limits: (_, environment) => ({ gap: gapLimit(environment), promise: '60s', redundancy: '15s' }),
  })
}
