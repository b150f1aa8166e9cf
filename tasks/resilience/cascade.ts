/** `test-cascade`: the leader is lost, then the one that took over. */
import { type Task, z } from '../../lib/index.ts'
import { until } from './clock.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles } from './patroni-admin.ts'
import { postgresLoad } from './postgres-load.ts'

/** The task. */
export function cascadeTask(): Task<ExperimentOutcome> {
  let first = ''
  return experiment({
    description: 'Lose the PostgreSQL leader, then the new leader: the last member serves alone',
    params: { fault: z.enum(['kill', 'pause']).default('kill').describe('how each is lost') },
    load: [postgresLoad()],
    helper: false,
    inject: async (context) => {
      first = (await postgresRoles(context)).leader
      await context.fault(context.params.fault, first)
    },
    observe: async (context) => {
      await context.newLeader(first)
      await context.writesFlow()
      // only a synchronous standby may take over without loss, so there must be one again
      const paired = async (): Promise<boolean> => {
        const roles = await postgresRoles(context).catch(() => undefined)
        return roles !== undefined && roles.leader !== first && roles.standby !== first
      }
      if (!(await until(paired, { ms: 60_000, signal: context.signal, every: 200 }))) {
        throw new Error('the new leader found no synchronous standby')
      }
      const second = (await postgresRoles(context)).leader
      await context.fault(context.params.fault, second)
      const third = context.services
        .map(({ service }) => service)
        .find((name) => /^postgres\d+$/.test(name) && name !== first && name !== second)
      await context.newLeader(second)
      context.mark(`${third} serves alone`)
      await context.writesFlow()
    },
    limits: { gap: '24s', promise: '60s', redundancy: '15s', recovery: '180s' },
  })
}
