/** PostgreSQL connections with deadlines of their own: a frozen server still accepts TCP and never answers. */
import { Socket } from 'node:net'
import type { Client } from 'pg'
import { DevstackError, messageOf } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { now, pause, within } from './clock.ts'

export interface Credentials {
  readonly user: string
  readonly password: string
  readonly database: string
}

/** One connection that can be cut at once. */
export interface PostgresConnection {
  readonly member: string
  /**
   * The rows. Rejects after `ms`, without cancelling the statement: a cancelled wait for the synchronous standby would be
   * acknowledged (https://www.postgresql.org/docs/15/warm-standby.html#SYNCHRONOUS-REPLICATION). The connection is cut then.
   */
  query(text: string, values: readonly unknown[], ms: number): Promise<readonly Record<string, unknown>[]>
  /** Cuts it, without a goodbye that a frozen server would not hear. */
  cut(): void
}

export interface Member {
  readonly member: string
  readonly address: Address
}

/** Connects, within `ms`. */
export async function connectPostgres(
  { member, address }: Member,
  credentials: Credentials,
  ms: number,
): Promise<PostgresConnection> {
  const { default: pg } = await import('pg')
  const socket = new Socket()
  const client: Client = new pg.Client({
    ...credentials,
    ...address,
    stream: () => socket,
    application_name: 'devstack-ledger',
  })
  // what happens between two statements is told by the next one
  client.on('error', () => undefined)
  const cut = (): void => void socket.destroy()
  try {
    await within(ms, client.connect(), 'connect deadline', cut)
  } catch (thrown) {
    cut()
    throw thrown
  }
  return {
    member,
    cut,
    query: async (text, values, limit) => {
      const answer = client.query<Record<string, unknown>>({ text, values: [...values] })
      return (await within(limit, answer, 'statement deadline', cut)).rows
    },
  }
}

export interface PrimaryOptions {
  readonly credentials: Credentials
  /** Who is tried first. */
  readonly hint: string | undefined
  readonly connectMs: number
}

/** How long one member is waited for before the next is tried beside it. */
const patience = 150

/**
 * A connection to the member that takes writes, as libpq's `target_session_attrs=read-write` over several hosts finds it,
 * but without waiting for a silent one to time out first. Rejects when there is none.
 */
export async function connectPrimary(members: readonly Member[], options: PrimaryOptions): Promise<PostgresConnection> {
  const order = [...members].sort((a, b) => Number(b.member === options.hint) - Number(a.member === options.hint))
  let won: PostgresConnection | undefined
  const attempt = async (member: Member): Promise<PostgresConnection> => {
    const connection = await connectPostgres(member, options.credentials, options.connectMs)
    try {
      const [row] = await connection.query('SELECT pg_is_in_recovery() AS replica', [], options.connectMs)
      if (row?.['replica'] !== false) throw new Error('not the leader')
      if (won) throw new Error('another one was quicker')
      won = connection
      return connection
    } catch (thrown) {
      connection.cut()
      throw thrown
    }
  }
  const attempts: Promise<PostgresConnection>[] = []
  for (const member of order) {
    if (won) break
    const trying = attempt(member)
    attempts.push(trying)
    await within(patience, trying, 'patience').catch(() => undefined)
  }
  try {
    return await Promise.any(attempts)
  } catch (thrown) {
    const errors = (thrown as AggregateError).errors as Error[]
    // the most telling: a replica's refusal says only that it is one
    throw errors.find(({ message }) => message !== 'not the leader') ?? new Error('no member leads')
  }
}

/** How long a busy machine may take to serve what prepares a load and what clears up after it. */
const preparationMs = 20_000

/**
 * The same for what is not measured: tried again until `ms` have passed, by default 20 s. Throws LEDGER_NO_LEADER with the last refusal.
 */
export async function connectForSetUp(
  members: readonly Member[],
  credentials: Credentials,
  ms = preparationMs,
): Promise<PostgresConnection> {
  const deadline = now() + ms
  for (;;) {
    try {
      return await connectPrimary(members, { credentials, hint: undefined, connectMs: 5000 })
    } catch (thrown) {
      if (now() < deadline) await pause(250)
      else
        throw new DevstackError({
          kind: 'gate',
          code: 'LEDGER_NO_LEADER',
          message: `No member of PostgreSQL took a connection for writes within ${ms / 1000} s: ${messageOf(thrown)}.`,
          hint: 'See who leads, and whether all are well, with: devstack run status',
          cause: thrown,
        })
    }
  }
}
