import pg from 'pg'
import { formatHost, type Host } from './hosts.ts'
import { findLeader, type Leader, type Standing } from './leader.ts'
import { classify, type RetryOptions, retry, StatementTimeout } from './retry.ts'
import { Client, type Session, untilAborted, useClient } from './session.ts'

export interface RunOptions {
  /** Overrides the database's own deadline, ms. */
  readonly deadlineMs?: number
  readonly signal?: AbortSignal
  /** Goes into a comment of every statement. */
  readonly tags?: Readonly<Record<string, string | undefined>>
}

/** Idempotent work over the leader, whichever member that is: what the routes see of the database. */
export interface Work {
  run<T>(work: (session: Session) => Promise<T>, options?: RunOptions): Promise<T>
}

export interface DatabaseOptions {
  readonly hosts: readonly Host[]
  readonly user: string
  readonly password: string
  readonly database: string
  readonly poolSize: number
  readonly connectTimeoutMs: number
  /** A statement without an answer for this long has lost its peer. */
  readonly statementTimeoutMs: number
  /** From a caller's first attempt to giving up, across failovers. */
  readonly deadlineMs: number
  readonly onRetry?: (reason: string, attempt: number) => void
  readonly onLeader?: (leader: Leader, before: Leader | undefined) => void
}

/** The pool of one leader; a new leader, a new reign. */
interface Reign {
  readonly leader: Leader
  readonly pool: pg.Pool
  readonly clients: Set<Client>
}

// pg_walfile_name needs no privilege and, unlike the control file, is on the new timeline at once after a promotion.
const standingSql = `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS replica,
  (SELECT system_identifier::text FROM pg_control_system()) AS system,
  CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) END AS timeline`

/**
 * PostgreSQL behind a list of hosts: finds the member that takes writes, keeps a pool to it, and when it is lost looks
 * for the next one and runs the work again, until the deadline. Work given to `run` must therefore be idempotent.
 * It follows no leader older than one it has seen, and takes no commit for one that its standby did not confirm.
 */
export class Database implements Work {
  readonly #options: DatabaseOptions
  readonly #closing = new AbortController()
  #reign: Reign | undefined
  #suspect = false
  #known: Leader | undefined
  #search: Promise<Reign> | undefined

  constructor(options: DatabaseOptions) {
    this.#options = options
  }

  /** The leader followed now; undefined while there is none. */
  get leader(): Leader | undefined {
    return this.#reign?.leader
  }

  /** Connections of the pool: in use, idle, and callers waiting for one. */
  get connections(): { readonly busy: number; readonly idle: number; readonly waiting: number } {
    const pool = this.#reign?.pool
    if (pool === undefined) return { busy: 0, idle: 0, waiting: 0 }
    return { busy: pool.totalCount - pool.idleCount, idle: pool.idleCount, waiting: pool.waitingCount }
  }

  /** Runs idempotent work on the leader, as often as it takes within the deadline. */
  run<T>(work: (session: Session) => Promise<T>, options: RunOptions = {}): Promise<T> {
    const signal = AbortSignal.any([this.#closing.signal, ...(options.signal === undefined ? [] : [options.signal])])
    const retries: RetryOptions = {
      deadlineMs: options.deadlineMs ?? this.#options.deadlineMs,
      signal,
      maximumPauseMs: 250,
      onRetry: (failure, attempt) => this.#options.onRetry?.(failure.reason, attempt.number),
    }
    return retry(async (attempt) => {
      const reign = await untilAborted(this.#follow(), attempt.signal)
      try {
        const client = await this.#checkOut(reign, attempt.signal)
        return await useClient(client, work, {
          attempt: attempt.number,
          signal: attempt.signal,
          tags: options.tags ?? {},
          statementTimeoutMs: this.#options.statementTimeoutMs,
        })
      } catch (thrown) {
        this.#doubt(reign, thrown)
        throw thrown
      }
    }, retries)
  }

  /** Ends the pool: waits for work in hand at most `graceMs`, then destroys its connections. */
  async close(graceMs = 0): Promise<void> {
    const reign = this.#reign
    this.#reign = undefined
    if (reign !== undefined && graceMs > 0) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs)
      })
      await Promise.race([reign.pool.end().catch(() => {}), late])
      clearTimeout(timer)
    }
    this.#closing.abort(new Error('the database is closed'))
    if (reign !== undefined) this.#end(reign)
    await this.#search?.catch(() => {})
  }

  /** The pool to use: the one there is, unless it is in doubt, when the members are asked first. */
  #follow(): Promise<Reign> {
    if (this.#closing.signal.aborted) return Promise.reject(this.#closing.signal.reason)
    if (this.#reign !== undefined && !this.#suspect) return Promise.resolve(this.#reign)
    this.#search ??= this.#elect().finally(() => {
      this.#search = undefined
    })
    return this.#search
  }

  async #elect(): Promise<Reign> {
    const leader = await findLeader({
      hosts: this.#options.hosts,
      probe: (host, signal) => this.#probe(host, signal),
      signal: this.#closing.signal,
      known: this.#known,
    })
    this.#suspect = false
    const before = this.#reign
    if (before !== undefined && same(before.leader, leader)) return before
    if (before !== undefined) this.#end(before)
    const reign = this.#found(leader)
    this.#reign = reign
    if (this.#known === undefined || !same(this.#known, leader)) this.#options.onLeader?.(leader, this.#known)
    this.#known = leader
    return reign
  }

  #found(leader: Leader): Reign {
    const clients = new Set<Client>()
    const { onClient, config } = {
      onClient: (client: Client) => clients.add(client),
      config: this.#config(leader.host),
    }
    class Member extends Client {
      constructor() {
        super(config)
        onClient(this)
        this.socket.once('close', () => clients.delete(this))
      }
    }
    const pool = new pg.Pool({ max: this.#options.poolSize, idleTimeoutMillis: 30_000, Client: Member })
    const reign = { leader, pool, clients }
    // An idle connection that dies is the first word of a failover: look for the leader before the next caller needs it.
    pool.on('error', (thrown) => this.#doubt(reign, thrown))
    return reign
  }

  #config(host: Host): pg.ClientConfig {
    const { user, password, database, connectTimeoutMs, statementTimeoutMs } = this.#options
    return {
      host: host.name,
      port: host.port,
      user,
      password,
      database,
      connectionTimeoutMillis: connectTimeoutMs,
      application_name: 'backend',
      keepAlive: true,
      // The server must not cancel a statement: one that waits for its standby would then count as committed.
      lock_timeout: statementTimeoutMs,
      idle_in_transaction_session_timeout: statementTimeoutMs * 4,
    }
  }

  async #probe(host: Host, signal: AbortSignal): Promise<Standing> {
    const client = new Client(this.#config(host))
    client.on('error', () => {})
    const limit = AbortSignal.any([signal, AbortSignal.timeout(this.#options.connectTimeoutMs)])
    const cut = () => client.socket.destroy()
    limit.addEventListener('abort', cut, { once: true })
    try {
      const asked = client.connect().then(() => client.query(standingSql))
      const { rows } = await untilAborted(asked, limit)
      const row = rows[0] as { replica: boolean; system: string; timeline: string | null }
      if (row.replica || row.timeline === null) return { role: 'replica' }
      return { role: 'leader', system: row.system, timeline: Number.parseInt(row.timeline, 16) }
    } finally {
      limit.removeEventListener('abort', cut)
      void client.end().catch(() => {})
      cut()
    }
  }

  async #checkOut(reign: Reign, signal: AbortSignal): Promise<pg.PoolClient & Client> {
    const coming = reign.pool.connect() as unknown as Promise<pg.PoolClient & Client>
    try {
      return await untilAborted(coming, signal)
    } catch (thrown) {
      // Comes too late for this caller: hand it back.
      coming.then((client) => client.release()).catch(() => {})
      throw thrown
    }
  }

  /** After a failure: a lost connection ends the reign, silence only puts it in doubt (one statement may just be slow). */
  #doubt(reign: Reign, thrown: unknown): void {
    if (reign !== this.#reign) return
    const failure = thrown instanceof StatementTimeout ? 'silence' : classify(thrown).kind
    if (failure === 'silence') this.#suspect = true
    else if (failure === 'connection') {
      this.#reign = undefined
      this.#end(reign)
    }
  }

  #end(reign: Reign): void {
    if (!reign.pool.ending) void reign.pool.end().catch(() => {})
    for (const client of reign.clients) client.socket.destroy()
  }
}

function same(a: Leader, b: Leader): boolean {
  return formatHost(a.host) === formatHost(b.host) && a.system === b.system && a.timeline === b.timeline
}
