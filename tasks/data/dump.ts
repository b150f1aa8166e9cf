/** pg_dump and pg_restore in the server's own container, their data streamed through this process. */
import { Readable } from 'node:stream'
import { DevstackError, type ServiceHandle } from '../../lib/index.ts'
import { identifier, literal, type Server, withClient } from './cluster.ts'
import { FileSink, reading } from './files.ts'
import type { DatabaseManifest, FileManifest } from './manifest.ts'
import type { Working } from './options.ts'

export interface CommandToFile {
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly file: string
  /** For progress. */
  readonly label: string
}

/** What a command in a container prints, as a file. Throws DUMP_FAILED with what it said. */
export async function toFile(working: Working, handle: ServiceHandle, options: CommandToFile): Promise<FileManifest> {
  const { runtime, signal, progress } = working
  const sink = new FileSink(options.file)
  let broken: unknown
  const said: Uint8Array[] = []
  try {
    const { exitCode } = await runtime.exec(handle.id, {
      command: options.command,
      ...(options.environment ? { environment: options.environment } : {}),
      signal,
      onOutput: (chunk, stream) => {
        if (stream === 'stderr') {
          if (said.length < 100) said.push(chunk)
          return
        }
        try {
          sink.write(chunk)
        } catch (thrown) {
          broken = thrown
          throw thrown
        }
        progress({ done: sink.bytes, unit: 'bytes', label: options.label })
      },
    })
    if (exitCode !== 0) throw commandFailed('DUMP_FAILED', { handle, command: options.command, exitCode, said })
    return sink.finish()
  } catch (thrown) {
    sink.abandon()
    throw broken ?? thrown
  }
}

export interface FileToCommand {
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly file: string
  readonly bytes: number
  readonly label: string
}

/** A file as the input of a command in a container. Throws RESTORE_FAILED with what it said. */
export async function fromFile(working: Working, handle: ServiceHandle, options: FileToCommand): Promise<void> {
  const { runtime, signal, progress } = working
  const { command, environment, file, bytes, label } = options
  const stdin = Readable.from(reading(file, { signal, progress, label, total: bytes }), { objectMode: false })
  try {
    const { exitCode, stderr, stdout } = await runtime.exec(handle.id, {
      command,
      ...(environment ? { environment } : {}),
      stdin,
      signal,
    })
    if (exitCode === 0) return
    const said = [Buffer.from(stdout), Buffer.from(stderr)]
    throw commandFailed('RESTORE_FAILED', { handle, command, exitCode, said })
  } finally {
    stdin.destroy()
  }
}

interface Failed {
  readonly handle: ServiceHandle
  readonly command: readonly string[]
  readonly exitCode: number
  readonly said: readonly Uint8Array[]
}

function commandFailed(code: string, { handle, command, exitCode, said }: Failed): DevstackError {
  return new DevstackError({
    kind: 'task',
    code,
    message: `${command[0]} in ${handle.service} ended with exit code ${exitCode}.`,
    details: Buffer.concat(said).toString('utf8').trim().split('\n').slice(-20),
    hint: 'Nothing was changed. Run the command again once what is named is mended.',
  })
}

/** Rows whose checksums are compared stay as they are: the dump is of one snapshot that others see as well. */
export function dumpCommand(database: string, snapshot: string): readonly string[] {
  return [
    'pg_dump',
    '--username=postgres',
    '--no-password',
    `--dbname=${connectionText(database)}`,
    '--format=custom',
    // half the time of the default level for a tenth more bytes
    '--compress=1',
    `--snapshot=${snapshot}`,
  ]
}

/** libpq reads a name with `=` or `//` in it as settings: so it is given as one. */
export function connectionText(database: string): string {
  return `dbname='${database.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}

/** Name, owner, encoding and what else belongs to the database itself, which no dump of its contents carries. */
export async function describeDatabases(
  server: Server,
  working: Working,
): Promise<readonly Omit<DatabaseManifest, 'file' | 'tables'>[]> {
  return withClient(server, { database: 'postgres', signal: working.signal }, async (client) => {
    const { rows } = await client.query<Omit<DatabaseManifest, 'file' | 'tables' | 'size'> & { size: string }>(`
      SELECT d.datname AS name, r.rolname AS owner, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate,
             d.datctype AS ctype, pg_database_size(d.oid) AS size,
             coalesce((SELECT to_json(s.setconfig) FROM pg_db_role_setting s
                        WHERE s.setdatabase = d.oid AND s.setrole = 0), '[]') AS settings,
             coalesce((SELECT json_agg(json_build_object('privilege', a.privilege_type, 'grantable', a.is_grantable,
                              'grantee', coalesce(g.rolname, 'public')))
                         FROM aclexplode(d.datacl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
                        WHERE a.grantee <> d.datdba), '[]') AS privileges
        FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
       WHERE d.datallowconn AND NOT d.datistemplate AND d.datname <> 'postgres' AND d.datname NOT LIKE 'devstack\\_%'
       ORDER BY d.datname`)
    return rows.map((row) => ({ ...row, size: Number(row.size) }))
  })
}

/** Makes an empty database like the one described, under another name. */
export async function createDatabase(
  server: Server,
  working: Working,
  description: DatabaseManifest,
  name: string,
): Promise<void> {
  const { owner, encoding, collate, ctype, settings, privileges } = description
  await withClient(server, { database: 'postgres', signal: working.signal }, async (client) => {
    const database = identifier(name)
    await client.query(`CREATE DATABASE ${database} OWNER ${identifier(owner)} TEMPLATE template0
      ENCODING ${literal(encoding)} LC_COLLATE ${literal(collate)} LC_CTYPE ${literal(ctype)}`)
    for (const setting of settings) {
      const at = setting.indexOf('=')
      const [key, value] = [setting.slice(0, at), setting.slice(at + 1)]
      await client.query(
        `ALTER DATABASE ${database} SET ${key.split('.').map(identifier).join('.')} TO ${literal(value)}`,
      )
    }
    for (const { grantee, privilege, grantable } of privileges) {
      const to = grantee === 'public' ? 'PUBLIC' : identifier(grantee)
      await client.query(`GRANT ${privilege} ON DATABASE ${database} TO ${to}${grantable ? ' WITH GRANT OPTION' : ''}`)
    }
  })
}

/**
 * While an empty database is filled no commit waits for a standby, and an index of some ten million rows is sorted in memory:
 * https://www.postgresql.org/docs/15/populate.html
 */
const whileFilling = { PGOPTIONS: '-c synchronous_commit=off -c maintenance_work_mem=256MB' }

/** Fills an empty database from a dump; stops at the first error. Then it is as safe as any committed transaction. */
export async function restoreDump(
  server: Server,
  working: Working,
  options: { readonly database: string; readonly file: string; readonly bytes: number; readonly label: string },
): Promise<void> {
  const { database, file, bytes, label } = options
  const command = [
    'pg_restore',
    '--username=postgres',
    '--no-password',
    `--dbname=${connectionText(database)}`,
    '--exit-on-error',
  ]
  await fromFile(working, server.handle, { command, environment: whileFilling, file, bytes, label })
  await withClient(server, { database, signal: working.signal }, async (client) => {
    // a commit that has written something waits for all that was written before it
    await client.query("SELECT pg_catalog.pg_logical_emit_message(true, 'devstack', 'restored')")
  })
}
