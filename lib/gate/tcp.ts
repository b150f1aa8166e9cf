/** Asks whether somebody listens on a port. */
import { connect } from 'node:net'
import type { ServiceHandle } from '../runtime/runtime.ts'
import { type Endpoint, endpoint, formatEndpoint, reachOf } from './endpoint.ts'
import { socketError } from './http.ts'
import { type NamedProbe, named } from './poll.ts'

export interface TcpOptions {
  /** Port of the container. */
  readonly port: number
  /** A host, for what is no container of ours. */
  readonly host?: string
}

/** An engine's port forwarder closes at once what it can not forward; this long without that means somebody is there. */
const settleMs = 30

/**
 * Healthy when a connection is accepted and, through a published port, not closed at once. A process that is frozen still
 * accepts connections (its kernel does): ask the product itself where that matters.
 */
export function tcp(options: TcpOptions): NamedProbe<ServiceHandle> {
  return named(
    (handle) => `connect to ${options.host ?? handle.service}:${options.port}`,
    async (handle, { signal, runtime }) => {
      const target: Endpoint =
        options.host === undefined
          ? endpoint(handle, options.port, await reachOf(runtime, signal))
          : { host: options.host, port: options.port, via: 'address' }
      await dial(target, signal)
      return { healthy: true, detail: `${formatEndpoint(target)} accepts connections` }
    },
  )
}

function dial(target: Endpoint, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: target.host, port: target.port })
    let timer: NodeJS.Timeout | undefined
    const finish = (error?: Error) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', aborted)
      socket.destroy()
      if (error) reject(error)
      else resolve()
    }
    const aborted = () => finish(new Error('no answer in time'))
    signal.addEventListener('abort', aborted, { once: true })
    if (signal.aborted) return aborted()
    socket.on('error', (error) => finish(socketError(error)))
    socket.on('connect', () => {
      if (target.via === 'address') return finish()
      socket.on('end', () => finish(new Error('nothing listens behind the published port')))
      socket.on('data', () => finish())
      timer = setTimeout(finish, settleMs)
    })
  })
}
