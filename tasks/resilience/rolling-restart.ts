/** `test-rolling-restart`: every member of etcd and PostgreSQL is restarted, one after another, the leader last. */
import { type Task, z } from '../../lib/index.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles, switchover } from './patroni-admin.ts'
import { postgresLoad } from './postgres-load.ts'

/** The task. */
export function rollingRestartTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Restart the members one after another: clients notice the one switchover at most',
    params: { services: z.enum(['postgres', 'etcd', 'all']).default('all').describe('which members') },
    load: [postgresLoad()],
    helper: false,
    inject: async (context) => {
      const { services } = context.params
      const names = context.services.map(({ service }) => service)
      if (services !== 'postgres') {
        for (const name of names.filter((one) => /^etcd\d+$/.test(one))) await restart(name, context)
      }
      if (services === 'etcd') return
      const { leader, others } = await postgresRoles(context)
      for (const name of others) await restart(name, context)
      const { standby } = await postgresRoles(context)
      context.mark(`switchover from ${leader} to ${standby}`)
      await switchover({ leader, candidate: standby }, context)
      await context.steady()
      await restart(leader, context)
    },
    limits: { gap: '2s', promise: '60s', redundancy: '15s' },
  })
}

async function restart(name: string, context: ExperimentContext<unknown>): Promise<void> {
  const fault = await context.fault('restart', name)
  await context.steady()
  await context.heal(fault)
}
