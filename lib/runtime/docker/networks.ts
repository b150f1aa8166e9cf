/** Networks and volumes. */
import type { z } from 'zod'
import { DevstackError } from '../../errors.ts'
import type { NetworkSpec, Runtime, VolumeSpec } from '../runtime.ts'
import * as answers from './answers.ts'
import { labelFilter } from './containers.ts'
import type { Doing } from './failures.ts'
import type { Session } from './session.ts'

type Calls = Pick<
  Runtime,
  'networks' | 'ensureNetwork' | 'removeNetwork' | 'volumes' | 'volumeSizes' | 'ensureVolume' | 'removeVolume'
>
type Found = z.output<typeof answers.networkInspect>

const about = (verb: string, thing: 'network' | 'volume', name: string): Doing => ({
  what: `${verb} ${thing} "${name}"`,
  thing,
  name,
})

/** The calls about networks and volumes. */
export function networkCalls(session: Session): Calls {
  const { transport } = session

  const list = async (filters: string | undefined, signal?: AbortSignal): Promise<readonly Found[]> => {
    const doing = { what: 'Listing networks' }
    const { text } = await transport.call({ method: 'GET', path: '/networks', query: { filters }, signal, doing })
    return answers.read(answers.networkInspect.array(), text, doing)
  }

  const find = async (name: string, signal?: AbortSignal): Promise<Found | undefined> => {
    // The filter matches parts of names.
    const found = await list(JSON.stringify({ name: [name] }), signal)
    return found.find(({ Name }) => Name === name)
  }

  return {
    async networks(filter, call) {
      const found = await list(labelFilter(filter), call?.signal)
      return found.map((one) => ({ ...networkSpec(one), id: one.Id }))
    },

    async ensureNetwork(spec, call) {
      const existing = await find(spec.name, call?.signal)
      if (existing) {
        checkSame(spec, existing)
        return { created: false }
      }
      const pool = { Subnet: spec.subnet, Gateway: spec.gateway, IPRange: spec.ipRange }
      const doing = about('Creating', 'network', spec.name)
      try {
        const { status } = await transport.call(
          {
            method: 'POST',
            path: '/networks/create',
            body: {
              Name: spec.name,
              CheckDuplicate: true,
              Driver: spec.driver ?? 'bridge',
              Internal: spec.internal ?? false,
              Attachable: spec.attachable ?? false,
              EnableIPv6: spec.ipv6 ?? false,
              Labels: spec.labels,
              Options: spec.driverOptions ?? {},
              ...(spec.subnet && { IPAM: { Driver: 'default', Config: [pool] } }),
            },
            signal: call?.signal,
            doing,
          },
          [409],
        )
        return { created: status !== 409 }
      } catch (error) {
        if (!(error instanceof DevstackError) || error.code !== 'RUNTIME_SUBNET_TAKEN' || !spec.subnet) throw error
        throw await subnetTaken(spec.name, spec.subnet, { error, all: await list(undefined).catch(() => []) })
      }
    },

    async removeNetwork(name, call) {
      const request = {
        method: 'DELETE',
        path: `/networks/${encodeURIComponent(name)}`,
        signal: call?.signal,
        doing: about('Removing', 'network', name),
      } as const
      await transport.call(request, [404])
    },

    async volumes(filter, call) {
      const doing = { what: 'Listing volumes' }
      const { text } = await transport.call({
        method: 'GET',
        path: '/volumes',
        query: { filters: labelFilter(filter) },
        signal: call?.signal,
        doing,
      })
      return answers.read(answers.volumeList, text, doing).Volumes.map(
        ({ Name, Driver, Labels, Options }): VolumeSpec => ({
          name: Name,
          driver: Driver,
          driverOptions: Options,
          labels: Labels,
        }),
      )
    },

    async volumeSizes(call) {
      const doing = { what: 'Measuring volumes' }
      const { text } = await transport.call({
        method: 'GET',
        path: '/system/df',
        query: { type: session.api >= 42 ? 'volume' : undefined },
        signal: call?.signal,
        doing,
      })
      return Object.fromEntries(
        answers.read(answers.diskUsage, text, doing).Volumes.map(({ Name, UsageData }) => [Name, UsageData?.Size ?? 0]),
      )
    },

    async ensureVolume(spec, call) {
      const at = `/volumes/${encodeURIComponent(spec.name)}`
      const doing = about('Creating', 'volume', spec.name)
      const known = await transport.call({ method: 'GET', path: at, signal: call?.signal, doing }, [404])
      if (known.status !== 404) return { created: false }
      await transport.call({
        method: 'POST',
        path: '/volumes/create',
        body: {
          Name: spec.name,
          Driver: spec.driver ?? 'local',
          DriverOpts: spec.driverOptions ?? {},
          Labels: spec.labels,
        },
        signal: call?.signal,
        doing,
      })
      return { created: true }
    },

    async removeVolume(name, call) {
      const request = {
        method: 'DELETE',
        path: `/volumes/${encodeURIComponent(name)}`,
        signal: call?.signal,
        doing: about('Removing', 'volume', name),
      } as const
      await transport.call(request, [404])
    },
  }
}

function networkSpec(found: Found): NetworkSpec {
  const [pool] = found.IPAM?.Config ?? []
  return {
    name: found.Name,
    driver: found.Driver,
    driverOptions: found.Options,
    ...(pool?.Subnet && { subnet: pool.Subnet }),
    ...(pool?.Gateway && { gateway: pool.Gateway }),
    ...(pool?.IPRange && { ipRange: pool.IPRange }),
    internal: found.Internal ?? false,
    attachable: found.Attachable ?? false,
    ipv6: found.EnableIPv6 ?? false,
    labels: found.Labels,
  }
}

/** A network of that name that is another network must not be used as if it were ours. */
function checkSame(wanted: NetworkSpec, found: Found): void {
  const is = networkSpec(found)
  const differences: string[] = []
  if (wanted.subnet !== undefined && wanted.subnet !== is.subnet)
    differences.push(`subnet ${is.subnet ?? 'chosen by the engine'} → ${wanted.subnet}`)
  if (wanted.driver !== undefined && wanted.driver !== is.driver)
    differences.push(`driver ${is.driver} → ${wanted.driver}`)
  if ((wanted.internal ?? false) !== is.internal) differences.push(`internal ${is.internal} → ${!is.internal}`)
  if (differences.length === 0) return
  throw new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_NETWORK_DIFFERS',
    message: `Network "${wanted.name}" is there and differs: ${differences.join(', ')}.`,
    hint: `Remove it (\`devstack run down\`, or \`docker network rm ${wanted.name}\`), then run again.`,
  })
}

async function subnetTaken(
  name: string,
  subnet: string,
  { error, all }: { readonly error: DevstackError; readonly all: readonly Found[] },
): Promise<DevstackError> {
  const { overlaps } = await import('../subnet.ts')
  const holder = all.find((one) => (one.IPAM?.Config ?? []).some(({ Subnet }) => overlaps(Subnet, subnet)))
  const pool = holder?.IPAM?.Config.find(({ Subnet }) => overlaps(Subnet, subnet))?.Subnet
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_SUBNET_TAKEN',
    message: holder
      ? `Network "${name}" cannot have ${subnet}: network "${holder.Name}" holds ${pool}.`
      : `Network "${name}" cannot have ${subnet}: it overlaps an address range of this machine that is no network of the engine.`,
    hint: holder
      ? `Remove it (\`docker network rm ${holder.Name}\`), or choose another subnet.`
      : 'Choose another subnet; `ip route` shows what is taken.',
    cause: error.cause,
  })
}
