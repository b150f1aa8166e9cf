/** Roles, which belong to the cluster and to no database. */
import { readFileSync } from 'node:fs'
import { type Server, withClient } from './cluster.ts'
import type { Working } from './options.ts'

export const globalsFile = 'globals.sql'

export const globalsCommand = ['pg_dumpall', '--username=postgres', '--no-password', '--globals-only'] as const

const statement = /^(?:(CREATE|ALTER) ROLE (?:"((?:[^"]|"")+)"|(\S+?))(?:;| )|GRANT )/

/**
 * The statements of a `pg_dumpall --globals-only` that make roles the cluster does not have, and memberships. Roles that
 * are there stay as they are: their passwords belong to this checkout.
 */
export function missingRoles(globals: string, present: ReadonlySet<string>): readonly string[] {
  return globals.split('\n').filter((line) => {
    const match = statement.exec(line)
    if (!match || !line.endsWith(';')) return false
    const role = match[2]?.replaceAll('""', '"') ?? match[3]
    return role === undefined || !present.has(role)
  })
}

/** Makes the roles of a backup that are missing. Gives how many statements that took. */
export async function restoreGlobals(server: Server, working: Working, file: string): Promise<number> {
  return withClient(server, { database: 'postgres', signal: working.signal }, async (client) => {
    const { rows } = await client.query<{ name: string }>('SELECT rolname AS name FROM pg_roles')
    const statements = missingRoles(readFileSync(file, 'utf8'), new Set(rows.map(({ name }) => name)))
    await client.query('BEGIN')
    // a role's password must not stand in the server's log
    await client.query("SET LOCAL log_statement TO 'none'; SET LOCAL log_min_error_statement TO 'panic'")
    for (const text of statements) await client.query(text)
    await client.query('COMMIT')
    return statements.length
  })
}
