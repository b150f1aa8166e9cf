import { Redis } from 'ioredis'
import type { Host } from './hosts.ts'

/** What the routes see of the cache: it may always miss, and never fails a request. */
export interface Cache {
  /** The cached value of `group:rest`, else what `load` gives, which is then cached. Rejects only as `load` does. */
  through<T>(key: string, load: () => Promise<T>): Promise<T>
  /** Forgets all keys of a group. */
  forget(group: string): Promise<void>
}

export type CacheResult = 'hit' | 'miss' | 'error' | 'bypass'

export interface RedisCacheOptions {
  readonly sentinels: readonly Host[]
  /** The name that Sentinel knows the master by. */
  readonly master: string
  readonly password: string
  readonly sentinelPassword: string | undefined
  readonly ttlSeconds: number
  /** A frozen master still accepts commands: give up on one after this long. */
  readonly commandTimeoutMs: number
  readonly onResult?: (result: CacheResult) => void
  readonly onError?: (thrown: unknown) => void
}

/** So many commands in a row without an answer, and the connection is given up: Sentinel may know another master. */
const silentLimit = 3

/**
 * Redis behind Sentinel as a read-through cache. Keys carry their group's generation, so that forgetting a group is one
 * INCR. When that fails, readers of this process bypass the group until all it may hold has expired.
 */
export class RedisCache implements Cache {
  readonly #redis: Redis
  readonly #options: RedisCacheOptions
  readonly #bypassUntil = new Map<string, number>()
  #silent = 0

  constructor(options: RedisCacheOptions) {
    this.#options = options
    this.#redis = new Redis({
      sentinels: options.sentinels.map((host) => ({ host: host.name, port: host.port })),
      name: options.master,
      password: options.password,
      ...(options.sentinelPassword === undefined ? {} : { sentinelPassword: options.sentinelPassword }),
      connectTimeout: 1_000,
      sentinelCommandTimeout: 500,
      commandTimeout: options.commandTimeoutMs,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      failoverDetector: true,
      sentinelRetryStrategy: (attempt) => Math.min(attempt * 50, 500),
      retryStrategy: (attempt) => Math.min(attempt * 50, 500),
      // A demoted master answers READONLY: ask Sentinel again.
      reconnectOnError: (thrown) => thrown.message.startsWith('READONLY'),
    })
    this.#redis.on('error', (thrown) => options.onError?.(thrown))
  }

  async through<T>(key: string, load: () => Promise<T>): Promise<T> {
    const group = key.split(':', 1)[0]!
    if ((this.#bypassUntil.get(group) ?? 0) > Date.now()) {
      this.#options.onResult?.('bypass')
      return load()
    }
    // Named before loading: what is loaded while the group is forgotten is stored where nobody looks any more.
    let name: string | undefined
    try {
      const generation = await this.#ask(() => this.#redis.get(`generation:${group}`))
      const current = `${key}:${generation ?? 0}`
      const text = await this.#ask(() => this.#redis.get(current))
      this.#options.onResult?.(text === null ? 'miss' : 'hit')
      if (text !== null) return JSON.parse(text) as T
      name = current
    } catch {
      this.#options.onResult?.('error')
    }
    const value = await load()
    if (name !== undefined) await this.#store(name, value)
    return value
  }

  async forget(group: string): Promise<void> {
    try {
      await this.#ask(() => this.#redis.incr(`generation:${group}`))
    } catch {
      this.#bypassUntil.set(group, Date.now() + this.#options.ttlSeconds * 1_000)
      this.#options.onResult?.('error')
    }
  }

  /** The master's round trip in ms; rejects when it does not answer. */
  async check(): Promise<number> {
    const before = performance.now()
    await this.#ask(() => this.#redis.ping())
    return performance.now() - before
  }

  close(): void {
    this.#redis.disconnect()
  }

  async #store(name: string, value: unknown): Promise<void> {
    try {
      await this.#ask(() => this.#redis.set(name, JSON.stringify(value), 'EX', this.#options.ttlSeconds))
    } catch {
      this.#options.onResult?.('error')
    }
  }

  async #ask<T>(command: () => Promise<T>): Promise<T> {
    try {
      const answer = await command()
      this.#silent = 0
      return answer
    } catch (thrown) {
      if (thrown instanceof Error && /timed out/i.test(thrown.message) && ++this.#silent >= silentLimit) {
        this.#silent = 0
        this.#redis.disconnect(true)
      }
      throw thrown
    }
  }
}
