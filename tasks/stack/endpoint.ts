/** Where a service of the stack is asked, and what every reader takes. */
import type { Reach, Runtime, ServiceHandle } from '../../lib/index.ts'
import { endpoint, reachOf } from '../../lib/index.ts'

/** Host and TCP port as seen from this process. */
export interface Address {
  readonly host: string
  readonly port: number
}

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
}

export interface HandleOptions extends ReadOptions {
  /** How this process reaches containers; default: as it would those of a local engine. */
  readonly reach?: Reach | undefined
}

/** Addresses of the same port of several services, by the way that fits the engine. */
export async function addressesOf(
  handles: readonly ServiceHandle[],
  port: number,
  context: { readonly runtime: Runtime; readonly signal: AbortSignal },
): Promise<readonly Address[]> {
  const reach = await reachOf(context.runtime, context.signal)
  return handles.map((handle) => endpoint(handle, port, reach))
}

/** The same for one service. */
export async function addressOf(
  handle: ServiceHandle,
  port: number,
  context: { readonly runtime: Runtime; readonly signal: AbortSignal },
): Promise<Address> {
  return endpoint(handle, port, await reachOf(context.runtime, context.signal))
}
