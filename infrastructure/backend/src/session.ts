import { Socket } from 'node:net'
import pg from 'pg'
import { classify, StatementTimeout, UnconfirmedCommit } from './retry.ts'
import { commentSql } from './trace.ts'

/** What a piece of work may do on the leader. Each statement has its own deadline. */
export interface Session {
  /** From 1; over 1 an earlier attempt may have been committed without our knowing. */
  readonly attempt: number
  /** Rows of one statement with `$1` parameters. */
  query<Row>(sql: string, values?: readonly unknown[]): Promise<readonly Row[]>
  /** Commits when `work` resolves, else rolls back. Not to be nested. */
  transaction<T>(work: () => Promise<T>): Promise<T>
}

/** A client that owns its socket, so that a frozen peer's can be destroyed and not waited for. */
export class Client extends pg.Client {
  readonly socket: Socket
  constructor(config: pg.ClientConfig) {
    const socket = new Socket()
    super({ ...config, stream: () => socket })
    this.socket = socket
  }
}

/** How a client is used. */
export interface Use {
  readonly attempt: number
  readonly signal: AbortSignal
  readonly tags: Readonly<Record<string, string | undefined>>
  /** A statement without an answer for this long rejects with StatementTimeout. */
  readonly statementTimeoutMs: number
}

/**
 * Runs work on a client that was checked out, and gives it back; destroyed when its connection is in doubt. A commit
 * that the server confirms without its synchronous standby rejects with UnconfirmedCommit.
 */
export async function useClient<T>(
  client: pg.PoolClient & Client,
  work: (session: Session) => Promise<T>,
  use: Use,
): Promise<T> {
  let unconfirmed = false
  let broken: Error | undefined
  const onNotice = (notice: { readonly routine?: string }) => {
    if (notice.routine === 'SyncRepWaitForLSN') unconfirmed = true
  }
  const onError = (thrown: Error) => {
    broken = thrown
  }
  client.on('notice', onNotice)
  client.on('error', onError)
  const query = async <Row>(sql: string, values: readonly unknown[] = []): Promise<readonly Row[]> => {
    const text = commentSql(sql, use.tags)
    const { rows } = await within(client, use, () => client.query({ text, values: [...values] }))
    if (unconfirmed) throw new UnconfirmedCommit('committed without its synchronous standby')
    return rows as Row[]
  }
  const session: Session = {
    attempt: use.attempt,
    query,
    async transaction(inner) {
      await query('BEGIN')
      try {
        const value = await inner()
        await query('COMMIT')
        return value
      } catch (thrown) {
        if (classify(thrown).kind !== 'connection' && broken === undefined) await query('ROLLBACK').catch(onError)
        throw thrown
      }
    },
  }
  const giveBack = (destroy: boolean) => {
    client.off('notice', onNotice)
    // A destroyed connection may still report its end.
    if (!destroy) client.off('error', onError)
    client.release(destroy)
  }
  try {
    const value = await work(session)
    giveBack(broken !== undefined)
    return value
  } catch (thrown) {
    giveBack(broken !== undefined || classify(thrown).kind === 'connection' || use.signal.aborted)
    throw thrown
  }
}

/** Runs a statement; without an answer in time its connection is destroyed, as nothing else would end the wait. */
async function within<T>(client: Client, use: Use, statement: () => Promise<T>): Promise<T> {
  let late = false
  const cut = () => client.socket.destroy()
  const timer = setTimeout(() => {
    late = true
    cut()
  }, use.statementTimeoutMs)
  use.signal.addEventListener('abort', cut, { once: true })
  try {
    use.signal.throwIfAborted()
    return await statement()
  } catch (thrown) {
    use.signal.throwIfAborted()
    if (late) throw new StatementTimeout(`no answer within ${use.statementTimeoutMs} ms`, { cause: thrown })
    throw thrown
  } finally {
    clearTimeout(timer)
    use.signal.removeEventListener('abort', cut)
  }
}

/** Settles as `promise`, or rejects with the signal's reason if that comes first. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  promise.catch(() => {})
  aborted.catch(() => {})
  return Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
}
