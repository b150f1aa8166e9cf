/** Settings of the PostgreSQL cluster that an experiment changes for its time. */
import { z } from 'zod'
import { messageOf } from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { until } from './clock.ts'
import { type FaultKind, healableLater, kind, target } from './fault-kind.ts'
import { patchConfig } from './patroni-admin.ts'
import { stackServices } from './steady-state.ts'

const values = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))

export const patroniKinds: Readonly<Record<string, FaultKind>> = {
  'patroni-config': kind({
    details: target.extend({ set: values, healed: values.describe('what is set again') }),
    text: ({ set }) =>
      `Patroni set to ${Object.entries(set)
        .map(([name, value]) => `${name}: ${value}`)
        .join(', ')}`,
    inject: async ({ service, set }, tools) => {
      const services = await stackServices(tools)
      await patchConfig(set, { ...tools, services, env: tools.project.environment, member: service })
    },
    heal: async ({ service, healed }, tools) => {
      const containers = await projectContainers(tools)
      if (!containers.some((one) => one.state === 'running' && /^postgres\d+$/.test(serviceOf(one)))) {
        throw healableLater('No member of PostgreSQL runs, and the setting is kept by the cluster.')
      }
      const services = await stackServices(tools)
      const members = services.map((one) => one.service).filter((name) => /^postgres\d+$/.test(name))
      // any member can do it, once etcd has a quorum; the one of the injection may be the one that is broken
      const order = [service, ...members.filter((name) => name !== service)]
      let failure: unknown
      const settings = { ...tools, services, env: tools.project.environment }
      const set = async (): Promise<boolean> => {
        for (const member of order) {
          try {
            await patchConfig(healed, { ...settings, member })
            return true
          } catch (thrown) {
            failure = thrown
          }
        }
        return false
      }
      if (await until(set, { ms: 30_000, signal: tools.signal, every: 500 })) return
      tools.signal.throwIfAborted()
      throw healableLater(messageOf(failure), failure)
    },
  }),
}
