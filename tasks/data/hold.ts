/** Keeps clients from writing into databases that are about to be replaced. */
import { DevstackError, messageOf } from '../../lib/index.ts'
import { type Cluster, withClient } from './cluster.ts'
import type { Working } from './options.ts'

/** What is locked: the sessions that hold the locks, by their process ids on the server. */
export interface Hold {
  readonly sessions: readonly number[]
  /** Throws RESTORE_OVERTAKEN when a database could be written to after all. */
  check(): Promise<void>
}

/** Tables that this session has not locked; one by one they hold all that a backup holds, apart from sequences. */
const unlocked = `SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
   AND (n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' OR c.oid = 'pg_largeobject'::regclass)
   AND NOT EXISTS (SELECT FROM pg_locks l
                    WHERE l.pid = pg_backend_pid() AND l.relation = c.oid AND l.mode = 'ShareLock' AND l.granted)
 ORDER BY 1`

/** Ends the sessions that keep a table for themselves or for their changes. */
const endWriters = `SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid IN (
   SELECT pid FROM pg_locks WHERE locktype = 'relation' AND granted AND mode ~ '^(Row|Share.+|Access)?Exclusive')`

/**
 * Locks all tables of these databases for the time of `use`: reading goes on, writing waits. Sessions that keep a table for
 * more than two seconds are ended. The locks go with the connections that hold them, also after a kill.
 */
export async function holdWrites<T>(
  cluster: Cluster,
  working: Working,
  names: readonly string[],
  use: (hold: Hold) => Promise<T>,
): Promise<T> {
  const [database, ...others] = names
  if (database === undefined) return use({ sessions: [], check: async () => {} })
  return withClient(cluster, { database, signal: working.signal }, async (client) => {
    await client.query("SET idle_in_transaction_session_timeout TO 0; SET lock_timeout TO '2s'")
    for (let tried = 0; ; tried += 1) {
      try {
        await client.query('BEGIN')
        const { rows } = await client.query<{ name: string }>(unlocked)
        await client.query(`LOCK TABLE ${rows.map(({ name }) => name).join(', ')} IN SHARE MODE`)
        break
      } catch (thrown) {
        await client.query('ROLLBACK')
        // 55P03: kept by somebody else; 40P01: a deadlock; 42P01: dropped just now
        const { code = '' } = thrown as { readonly code?: string }
        if (!/^(55P03|40P01|42P01)$/.test(code)) throw thrown
        if (tried > 5)
          throw overtaken(`${database} can not be kept from being written to: ${messageOf(thrown)}`, thrown)
        if (code === '42P01') continue
        const { rowCount } = await client.query(endWriters)
        working.log(`${database}: ${rowCount} sessions that would not let go of its tables are ended`)
      }
    }
    const check = async (): Promise<void> => {
      const { rows } = await client.query<{ name: string }>(unlocked).catch((thrown: unknown) => {
        working.signal.throwIfAborted()
        throw overtaken(`${database} could be written to meanwhile: ${messageOf(thrown)}`, thrown)
      })
      if (rows.length > 0)
        throw overtaken(`${database} got new tables meanwhile: ${rows.map(({ name }) => name).join(', ')}`)
    }
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
    return holdWrites(cluster, working, others, (rest) =>
      use({
        sessions: [rows[0]!.pid, ...rest.sessions],
        check: async () => {
          await check()
          await rest.check()
        },
      }),
    )
  })
}

function overtaken(message: string, cause?: unknown): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'RESTORE_OVERTAKEN',
    message: `${message}.`,
    hint: 'It is as it was, with what was written: run the command again.',
    cause,
  })
}
