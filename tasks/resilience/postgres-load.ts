/** Clients of PostgreSQL: several connections, each writing unique ids and reconnecting to whichever member leads. */
import { join } from 'node:path'
import { DevstackError, endpoint, messageOf } from '../../lib/index.ts'
import { postgresPort } from '../stack/patroni.ts'
import { AcknowledgedWrites, compareLedger, type Holding } from './acknowledged.ts'
import { now, pause, until } from './clock.ts'
import { Lanes, type ProbeWrite } from './lanes.ts'
import { type ClientError, errorKind, type Load, type LoadContext, type RunningLoad } from './load.ts'
import {
  type Credentials,
  connectPostgres,
  connectPrimary,
  type Member,
  type PostgresConnection,
} from './postgres-client.ts'
import { PostgresWatch } from './postgres-watch.ts'

export interface PostgresLoadOptions {
  /** Clients that write at the same time; default 4. */
  readonly connections?: number
  /** Pause of each client between two writes; default 20 ms. */
  readonly everyMs?: number
  /** After how long a client gives a statement up; default 2 s. */
  readonly statementMs?: number
  /** Stays with the member that leads at the start, whatever becomes of it: a client that is cut off together with it. */
  readonly bound?: boolean
  /** Name of the load; default `postgresql`. */
  readonly name?: string
  /** Default true. */
  readonly durable?: boolean
}

const table = 'devstack_ledger'
const connectMs = 1000

/** A load on PostgreSQL. Its acknowledged writes must all be there afterwards, on every member. */
export function postgresLoad(options: PostgresLoadOptions = {}): Load {
  const name = options.name ?? 'postgresql'
  const durable = options.durable ?? true
  return {
    name,
    durable,
    bound: options.bound ?? false,
    start: async (context) => {
      const load = new PostgresLoad(name, durable, options, context)
      await load.begin()
      return load
    },
  }
}

/** The members of the cluster and how the application logs in. */
export function postgresPlace(context: Pick<LoadContext, 'services' | 'reach' | 'environment'>): {
  readonly members: readonly Member[]
  readonly credentials: Credentials
} {
  const members = context.services
    .filter(({ service }) => /^postgres\d+$/.test(service))
    .map((handle) => ({
      member: handle.service,
      // as an application outside the stack reaches it
      address: endpoint(handle, postgresPort, { ...context.reach, prefer: 'published' }),
    }))
  const password = context.environment['APP_PASSWORD']
  if (members.length === 0 || !password) {
    throw new DevstackError({
      kind: 'usage',
      code: 'LEDGER_NO_POSTGRESQL',
      message: members.length === 0 ? 'There is no PostgreSQL to write to.' : 'APP_PASSWORD is not set.',
      hint: 'Start the whole stack with: devstack run up',
    })
  }
  return { members, credentials: { user: 'app', database: 'app', password } }
}

class PostgresLoad implements RunningLoad {
  readonly name: string
  readonly durable: boolean
  readonly bound: boolean
  readonly ledger: AcknowledgedWrites
  readonly errors: ClientError[] = []
  readonly #options: PostgresLoadOptions
  readonly #run: string
  #members: readonly Member[]
  readonly #credentials: Credentials
  readonly #stop = new AbortController()
  readonly #lanes = new Lanes()
  readonly #probes: ProbeWrite[] = []
  readonly #watch: PostgresWatch
  #clients: Promise<unknown> = Promise.resolve()
  #next = 0
  #leader: string | undefined

  constructor(name: string, durable: boolean, options: PostgresLoadOptions, context: LoadContext) {
    this.name = name
    this.durable = durable
    this.bound = options.bound ?? false
    this.#options = options
    this.#run = `${context.run}/${name}`
    const { members, credentials } = postgresPlace(context)
    this.#members = members
    this.#credentials = credentials
    this.ledger = new AcknowledgedWrites(join(context.folder, `${name}.ledger`))
    this.#watch = new PostgresWatch({
      members,
      credentials,
      lanes: this.#lanes,
      probes: this.#probes,
      insert: `INSERT INTO ${table} (run, id) VALUES ($1, $2)`,
      run: `${this.#run}#probe`,
    })
  }

  get lanes() {
    return this.#lanes.all()
  }

  writable() {
    return this.#watch.writable()
  }

  async begin(): Promise<void> {
    const connection = await this.#connect()
    try {
      const columns = 'run text NOT NULL, id bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()'
      await connection.query(`CREATE TABLE IF NOT EXISTS ${table} (${columns}, PRIMARY KEY (run, id))`, [], 10_000)
    } finally {
      connection.cut()
    }
    // from here on it knows this member alone
    if (this.bound) this.#members = this.#members.filter(({ member }) => member === this.#leader)
    const { signal } = this.#stop
    const clients = Array.from({ length: this.#options.connections ?? 4 }, () => this.#client(signal))
    // the roles are the same for all loads; one samples them
    this.#clients = Promise.all(this.bound ? clients : [...clients, this.#watch.run(signal)])
  }

  async #client(signal: AbortSignal): Promise<void> {
    const limit = this.#options.statementMs ?? 2000
    let connection: PostgresConnection | undefined
    while (!signal.aborted) {
      try {
        connection ??= await this.#connect()
        this.#next += 1
        const id = this.#next
        const sent = now()
        await connection.query(`INSERT INTO ${table} (run, id) VALUES ($1, $2)`, [this.#run, id], limit)
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

  async #connect(): Promise<PostgresConnection> {
    const [only] = this.#members
    const connection =
      this.#members.length === 1
        ? await connectPostgres(only!, this.#credentials, connectMs)
        : await connectPrimary(this.#members, { credentials: this.#credentials, hint: this.#leader, connectMs })
    this.#leader = connection.member
    return connection
  }

  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#clients
    this.ledger.close()
  }

  async compare(signal: AbortSignal) {
    const { members } = this.#watch
    const holdings: Record<string, Holding> = {}
    const ids = this.ledger.all.map(({ id }) => id)
    const complete = async (): Promise<boolean> => {
      await Promise.all(members.map(async (member) => (holdings[member.member] = await this.#held(member))))
      return compareLedger(ids, holdings).members.every(({ error, missing }) => !error && missing.length === 0)
    }
    // a replica applies what it has received a moment later
    await until(complete, { ms: 15_000, signal, every: 500 })
    return compareLedger(ids, holdings)
  }

  async #held(member: Member): Promise<Holding> {
    let connection: PostgresConnection | undefined
    try {
      connection = await connectPostgres(member, this.#credentials, 3000)
      const rows = await connection.query(`SELECT id::int AS id FROM ${table} WHERE run = $1`, [this.#run], 20_000)
      return { ids: new Set(rows.map((row) => Number(row['id']))) }
    } catch (thrown) {
      return { error: messageOf(thrown) }
    } finally {
      connection?.cut()
    }
  }

  async clear(): Promise<void> {
    const options = { credentials: this.#credentials, hint: this.#leader, connectMs }
    const connection = await connectPrimary(this.#watch.members, options)
    try {
      await connection.query(`DELETE FROM ${table} WHERE run IN ($1, $2)`, [this.#run, `${this.#run}#probe`], 20_000)
    } finally {
      connection.cut()
    }
  }
}
