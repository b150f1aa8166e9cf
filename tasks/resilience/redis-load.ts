/** Clients of Redis that find the master through Sentinel. Replication is asynchronous: what is lost is measured. */
import { join } from 'node:path'
import { DevstackError, endpoint } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { redisPort } from '../stack/redis.ts'
import { askRedis } from '../stack/resp.ts'
import { sentinelGroup, sentinelPort } from '../stack/sentinel.ts'
import { Lanes } from './lanes.ts'
import { LedgerClients } from './ledger-clients.ts'
import type { Load, LoadContext, RunningLoad } from './load.ts'
import { RedisConnection } from './redis-connection.ts'
import { RedisWatch } from './redis-watch.ts'
import { followSwitches } from './sentinel-switches.ts'

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
  readonly #options: RedisLoadOptions
  readonly #key: string
  readonly #password: string | undefined
  readonly #members: Place
  readonly #sentinels: Place
  readonly #clients: LedgerClients
  readonly #lanes = new Lanes()
  readonly #watch: RedisWatch
  /** Ends the connections to a member, for each that has some. */
  readonly #leave = new Map<string, AbortController>()

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
    this.#clients = new LedgerClients(join(context.folder, 'redis.ledger'))
    this.#watch = new RedisWatch(this.#members, this.#password, this.#lanes)
  }

  get ledger() {
    return this.#clients.ledger
  }

  get errors() {
    return this.#clients.errors
  }

  get lanes() {
    return this.#lanes.all()
  }

  writable() {
    return this.#watch.writable()
  }

  begin(): void {
    const { connections = 2, everyMs = 20, statementMs = 1000 } = this.#options
    this.#clients.start(
      {
        connections,
        everyMs,
        connect: () => this.#connect(),
        write: (connection, id) => connection.send(['SADD', this.#key, String(id)], statementMs),
      },
      (signal) => Promise.all([this.#watch.run(signal), this.#followSwitches(signal)]),
    )
  }

  /** A frozen master keeps its connections: without word of the switch each would wait for its own deadline. */
  #followSwitches(signal: AbortSignal): Promise<void> {
    const leave = (member: string): void => {
      this.#leave.get(member)?.abort(new Error('Sentinel named another master'))
      this.#leave.delete(member)
    }
    return followSwitches([...this.#sentinels.values()], { password: this.#password, onSwitch: leave, signal })
  }

  /** Asks the Sentinels in turn who is master, and makes sure of it as the client protocol of Sentinel demands. */
  async #connect(): Promise<RedisConnection> {
    const named = await Promise.any([...this.#sentinels.values()].map((address) => this.#masterAs(address)))
    const address = this.#members.get(named)
    if (!address) throw new Error(`Sentinel names an unknown master: ${named}`)
    const leave = this.#leave.get(named) ?? new AbortController()
    this.#leave.set(named, leave)
    const connection = await RedisConnection.open(address, this.#password, 1000, leave.signal)
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

  stop(): Promise<void> {
    return this.#clients.stop()
  }

  compare(signal: AbortSignal) {
    const password = this.#password
    return this.#clients.compare([...this.#members.keys()], {
      held: async (member, bounded) => {
        const options = { password, signal: bounded }
        const [reply] = await askRedis(this.#members.get(member)!, [['SMEMBERS', this.#key]], options)
        if (!Array.isArray(reply)) throw new Error(`answered ${String(reply)}`)
        return new Set(reply.map(Number))
      },
      // what is lost is lost on all of them; they agree once replication has caught up
      settled: ({ members }) => new Set(members.map(({ held }) => held)).size === 1,
      signal,
    })
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
