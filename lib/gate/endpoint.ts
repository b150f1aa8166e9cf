/**
 * Where a container's port can be reached from this process. A Linux host sees the containers' own addresses, which is
 * better than a published port: the engine's port forwarder accepts connections even while nobody listens behind it.
 * Rootless engines, engines in a virtual machine and remote ones can only be reached through published ports.
 */
import { DevstackError } from '../errors.ts'
import type { EngineInfo, PortBinding, RuntimeReader, ServiceHandle } from '../runtime/runtime.ts'

/** Where a port of a container is reached from here: at its own address, or through the port it publishes. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly via: 'address' | 'published'
}

/** How this process reaches containers; `host` is where published ports are, `127.0.0.1` unless the engine is remote. */
export interface Reach {
  readonly prefer: 'address' | 'published'
  readonly host: string
}

const localReach: Reach = {
  prefer: process.platform === 'linux' ? 'address' : 'published',
  host: '127.0.0.1',
}

/**
 * Host and port for a container's `port` (TCP). Takes the preferred way, the other one where that is missing.
 * Throws GATE_NO_ENDPOINT when the container has neither an address nor a published port.
 */
export function endpoint(handle: ServiceHandle, port: number, reach: Reach = localReach): Endpoint {
  const address = Object.values(handle.addresses).find((candidate) => candidate !== '')
  const binding = handle.ports.find(
    (candidate) => candidate.containerPort === port && candidate.protocol === 'tcp' && candidate.hostPort > 0,
  )
  const byAddress: Endpoint | undefined = address === undefined ? undefined : { host: address, port, via: 'address' }
  const published: Endpoint | undefined = binding && {
    host: bindingHost(binding, reach.host),
    port: binding.hostPort,
    via: 'published',
  }
  const found = reach.prefer === 'address' ? (byAddress ?? published) : (published ?? byAddress)
  if (found) return found
  throw new DevstackError({
    kind: 'gate',
    code: 'GATE_NO_ENDPOINT',
    message: `Port ${port} of service "${handle.service}" can not be reached: the container has no address and does not publish it.`,
    hint: `Publish it in the compose file (ports: ["127.0.0.1:${port}:${port}"]) or attach the service to a network.`,
  })
}

/** `host:port`, with brackets around an IPv6 address. */
export function formatEndpoint({ host, port }: Pick<Endpoint, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

const reaches = new WeakMap<RuntimeReader, Promise<Reach>>()

/** How this process reaches the containers of an engine; asked once per runtime, guessed when the engine does not answer. */
export function reachOf(runtime: RuntimeReader, signal?: AbortSignal): Promise<Reach> {
  let reach = reaches.get(runtime)
  if (!reach) {
    reach = Promise.resolve()
      .then(() => runtime.info(signal ? { signal } : {}))
      .then(reachFrom, () => {
        reaches.delete(runtime)
        return localReach
      })
    reaches.set(runtime, reach)
  }
  return reach
}

function reachFrom(info: EngineInfo): Reach {
  const remote = /^(?:tcp|ssh|https?):\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/]+)/
    .exec(info.address)?.[1]
    ?.replace(/^\[|\]$/g, '')
  const local = remote === undefined || /^(?:localhost|127\.|::1$)/.test(remote)
  if (!local) return { prefer: 'published', host: remote }
  const hidden = info.rootless || /desktop|rancher|colima/i.test(info.operatingSystem)
  return { prefer: process.platform === 'linux' && !hidden ? 'address' : 'published', host: '127.0.0.1' }
}

function bindingHost(binding: PortBinding, host: string): string {
  if (host !== '127.0.0.1') return host
  if (binding.hostIp === '' || binding.hostIp === '0.0.0.0') return '127.0.0.1'
  return binding.hostIp === '::' ? '::1' : binding.hostIp
}
