/** Samples every Redis member beside the load, over connections that stay open: who is master, with whom, who follows. */
import type { Address } from '../stack/endpoint.ts'
import { now, pause } from './clock.ts'
import { type LaneState, type Lanes, simultaneous } from './lanes.ts'
import { RedisConnection } from './redis-connection.ts'

/** A member that does not answer within this counts as silent. */
const sampleMs = 500
const everyMs = 200

/** The sampler. Roles alone: a write of its own would not say more, every master takes writes. */
export class RedisWatch {
  readonly #members: readonly (readonly [member: string, address: Address])[]
  readonly #password: string | undefined
  readonly #lanes: Lanes
  readonly #connections = new Map<string, RedisConnection>()
  #samples = 0
  #maximum = 0

  constructor(members: ReadonlyMap<string, Address>, password: string | undefined, lanes: Lanes) {
    this.#members = [...members]
    this.#password = password
    this.#lanes = lanes
  }

  /** Most masters with replicas at the same time, and how many samples say so. */
  writable(): { readonly maximum: number; readonly samples: number } {
    return { maximum: this.#maximum, samples: this.#samples }
  }

  /** Samples until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = now()
      const states = await Promise.all(this.#members.map(([member, address]) => this.#stateOf(member, address)))
      const to = now()
      const leading = this.#members.flatMap(([member], index) => {
        this.#lanes.add(member, states[index]!, to)
        return states[index] === 'leads' ? [{ member, from, to }] : []
      })
      this.#samples += 1
      this.#maximum = Math.max(this.#maximum, simultaneous(leading))
      await pause(everyMs, signal)
    }
    for (const connection of this.#connections.values()) connection.cut()
  }

  async #stateOf(member: string, address: Address): Promise<LaneState> {
    try {
      let connection = this.#connections.get(member)
      if (!connection) {
        connection = await RedisConnection.open(address, this.#password, sampleMs)
        this.#connections.set(member, connection)
      }
      // of a master: its offset and the replicas that are online (https://redis.io/docs/latest/commands/role/)
      const role = await connection.send(['ROLE'], sampleMs)
      if (!Array.isArray(role) || role[0] !== 'master') return 'follows'
      return Array.isArray(role[2]) && role[2].length > 0 ? 'leads' : 'alone'
    } catch {
      this.#connections.get(member)?.cut()
      this.#connections.delete(member)
      return 'silent'
    }
  }
}
