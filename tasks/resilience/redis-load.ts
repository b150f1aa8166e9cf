/** Clients of Redis that find the master through Sentinel. Replication is asynchronous: what is lost is measured. */
import { join } from 'node:path'
import { DevstackError, endpoint, messageOf } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { readRedis, redisPort } from '../stack/redis.ts'
import { askRedis } from '../stack/resp.ts'
import { sentinelGroup, sentinelPort } from '../stack/sentinel.ts'
import { AcknowledgedWrites, compareLedger, type Holding } from './acknowledged.ts'
import { now, pause, until, within } from './clock.ts'
import { Lanes, simultaneous } from './lanes.ts'
import { type ClientError, errorKind, type Load, type LoadContext, type RunningLoad } from './load.ts'
import { RedisConnection } from './redis-connection.ts'

export interface RedisLoadOptions {
  /** Clients that write at the same time; default 2. */
  readonly connections?: number
  /** Pause of each client between two writes; default 20 ms. */
  readonly everyMs?: number
  /** After how long a client gives a command up; default 1 s. */
  readonly statementMs?: number
}

/** A load on Redis, through Sentinel. */
export function redisLoad(options: RedisLoadOptions = {}): Load {
  return {
    name: 'redis',
    durable: false,
    start: async (context) => {
      const load = new RedisLoad(options, context)
      load.begin()
      return load
    },
  }
}

type Place = ReadonlyMap<string, Address>

class RedisLoad implements RunningLoad {
  readonly name = 'redis'
  readonly durable = false
  readonly ledger: AcknowledgedWrites
  readonly errors: ClientError[] = []
  readonly #options: RedisLoadOptions
  readonly #key: string
  readonly #password: string | undefined
  readonly #members: Place
  readonly #sentinels: Place
  readonly #stop = new AbortController()
  readonly #lanes = new Lanes()
  #clients: Promise<unknown> = Promise.resolve()
  #next = 0
  #samples = 0
  #maximum = 0

  constructor(options: RedisLoadOptions, context: LoadContext) {
    this.#options = options
    this.#key = `devstack:ledger:${context.run}`
    this.#password = context.environment['REDIS_PASSWORD']
    const published = (pattern: RegExp, port: number): Place =>
      new Map(
        context.services
          .filter(({ service }) => pattern.test(service))
          .map((handle) => [handle.service, endpoint(handle, port, { ...context.reach, prefer: 'published' })]),
      )
    this.#members = published(/^redis\d+$/, redisPort)
    this.#sentinels = published(/^sentinel\d+$/, sentinelPort)
    if (this.#members.size === 0 || this.#sentinels.size === 0) {
      throw new DevstackError({
        kind: 'usage',
        code: 'LEDGER_NO_REDIS',
        message: 'There is no Redis with Sentinels to write to.',
        hint: 'Start the whole stack with: devstack run up',
      })
    }
    this.ledger = new AcknowledgedWrites(join(context.folder, 'redis.ledger'))
  }

  get lanes() {
    return this.#lanes.all()
  }

  writable() {
    return { maximum: this.#maximum, samples: this.#samples }
  }

  begin(): void {
    const { signal } = this.#stop
    const clients = Array.from({ length: this.#options.connections ?? 2 }, () => this.#client(signal))
    this.#clients = Promise.all([...clients, this.#watch(signal)])
  }

  async #client(signal: AbortSignal): Promise<void> {
    const limit = this.#options.statementMs ?? 1000
    let connection: RedisConnection | undefined
    while (!signal.aborted) {
      try {
        connection ??= await this.#connect()
        this.#next += 1
        const id = this.#next
        const sent = now()
        await connection.send(['SADD', this.#key, String(id)], limit)
        const at = now()
        this.ledger.add({ id, at, ms: at - sent })
        await pause(this.#options.everyMs ?? 20, signal)
      } catch (thrown) {
        connection?.cut()
        connection = undefined
        this.errors.push({ at: now(), kind: errorKind(thrown) })
        await pause(50, signal)
      }
    }
    connection?.cut()
  }

  /** Asks the Sentinels in turn who is master, and makes sure of it as the client protocol of Sentinel demands. */
  async #connect(): Promise<RedisConnection> {
    const named = await Promise.any([...this.#sentinels.values()].map((address) => this.#masterAs(address)))
    const address = this.#members.get(named)
    if (!address) throw new Error(`Sentinel names an unknown master: ${named}`)
    const connection = await RedisConnection.open(address, this.#password, 1000)
    const role = await connection.send(['ROLE'], 1000)
    if (Array.isArray(role) && role[0] === 'master') return connection
    connection.cut()
    throw new Error('not the master yet')
  }

  async #masterAs(address: Address): Promise<string> {
    const password = this.#password
    const signal = AbortSignal.timeout(700)
    const [reply] = await askRedis(address, [['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', sentinelGroup]], {
      password,
      signal,
    })
    if (!Array.isArray(reply)) throw new Error('Sentinel knows no master')
    return String(reply[0])
  }

  /** Roles alone are sampled: a write of the sampler's own would not say more, every master takes writes. */
  async #watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const from = now()
      const answers = await Promise.all(
        [...this.#members].map(async ([member, address]) => {
          try {
            const sample = AbortSignal.timeout(500)
            const node = await within(
              500,
              readRedis(address, { password: this.#password, signal: sample }),
              'sample deadline',
            )
            const writable = node.role === 'master' && node.replicas.some(({ state }) => state === 'online')
            return { member, state: node.role === 'replica' ? 'follows' : writable ? 'leads' : 'alone' } as const
          } catch {
            return { member, state: 'silent' } as const
          }
        }),
      )
      const to = now()
      for (const { member, state } of answers) this.#lanes.add(member, state, to)
      this.#samples += 1
      const leading = answers.filter(({ state }) => state === 'leads').map(({ member }) => ({ member, from, to }))
      this.#maximum = Math.max(this.#maximum, simultaneous(leading))
      await pause(200, signal)
    }
  }

  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#clients
    this.ledger.close()
  }

  async compare(signal: AbortSignal) {
    const holdings: Record<string, Holding> = {}
    const ids = this.ledger.all.map(({ id }) => id)
    const agreed = async (): Promise<boolean> => {
      await Promise.all(
        [...this.#members].map(async ([member, address]) => {
          try {
            const [reply] = await askRedis(address, [['SMEMBERS', this.#key]], { password: this.#password, signal })
            holdings[member] = Array.isArray(reply)
              ? { ids: new Set(reply.map(Number)) }
              : { error: `answered ${String(reply)}` }
          } catch (thrown) {
            holdings[member] = { error: messageOf(thrown) }
          }
        }),
      )
      const sizes = new Set(Object.values(holdings).map((holding) => ('ids' in holding ? holding.ids.size : -1)))
      return sizes.size === 1 && !sizes.has(-1)
    }
    await until(agreed, { ms: 15_000, signal, every: 300 })
    return compareLedger(ids, holdings)
  }

  async clear(): Promise<void> {
    const connection = await this.#connect()
    try {
      await connection.send(['UNLINK', this.#key], 5000)
    } finally {
      connection.cut()
    }
  }
}
