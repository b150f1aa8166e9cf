/** `test-pause-resume`: the leader is frozen past its lease, then thawed; it must not lead on, nor take leadership back. */
import { type Task, z } from '../../lib/index.ts'
import { longestSeconds, pause, recoveryAfter } from './clock.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles } from './patroni-admin.ts'
import { postgresLoad } from './postgres-load.ts'

/** The task. */
export function pauseResumeTask(): Task<ExperimentOutcome> {
  let old = ''
  return experiment({
    description: 'Freeze the PostgreSQL leader past its lease, then thaw it: it must follow',
    params: {
      watch: z.coerce.number().min(1).max(longestSeconds).default(10).describe('seconds it is watched after the thaw'),
    },
    load: [postgresLoad(), postgresLoad({ name: 'old-leader', bound: true, connections: 1 })],
    helper: false,
    inject: async (context) => {
      old = (await postgresRoles(context)).leader
      await context.fault('pause', old)
    },
    observe: async (context) => {
      await context.newLeader(old)
      await context.writesFlow()
      await context.heal()
      await pause(context.params.watch * 1000, context.signal)
    },
    assert: ({ loads, fault }) => {
      const [load] = loads
      const changes = load?.leaders.filter(({ at }) => at > (fault?.from ?? 0)) ?? []
      return changes.some(({ member }) => member === old) ? [`${old} took leadership back after it was thawed.`] : []
    },
    limits: ({ watch }) => ({ gap: '25s', promise: '60s', redundancy: '15s', recovery: recoveryAfter(watch) }),
  })
}
