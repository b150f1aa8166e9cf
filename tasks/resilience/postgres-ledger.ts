/** What the members of a PostgreSQL cluster hold of a ledger. */
import type { LedgerVerdict } from './acknowledged.ts'
import type { LedgerClients } from './ledger-clients.ts'
import { type Credentials, connectPostgres, type Member } from './postgres-client.ts'

export interface PostgresLedgerOptions {
  readonly members: readonly Member[]
  readonly credentials: Credentials
  /** Gives a row for each write of this run, its `id` a number or text that begins with it. */
  readonly text: string
  readonly values: readonly unknown[]
  readonly signal: AbortSignal
}

/** Compares the ledger with every member, leader or not; one that does not answer is told as such. */
export function comparePostgres(
  clients: Pick<LedgerClients, 'compare'>,
  { members, credentials, text, values, signal }: PostgresLedgerOptions,
): Promise<LedgerVerdict> {
  const byName = new Map(members.map((member) => [member.member, member]))
  const held = async (name: string): Promise<ReadonlySet<number>> => {
    const connection = await connectPostgres(byName.get(name)!, credentials, 3000)
    try {
      const rows = await connection.query(text, [...values], 20_000)
      return new Set(rows.map((row) => Number.parseInt(String(row['id']), 10)))
    } finally {
      connection.cut()
    }
  }
  return clients.compare([...byName.keys()], { held, signal })
}
