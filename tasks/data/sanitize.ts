/** `sanitize`: a backup without persons. Everything happens in a throwaway server; the source is only read. */
import { randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { hostname, userInfo } from 'node:os'
import { join } from 'node:path'
import type { Client } from 'pg'
import { DevstackError, messageOf, type Task, task, z } from '../../lib/index.ts'
import { dumpPostgres, fillDraft, ownVersion } from './backup.ts'
import { findCluster, identifier, type Server, withClient } from './cluster.ts'
import { describeDatabases } from './dump.ts'
import { writeWhole } from './files.ts'
import { globalsFile, restoreGlobals } from './globals.ts'
import type { DataSettings, Working } from './options.ts'
import { type Column, checkRules, hashRules, looksPersonal, ruleOf, rulesOf, type SanitizeRules } from './rules.ts'
import { type ForeignKey, orphanStatement, sampleStatement, updateStatement } from './sanitize-sql.ts'
import { withScratchPostgres } from './scratch.ts'
import { discard, findBackup, openDraft, publish, type Shelved } from './shelf.ts'
import { checkIntegrity, imageFor, restoreInto } from './verify.ts'

const value = z.object({ id: z.string(), folder: z.string(), source: z.string() })
type Sanitized = z.infer<typeof value>

const auditFile = 'audit.json'

/** The task. */
export function sanitizeTask(settings: DataSettings): Task<Sanitized> {
  return task({
    description: 'Make a backup without personal data, by the rules of the config',
    effect: 'create',
    locks: ['postgres'],
    params: z.object({
      id: z
        .string()
        .optional()
        .meta({ positional: true })
        .describe('of which backup, `latest` for the newest that was asked for; default what is there now'),
    }),
    returns: value,
    run: async (context): Promise<Sanitized> => {
      const { params } = context
      const rules = settings.sanitize
      if (!rules) {
        throw new DevstackError({
          kind: 'config',
          code: 'SANITIZE_NO_RULES',
          message: 'The config says nothing about what becomes of personal data.',
          hint: "Give dataPack rules: sanitize: { students: { columns: { name: 'fake:name', email: 'fake:email' } } }",
        })
      }
      const sanitize = async (source: Shelved): Promise<Sanitized> => {
        await checkIntegrity(context, source)
        const { id, folder } = await sanitizeBackup(settings, context, { source, rules })
        return { id, folder, source: source.id }
      }
      if (params.id !== undefined) return sanitize(findBackup(settings.backups, params.id))
      const cluster = await findCluster(settings, context)
      const { database } = settings
      const login = { database, signal: context.signal }
      if ((await describeDatabases(cluster, context)).some(({ name }) => name === database))
        await withClient(cluster, login, (client) => ruledColumns(client, rules))
      // full of personal data and needed only now: it never becomes a backup
      const draft = openDraft(settings.backups)
      try {
        const manifest = await fillDraft(settings, context, { cluster, draft, reason: 'for sanitize' })
        return await sanitize({ ...draft, manifest })
      } finally {
        discard(settings.backups, draft.folder)
      }
    },
    undo: ({ value: { folder } }) => discard(settings.backups, folder),
  })
}

/** Who did what by which rules. Values are in none of it. */
interface Audit {
  readonly at: string
  readonly who: string
  readonly source: string
  readonly result: string
  /** SHA-256 of the rules. */
  readonly rules: string
  readonly tables: readonly TableAudit[]
}
interface TableAudit {
  readonly table: string
  readonly rowsBefore: number
  readonly rowsAfter: number
  readonly columns: Readonly<Record<string, string>>
}

async function sanitizeBackup(
  settings: DataSettings,
  working: Working,
  { source, rules }: { readonly source: Shelved; readonly rules: SanitizeRules },
): Promise<Shelved> {
  const database = source.manifest.postgres.databases.find(({ name }) => name === settings.database)
  if (!database) {
    throw new DevstackError({
      kind: 'usage',
      code: 'SANITIZE_NO_DATABASE',
      message: `The backup ${source.id} has no database ${settings.database}.`,
      hint: 'Set `database` of dataPack in the config.',
    })
  }
  const image = await imageFor(working, source.manifest)
  const draft = openDraft(settings.backups)
  try {
    const { files, postgres, tables } = await withScratchPostgres(working, image, async (server) => {
      await restoreGlobals(server, working, join(source.folder, globalsFile))
      await emptyServer(server, working)
      await restoreInto(server, working, { backup: source, database, name: database.name })
      const changed = await applyRules(server, working, { database: database.name, rules })
      return { ...(await dumpPostgres(server, working, draft, { rolePasswords: false })), tables: changed }
    })
    const audit: Audit = {
      ...{ at: new Date().toISOString(), who: `${userInfo().username}@${hostname()}` },
      ...{ source: source.id, result: draft.id, rules: hashRules(rules), tables },
    }
    files[auditFile] = writeWhole(join(draft.folder, auditFile), `${JSON.stringify(audit, null, 2)}\n`)
    const backup = publish(settings.backups, draft, {
      ...{ format: 1, id: draft.id, project: working.project.name, createdAt: audit.at, reason: 'sanitized' },
      ...{ devstack: ownVersion(), postgres, files, sanitized: { source: source.id, rules: audit.rules } },
    })
    appendFileSync(join(settings.backups, 'audit.jsonl'), `${JSON.stringify(audit)}\n`, { mode: 0o600 })
    for (const { table, rowsBefore, rowsAfter, columns } of tables) {
      const rewritten = Object.entries(columns).filter(([, rule]) => rule !== 'keep')
      const rows = rowsAfter === rowsBefore ? `${rowsAfter} rows` : `${rowsAfter} of ${rowsBefore} rows`
      if (rewritten.length > 0 || rowsAfter !== rowsBefore)
        working.log(`${table}: ${rows}${rewritten.map(([name, rule]) => `, ${name} ${rule}`).join('')}`)
    }
    working.log(`sanitized backup ${backup.id} of ${source.id}`)
    return backup
  } catch (thrown) {
    discard(settings.backups, draft.folder)
    throw thrown
  }
}

/** A new cluster has an empty database of its own, where the restored one goes. */
async function emptyServer(server: Server, working: Working): Promise<void> {
  await withClient(server, { database: 'postgres', signal: working.signal }, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      "SELECT datname AS name FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'",
    )
    for (const { name } of rows) await client.query(`DROP DATABASE ${identifier(name)} WITH (FORCE)`)
  })
}

async function applyRules(
  server: Server,
  working: Working,
  { database, rules }: { readonly database: string; readonly rules: SanitizeRules },
): Promise<readonly TableAudit[]> {
  const salt = randomBytes(32).toString('hex')
  return withClient(server, { database, signal: working.signal }, async (client) => {
    // triggers would copy what is being removed into tables of their own
    await client.query("SET session_replication_role TO replica; SET log_statement TO 'none'")
    const columns = await ruledColumns(client, rules)
    const keys = await readForeignKeys(client)
    const tables = Map.groupBy(columns, ({ table }) => table)
    const before = await countRows(client, tables.keys())
    for (const { table, name } of keys) await client.query(`ALTER TABLE ${table} DROP CONSTRAINT ${identifier(name)}`)
    for (const [table, own] of tables) {
      const share = rulesOf(rules, own[0]!)?.sample ?? 1
      if (share < 1) await client.query(sampleStatement(table, share, salt))
    }
    await removeOrphans(client, keys)
    let done = 0
    for (const [table, own] of tables) {
      const statement = updateStatement(own, (column) => ruleOf(rules, column), salt)
      if (statement !== undefined) await client.query(statement).catch((thrown: unknown) => refuse(table, thrown))
      done += 1
      working.progress({ done, total: tables.size, unit: 'items', label: 'tables sanitized' })
    }
    for (const { table, name, definition } of keys) {
      await client
        .query(`ALTER TABLE ${table} ADD CONSTRAINT ${identifier(name)} ${definition}`)
        .catch((thrown: unknown) => refuse(table, thrown))
    }
    await client.query('SELECT lo_unlink(oid) FROM pg_largeobject_metadata')
    const after = await countRows(client, tables.keys())
    return [...tables].map(([table, own]) => ({
      table,
      rowsBefore: before.get(table)!,
      rowsAfter: after.get(table)!,
      columns: Object.fromEntries(
        own.flatMap((column) => {
          const rule = ruleOf(rules, column)
          return rule === undefined ? [] : [[column.name, rule] as const]
        }),
      ),
    }))
  })
}

function refuse(table: string, thrown: unknown): never {
  const { constraint, column, detail } = thrown as Readonly<Record<string, string | undefined>>
  throw new DevstackError({
    kind: 'config',
    code: 'SANITIZE_BREAKS_TABLE',
    message: `The rules break ${table}: ${messageOf(thrown)}.`,
    // not the detail itself: it quotes values
    details: constraint !== undefined && detail !== undefined ? [`The constraint is ${constraint}.`] : [],
    hint: `Give ${column ?? 'the column'} a rule that keeps values apart and references whole: hash, the same on both sides.`,
  })
}

async function removeOrphans(client: Client, keys: readonly ForeignKey[]): Promise<void> {
  for (let removed = 1; removed > 0; ) {
    removed = 0
    for (const key of keys) removed += (await client.query(orphanStatement(key))).rowCount ?? 0
  }
}

async function countRows(client: Client, tables: Iterable<string>): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const table of tables) {
    const { rows } = await client.query<{ rows: string }>(`SELECT count(*) AS rows FROM ONLY ${table}`)
    counts.set(table, Number(rows[0]!.rows))
  }
  return counts
}

/** All columns, once the rules fit them. Throws SANITIZE_BAD_RULE and SANITIZE_UNRULED. */
async function ruledColumns(client: Client, rules: SanitizeRules): Promise<readonly Column[]> {
  const columns = await readColumns(client)
  checkRules(rules, columns)
  await refuseUnruled(client, columns, rules)
  return columns
}

/** Columns of all tables that hold rows, without devstack's own. */
async function readColumns(client: Client): Promise<readonly Column[]> {
  const { rows } = await client.query<Column>(`
    SELECT format('%I.%I', n.nspname, c.relname) AS "table", n.nspname AS schema, c.relname AS "tableName",
           a.attname AS name, format_type(a.atttypid, NULL) AS type, t.typcategory AS category,
           NOT a.attnotnull AS nullable, a.attgenerated <> '' AS generated,
           CASE WHEN a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod > 4
                THEN a.atttypmod - 4 END AS length
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relkind = 'r' AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
       AND c.relname <> 'devstack_migrations'
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY 1, a.attnum`)
  return rows
}

async function readForeignKeys(client: Client): Promise<readonly ForeignKey[]> {
  const names = (columns: string, table: string): string =>
    `(SELECT json_agg(a.attname ORDER BY k.at) FROM unnest(${columns}) WITH ORDINALITY k(num, at)
        JOIN pg_attribute a ON a.attrelid = ${table} AND a.attnum = k.num)`
  const { rows } = await client.query<ForeignKey>(`
    SELECT o.conname AS name, o.conrelid::regclass::text AS "table", o.confrelid::regclass::text AS parent,
           ${names('o.conkey', 'o.conrelid')} AS columns, ${names('o.confkey', 'o.confrelid')} AS "parentColumns",
           pg_get_constraintdef(o.oid) AS definition
      FROM pg_constraint o WHERE o.contype = 'f' AND o.conparentid = 0 ORDER BY 1`)
  return rows
}

/** Throws SANITIZE_UNRULED with every column that looks personal and has no rule. */
async function refuseUnruled(client: Client, columns: readonly Column[], rules: SanitizeRules): Promise<void> {
  const unruled: string[] = []
  for (const column of columns) {
    if (ruleOf(rules, column) !== undefined || column.generated) continue
    const textual = column.category === 'S' || /^(jsonb?|xml|hstore|inet|cidr)$|\[\]$/.test(column.type)
    const values = textual ? await someValues(client, column) : []
    const why = looksPersonal(column, values)
    if (why !== undefined) unruled.push(`${column.table}.${column.name}: ${why}`)
  }
  if (unruled.length === 0) return
  throw new DevstackError({
    kind: 'config',
    code: 'SANITIZE_UNRULED',
    message: `${unruled.length === 1 ? 'A column looks' : `${unruled.length} columns look`} personal and ${unruled.length === 1 ? 'has' : 'have'} no rule.`,
    details: unruled,
    hint: "Give each a rule in `sanitize` of dataPack; 'keep' says that you looked.",
  })
}

async function someValues(client: Client, column: Column): Promise<readonly string[]> {
  const name = identifier(column.name)
  const { rows } = await client.query<{ value: string }>(
    `SELECT left(${name}::text, 10000) AS value FROM ${column.table} WHERE ${name} IS NOT NULL LIMIT 500`,
  )
  return rows.map(({ value: text }) => text)
}
