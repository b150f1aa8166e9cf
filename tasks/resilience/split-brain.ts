/** `test-split-brain`: the leader is cut off while a client on its side keeps writing to it. */
import { type Task, z } from '../../lib/index.ts'
import { pause } from './clock.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles } from './patroni-admin.ts'
import { peersOf } from './peers.ts'
import { postgresLoad } from './postgres-load.ts'

/** The task. */
export function splitBrainTask(): Task<ExperimentOutcome> {
  let old = ''
  return experiment({
    description: 'Isolate the PostgreSQL leader with a client on its side: no write may survive on one side alone',
    params: {
      synchronous: z
        .boolean()
        .default(true)
        .describe('false: replicate asynchronously meanwhile, to see that the ledger reports the loss'),
      direction: z.enum(['both', 'in', 'out']).default('both').describe('which packets are dropped'),
    },
    load: [postgresLoad(), postgresLoad({ name: 'leader-side', bound: true, connections: 2 })],
    inject: async (context) => {
      const { synchronous, direction } = context.params
      const { leader } = await postgresRoles(context)
      old = leader
      if (!synchronous) {
        await context.fault('patroni-config', leader, {
          set: { synchronous_mode: false },
          healed: { synchronous_mode: true },
        })
        // until the leader has read it and waits for nobody any more
        await pause(3000, context.signal)
      }
      await context.fault('partition', leader, { peers: peersOf(leader, context.services), direction })
    },
    observe: async (context) => {
      await context.newLeader(old)
      await context.writesFlow()
      context.note(
        `${context.load('leader-side').ledger.all.length} writes were acknowledged to the client on the old leader's side.`,
      )
    },
    limits: { gap: '25s', promise: '60s', redundancy: '15s' },
  })
}
