/** `test-etcd-loss`: one member lost, nothing stops; two lost, no quorum, and everything comes back with them. */
import { endpoint, reachOf, type Task, z } from '../../lib/index.ts'
import { etcdClientPort, readEtcd } from '../stack/etcd.ts'
import { now, pause } from './clock.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresLoad } from './postgres-load.ts'

/** How long the members stay away: well past Patroni's lease when the quorum is lost. */
const awayMs = { 1: 10_000, 2: 30_000 } as const

/** The task. */
export function etcdLossTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Lose etcd members: one, and nothing stops; two, and the stack comes back with them',
    params: {
      members: z.coerce
        .number()
        .pipe(z.union([z.literal(1), z.literal(2)]))
        .default(1)
        .describe('how many: 1 or 2'),
    },
    load: [postgresLoad()],
    helper: false,
    inject: async (context) => {
      for (const member of await worstMembers(context.params.members, context)) await context.fault('kill', member)
    },
    observe: async (context) => {
      const { members } = context.params
      const before = context.load('postgresql').ledger.all.length
      await pause(awayMs[members], context.signal)
      const during = context.load('postgresql').ledger.all.filter(({ at }) => at > now() - 3000).length
      if (members === 2) {
        context.note(
          during > 0
            ? 'Without an etcd quorum writes went on, as Patroni is set to (failsafe_mode).'
            : 'Without an etcd quorum writes stopped.',
        )
      } else if (context.load('postgresql').ledger.all.length === before) throw new Error('writes stopped')
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
