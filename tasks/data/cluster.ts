/** The running databases: who leads, and connections to it. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from 'pg'
import { DevstackError, endpoint, messageOf, reachOf, type ServiceHandle } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { checkoutEnvironment } from '../stack/environment.ts'
import { notUp, projectContainers, runningHandles, serviceOf } from '../stack/handles.ts'
import { postgresLeader, postgresPort } from '../stack/patroni.ts'
import { redisMaster } from '../stack/redis.ts'
import type { DataSettings, Working } from './options.ts'

/** How long a leader is waited for, in milliseconds: longer than a failover takes. */
const leaderPatience = 60_000

/** A PostgreSQL server that can be written to. */
export interface Server {
  /** Its container. */
  readonly handle: ServiceHandle
  readonly address: Address
  /** Of the superuser `postgres`. */
  readonly password: string
}

/** The cluster of the stack: its leader and who follows it. */
export interface Cluster extends Server {
  /** Services that must have replayed what the leader wrote. */
  readonly replicas: readonly ServiceHandle[]
}

export interface LoginOptions {
  readonly database: string
  /** Default the superuser. */
  readonly user?: string
  readonly password?: string
  readonly signal: AbortSignal
  /** Milliseconds that one statement may take; default: as long as it likes. */
  readonly statementTimeout?: number
}

/** Passwords and ports of this checkout. */
export async function variablesOf(settings: DataSettings): Promise<Readonly<Record<string, string>>> {
  const { directory, environment, project } = settings
  return (await checkoutEnvironment(directory, environment, project)).variables
}

/** Waits for the leader and proves it by asking whether it takes writes. Throws POSTGRES_NO_LEADER after a minute. */
export async function findCluster(settings: DataSettings, working: Working): Promise<Cluster> {
  const { signal } = working
  const until = performance.now() + leaderPatience
  const password = (await variablesOf(settings))['POSTGRES_PASSWORD'] ?? ''
  for (let asked = 0; ; asked += 1) {
    let said: string
    try {
      const cluster = await lookAtCluster(working, password)
      await withClient(cluster, { database: 'postgres', signal }, async (client) => {
        const { rows } = await client.query<{ follows: boolean }>('SELECT pg_is_in_recovery() AS follows')
        if (rows[0]?.follows !== false) throw new Error(`${cluster.handle.service} does not take writes yet`)
      })
      return cluster
    } catch (thrown) {
      signal.throwIfAborted()
      if (thrown instanceof DevstackError && thrown.code === 'STACK_NOT_UP') throw thrown
      said = messageOf(thrown)
    }
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'POSTGRES_NO_LEADER',
        message: `No PostgreSQL leader took writes within ${leaderPatience / 1000} s: ${said}.`,
        hint: 'See why with: devstack run health',
      })
    }
    if (asked === 10) working.log('waiting for a PostgreSQL leader')
    await delay(200, undefined, { signal })
  }
}

async function lookAtCluster(working: Working, password: string): Promise<Cluster> {
  const { runtime, signal } = working
  const handles = await runningHandles(working)
  if (handles.length === 0) throw notUp()
  const reach = await reachOf(runtime, signal)
  const single = handles.find(({ service }) => service === 'postgres')
  if (single) return { handle: single, address: endpoint(single, postgresPort, reach), password, replicas: [] }
  const members = handles.filter(({ service }) => /^postgres\d+$/.test(service))
  if (members.length === 0) throw notUp()
  const { handle, address } = await postgresLeader(members, { signal, reach })
  return { handle, address, password, replicas: members.filter((member) => member !== handle) }
}

/** The Redis that takes writes, with its password. Rejects when there is none. */
export async function findRedis(
  settings: DataSettings,
  working: Working,
): Promise<{ readonly handle: ServiceHandle; readonly address: Address; readonly password: string }> {
  const { runtime, signal } = working
  const nodes = (await runningHandles(working)).filter(({ service }) => /^redis\d*$/.test(service))
  if (nodes.length === 0) throw notUp()
  const password = (await variablesOf(settings))['REDIS_PASSWORD'] ?? ''
  const reach = await reachOf(runtime, signal)
  const until = performance.now() + leaderPatience
  for (;;) {
    try {
      const { handle, address } = await redisMaster(nodes, { password, signal, reach })
      return { handle, address, password }
    } catch (thrown) {
      signal.throwIfAborted()
      if (performance.now() > until) {
        throw new DevstackError({
          kind: 'gate',
          code: 'REDIS_NO_MASTER',
          message: `No Redis master answered within ${leaderPatience / 1000} s: ${messageOf(thrown)}.`,
          hint: 'See why with: devstack run health',
          cause: thrown,
        })
      }
      await delay(200, undefined, { signal })
    }
  }
}

/** Whether PostgreSQL containers of the project run. */
export async function postgresRuns(working: Working): Promise<boolean> {
  const containers = await projectContainers(working)
  return containers.some((one) => one.state === 'running' && /^postgres\d*$/.test(serviceOf(one)))
}

/** A connection for the time of `use`; cut when the signal aborts. */
export async function withClient<T>(
  server: Server,
  options: LoginOptions,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const { signal } = options
  signal.throwIfAborted()
  const { default: pg } = await import('pg')
  const client = new pg.Client({
    host: server.address.host,
    port: server.address.port,
    database: options.database,
    user: options.user ?? 'postgres',
    password: options.password ?? server.password,
    application_name: 'devstack',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    ...(options.statementTimeout === undefined ? {} : { statement_timeout: options.statementTimeout }),
  })
  // a connection that breaks between two statements says so by the next one
  client.on('error', () => undefined)
  const cut = (): void => {
    void client.end().catch(() => undefined)
    streamOf(client)?.destroy()
  }
  signal.addEventListener('abort', cut, { once: true })
  try {
    await client.connect()
    return await use(client)
  } catch (thrown) {
    signal.throwIfAborted()
    throw thrown
  } finally {
    signal.removeEventListener('abort', cut)
    await client.end().catch(() => undefined)
  }
}

function streamOf(client: Client): { destroy(): void } | undefined {
  return (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream
}

/** Returns once every replica has replayed what the leader has written so far. Throws REPLICAS_BEHIND after half a minute. */
export async function replicasCaughtUp(cluster: Cluster, working: Working): Promise<{ readonly lsn: string }> {
  const { signal } = working
  return withClient(cluster, { database: 'postgres', signal }, async (client) => {
    const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_flush_lsn()::text AS lsn')
    const lsn = rows[0]!.lsn
    const until = performance.now() + 30_000
    for (;;) {
      const { rows: replicas } = await client.query<{ name: string; done: boolean }>(
        'SELECT application_name AS name, coalesce(replay_lsn >= $1::pg_lsn, false) AS done FROM pg_stat_replication',
        [lsn],
      )
      const late = cluster.replicas.filter(
        ({ service }) => !replicas.some(({ name, done }) => done && name === service),
      )
      if (late.length === 0) return { lsn }
      if (performance.now() > until) {
        throw new DevstackError({
          kind: 'timeout',
          code: 'REPLICAS_BEHIND',
          message: `${late.map(({ service }) => service).join(', ')} did not replay ${lsn} within 30 s.`,
          hint: `See why with: devstack run logs ${late[0]!.service}`,
        })
      }
      await delay(50, undefined, { signal })
    }
  })
}

/** An SQL identifier in quotes. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** An SQL text literal. */
export function literal(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted
}
