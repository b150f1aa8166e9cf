/** `test-failover`: the PostgreSQL leader goes away, in six ways; what was acknowledged must still be there. */
import { type Duration, type Task, z } from '../../lib/index.ts'
import { backendLoad } from './backend-load.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles, switchover } from './patroni-admin.ts'
import { peersOf } from './peers.ts'
import { postgresLoad } from './postgres-load.ts'

const faults = ['switchover', 'postgres-kill', 'crash', 'kill', 'pause', 'partition'] as const
export type FailoverFault = (typeof faults)[number]

/** Targets for the gap of a client. Below 20 s for a leader that stays away there is no way in Patroni 4: its lease. */
const gaps: Readonly<Record<FailoverFault, Duration>> = {
  switchover: '2s',
  'postgres-kill': '2s',
  crash: '3s',
  kill: '24s',
  pause: '25s',
  partition: '25s',
}

/** Faults after which another member must lead before the heal. */
const moves: ReadonlySet<FailoverFault> = new Set(['switchover', 'kill', 'pause', 'partition'])

/** The task. */
export function failoverTask(): Task<ExperimentOutcome> {
  let old = ''
  return experiment({
    description: 'Lose the PostgreSQL leader and prove that no acknowledged write is lost',
    params: {
      fault: z.enum(faults).default('postgres-kill').describe('how the leader is lost'),
    },
    load: [postgresLoad(), backendLoad()],
    helper: ({ fault }) => fault === 'crash' || fault === 'partition',
    inject: async (context) => {
      const roles = await postgresRoles(context)
      old = roles.leader
      await loseLeader(context.params.fault, roles, context)
    },
    observe: async (context) => {
      if (moves.has(context.params.fault)) await context.newLeader(old)
      await context.writesFlow()
    },
    assert: ({ loads }) => {
      const errors = Object.entries(loads.find(({ name }) => name === 'http')?.errors ?? {})
      return errors.map(([kind, count]) => `http: ${count} requests failed for clients of the backend (${kind}).`)
    },
    limits: ({ fault }) => ({ gap: gaps[fault], promise: '60s', redundancy: '15s' }),
  })
}

/** Takes the leader away. */
export async function loseLeader(
  fault: FailoverFault,
  { leader, standby }: { readonly leader: string; readonly standby: string },
  context: ExperimentContext<unknown>,
): Promise<void> {
  if (fault === 'switchover') {
    context.mark(`switchover from ${leader} to ${standby} asked for`)
    await switchover({ leader, candidate: standby }, context)
  } else if (fault === 'partition') {
    await context.fault('partition', leader, { peers: peersOf(leader, context.services), direction: 'both' })
  } else await context.fault(fault, leader)
}
