/** `test-etcd-loss`: one member lost, nothing stops; two lost, no quorum, and everything comes back with them. */
import { endpoint, reachOf, type Task, z } from '../../lib/index.ts'
import { etcdClientPort, readEtcd } from '../stack/etcd.ts'
import { now, pause } from './clock.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles } from './patroni-admin.ts'
import { postgresLoad } from './postgres-load.ts'

/** How long the members stay away: well past Patroni's lease when the quorum is lost. */
const awayMs = { one: 10_000, two: 30_000 } as const

/** The task. */
export function etcdLossTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Lose etcd members: one, and nothing stops; two, and the stack comes back with them',
    params: {
      members: z.coerce.number().int().min(1).max(2).default(1).describe('how many'),
      failsafe: z
        .boolean()
        .default(true)
        .describe('false: switch failsafe_mode off meanwhile, so that writes stop without a quorum'),
    },
    load: [postgresLoad()],
    helper: false,
    inject: async (context) => {
      if (!context.params.failsafe) {
        const { leader } = await postgresRoles(context)
        await context.fault('patroni-config', leader, {
          set: { failsafe_mode: false },
          healed: { failsafe_mode: true },
        })
        // until every member has read it
        await pause(3000, context.signal)
      }
      for (const member of await worstMembers(context.params.members, context)) await context.fault('kill', member)
    },
    observe: async (context) => {
      const { members, failsafe } = context.params
      await pause(members === 1 ? awayMs.one : awayMs.two, context.signal)
      const during = context.load('postgresql').ledger.all.filter(({ at }) => at > now() - 3000).length
      const expected = members === 1 || failsafe
      if (during > 0 !== expected) throw new Error(`writes ${expected ? 'stopped' : 'went on'}`)
      context.note(
        members === 1
          ? 'Writes went on.'
          : `Without an etcd quorum writes ${failsafe ? 'went on' : 'stopped'}, as Patroni is set to (failsafe_mode: ${failsafe}).`,
      )
      await context.heal()
      await context.writesFlow()
    },
    limits: ({ members }) =>
      members === 1 ? { gap: '2s', promise: '2s', redundancy: '15s' } : { promise: '60s', redundancy: '15s' },
  })
}

/** The leader first: losing it costs an election. */
async function worstMembers(count: number, context: ExperimentContext<unknown>): Promise<readonly string[]> {
  const handles = context.services.filter(({ service }) => /^etcd\d+$/.test(service))
  const reach = await reachOf(context.runtime, context.signal)
  const { leader } = await readEtcd(
    handles.map((handle) => endpoint(handle, etcdClientPort, reach)),
    { signal: context.signal },
  )
  const names = handles.map(({ service }) => service)
  return names.sort((a, b) => Number(b === leader) - Number(a === leader)).slice(0, count)
}
