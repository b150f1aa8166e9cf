/** Word of each switch from the Sentinels, as clients may subscribe to it (https://redis.io/docs/latest/develop/reference/sentinel-clients/). */
import type { Address } from '../stack/endpoint.ts'
import { sentinelGroup } from '../stack/sentinel.ts'
import { pause } from './clock.ts'
import { RedisConnection } from './redis-connection.ts'

const channel = '+switch-master'
/** A Sentinel that does not answer within this is asked again after the same time. */
const openMs = 500

export interface SwitchOptions {
  readonly password: string | undefined
  /** Told the name of the member that is not master any more, by each Sentinel once. */
  readonly onSwitch: (old: string) => void
  readonly signal: AbortSignal
}

/** Listens to every Sentinel, and goes on when one is away, until the signal aborts. Never rejects. */
export async function followSwitches(sentinels: readonly Address[], options: SwitchOptions): Promise<void> {
  await Promise.all(sentinels.map((address) => follow(address, options)))
}

async function follow(address: Address, { password, onSwitch, signal }: SwitchOptions): Promise<void> {
  const tell = (text: string): void => {
    const old = switchedFrom(text)
    if (old !== undefined) onSwitch(old)
  }
  while (!signal.aborted) {
    try {
      const connection = await RedisConnection.open(address, password, openMs, signal)
      try {
        await connection.subscribe(channel, tell, openMs)
        await connection.closed
      } finally {
        connection.cut()
      }
    } catch {
      await pause(openMs, signal)
    }
  }
}

/** Of `devstack redis1 6379 redis2 6379`, the group with its old and its new master: the old one. */
function switchedFrom(text: string): string | undefined {
  const [group, old] = text.split(' ')
  return group === sentinelGroup ? old : undefined
}
