/** Clients of PostgreSQL: several connections, each writing unique ids and reconnecting to whichever member leads. */
import { join } from 'node:path'
import { DevstackError, endpoint } from '../../lib/index.ts'
import { postgresPort } from '../stack/patroni.ts'
import { pause } from './clock.ts'
import { Lanes, type ProbeWrite } from './lanes.ts'
import { LedgerClients } from './ledger-clients.ts'
import type { Load, LoadContext, RunningLoad } from './load.ts'
import {
  type Credentials,
  connectForSetUp,
  connectPostgres,
  connectPrimary,
  type Member,
  type PostgresConnection,
  type PrimaryOptions,
} from './postgres-client.ts'
import { comparePostgres } from './postgres-ledger.ts'
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
/** How long a client waits for another one's search before it looks for itself, milliseconds. */
const patience = 300

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
  readonly #options: PostgresLoadOptions
  readonly #clients: LedgerClients
  readonly #run: string
  #members: readonly Member[]
  readonly #credentials: Credentials
  readonly #lanes = new Lanes()
  readonly #probes: ProbeWrite[] = []
  readonly #watch: PostgresWatch
  #leader: string | undefined
  #search: Promise<unknown> | undefined

  constructor(name: string, durable: boolean, options: PostgresLoadOptions, context: LoadContext) {
    this.name = name
    this.durable = durable
    this.bound = options.bound ?? false
    this.#options = options
    this.#run = `${context.run}/${name}`
    const { members, credentials } = postgresPlace(context)
    this.#members = members
    this.#credentials = credentials
    this.#clients = new LedgerClients(join(context.folder, `${name}.ledger`))
    this.#watch = new PostgresWatch({
      members,
      credentials,
      lanes: this.#lanes,
      probes: this.#probes,
      insert: `INSERT INTO ${table} (run, id) VALUES ($1, $2)`,
      run: `${this.#run}#probe`,
    })
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

  async begin(): Promise<void> {
    const connection = await this.#led(connectForSetUp(this.#members, this.#credentials))
    try {
      const columns = 'run text NOT NULL, id bigint NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp()'
      await connection.query(`CREATE TABLE IF NOT EXISTS ${table} (${columns}, PRIMARY KEY (run, id))`, [], 10_000)
    } finally {
      connection.cut()
    }
    // from here on it knows this member alone
    if (this.bound) this.#members = this.#members.filter(({ member }) => member === this.#leader)
    const { connections = 4, everyMs = 20, statementMs = 2000 } = this.#options
    this.#clients.start(
      {
        connections,
        everyMs,
        connect: () => this.#connect(),
        write: (connection, id) =>
          connection.query(`INSERT INTO ${table} (run, id) VALUES ($1, $2)`, [this.#run, id], statementMs),
      },
      // the roles are the same for all loads; one samples them
      this.bound ? undefined : (signal) => this.#watch.run(signal),
    )
  }

  /** One client looks for the leader while there is none, the others wait and follow it: looking costs every server. */
  async #connect(): Promise<PostgresConnection> {
    const [only] = this.#members
    if (this.#members.length === 1) return this.#led(connectPostgres(only!, this.#credentials, connectMs))
    const search = this.#search
    // one that is held up by a silent member must not hold up everybody
    if (search && (await Promise.race([search.then(() => true), pause(patience).then(() => false)]))) {
      const found = this.#members.filter(({ member }) => member === this.#leader)
      return this.#led(connectPrimary(found, this.#primary()))
    }
    const own = this.#led(connectPrimary(this.#members, this.#primary()))
    this.#search = own
    return own.finally(() => {
      if (this.#search === own) this.#search = undefined
    })
  }

  #primary(): PrimaryOptions {
    return { credentials: this.#credentials, hint: this.#leader, connectMs }
  }

  async #led(connecting: Promise<PostgresConnection>): Promise<PostgresConnection> {
    const connection = await connecting
    this.#leader = connection.member
    return connection
  }

  stop(): Promise<void> {
    return this.#clients.stop()
  }

  compare(signal: AbortSignal) {
    return comparePostgres(this.#clients, {
      members: this.#watch.members,
      credentials: this.#credentials,
      text: `SELECT id::int AS id FROM ${table} WHERE run = $1`,
      values: [this.#run],
      signal,
    })
  }

  async clear(): Promise<void> {
    const connection = await connectForSetUp(this.#watch.members, this.#credentials)
    try {
      await connection.query(`DELETE FROM ${table} WHERE run IN ($1, $2)`, [this.#run, `${this.#run}#probe`], 20_000)
    } finally {
      connection.cut()
    }
  }
}
