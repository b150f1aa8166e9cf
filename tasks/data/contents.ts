/** What is in a database: rows and a checksum for every table, so that two states can be compared. */
import type { Client } from 'pg'
import { DevstackError } from '../../lib/index.ts'
import type { TableContents } from './manifest.ts'

/**
 * How values are written as text, the same on every connection: else a checksum would tell of time zones. Checksums are
 * compared between servers of one version only.
 */
const sameText = `SET datestyle TO ISO; SET intervalstyle TO postgres; SET timezone TO 'UTC'; SET extra_float_digits TO 3;
  SET bytea_output TO hex; SET search_path TO ''; SET row_security TO off`

/**
 * How values of these types are hashed as they are, and in another cluster alike; that costs a third of hashing their text, as is
 * done for all others. Not here: types of which equal values have different texts (numeric, float8). Named as `regtype` names
 * them, which gives types of one's own a schema.
 */
const direct: Readonly<Record<string, (column: string, seed: number) => string>> = {
  smallint: (column, seed) => `hashint2extended(${column}, ${seed})`,
  integer: (column, seed) => `hashint4extended(${column}, ${seed})`,
  bigint: (column, seed) => `hashint8extended(${column}, ${seed})`,
  oid: (column, seed) => `hashoidextended(${column}, ${seed})`,
  boolean: (column, seed) => `hashint4extended(${column}::int4, ${seed})`,
  text: (column, seed) => `hashtextextended(${column} COLLATE "C", ${seed})`,
  'character varying': (column, seed) => `hashtextextended(${column} COLLATE "C", ${seed})`,
  character: (column, seed) => `hashbpcharextended(${column} COLLATE "C", ${seed})`,
  uuid: (column, seed) => `uuid_hash_extended(${column}, ${seed})`,
  'timestamp without time zone': (column, seed) => `timestamp_hash_extended(${column}, ${seed})`,
  'timestamp with time zone': (column, seed) => `timestamp_hash_extended(${column} AT TIME ZONE 'UTC', ${seed})`,
}

const tablesQuery = `SELECT format('%I.%I', n.nspname, c.relname) AS name,
       coalesce((SELECT json_agg(json_build_object('name', format('%I', a.attname), 'type', a.atttypid::regtype) ORDER BY a.attnum)
                   FROM pg_attribute a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]') AS columns
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1`

interface TableShape {
  readonly name: string
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

/** How rows are hashed, by what stands before the checksum; new ones are made by the first, the others were once. */
const ways: readonly (readonly [prefix: string, hash: (columns: TableShape['columns']) => string])[] = [
  ['columns:', (columns) => columns.map(columnHash).join(' # ') || '0'],
  // t alone would be a column of that name
  ['rows:', () => 'hash_record_extended(t.*, 0)'],
  ['', () => 'hashtextextended((t.*)::text, 0)'],
]

/** Columns differ in their seed, which also stands for null: the same value in another column gives another hash. */
function columnHash({ name, type }: TableShape['columns'][number], index: number): string {
  const seed = index + 1
  const column = `t.${name}`
  const hash = direct[type]?.(column, seed) ?? `hashtextextended(${column}::text COLLATE "C", ${seed})`
  return `coalesce(${hash}, ${-seed})`
}

/** Must come before the transaction whose contents are read; beside something else that is waited for, one process reads. */
export async function prepareReading(client: Client, { alone }: { readonly alone: boolean }): Promise<void> {
  await client.query(sameText)
  if (!alone) await client.query('SET max_parallel_workers_per_gather TO 0')
}

/**
 * Rows and checksums of every table that belongs to no extension, in the transaction that is open or as of each table. To be
 * compared with `expected` they are made as those were.
 */
export async function readContents(client: Client, expected: readonly TableContents[] = []): Promise<TableContents[]> {
  const known = new Map(expected.map(({ name, checksum }) => [name, checksum]))
  const { rows: found } = await client.query<TableShape>(tablesQuery)
  const tables: TableContents[] = []
  for (const { name, columns } of found) {
    const [prefix, hash] = ways.find((way) => known.get(name)?.startsWith(way[0]) ?? true)!
    const { rows } = await client.query<{ rows: string; checksum: string }>(
      `SELECT count(*) AS rows, coalesce(sum(${hash(columns)}), 0)::text AS checksum FROM ONLY ${name} t`,
    )
    const { rows: number, checksum } = rows[0]!
    tables.push({ name, rows: Number(number), checksum: `${prefix}${checksum}` })
  }
  return tables
}

/** What differs between two states, a line each; nothing when they are equal. */
export function compareContents(
  expected: readonly TableContents[],
  found: readonly TableContents[],
): readonly string[] {
  const byName = new Map(found.map((table) => [table.name, table]))
  const lines = expected.flatMap(({ name, rows, checksum }) => {
    const table = byName.get(name)
    if (!table) return [`${name} is missing`]
    if (table.rows !== rows) return [`${name} has ${table.rows} rows instead of ${rows}`]
    return table.checksum === checksum ? [] : [`${name} has ${rows} rows, some of which differ`]
  })
  const known = new Set(expected.map(({ name }) => name))
  return [...lines, ...found.filter(({ name }) => !known.has(name)).map(({ name }) => `${name} is not in the backup`)]
}

/** Throws BACKUP_DIFFERS when a restored database is not what was backed up. */
export function assertContents(
  what: string,
  expected: readonly TableContents[],
  found: readonly TableContents[],
): void {
  const differences = compareContents(expected, found)
  if (differences.length === 0) return
  throw new DevstackError({
    kind: 'state',
    code: 'BACKUP_DIFFERS',
    message: `${what} is not what was backed up: ${differences[0]}${differences.length > 1 ? ` and ${differences.length - 1} more` : ''}.`,
    details: differences.slice(0, 20),
    hint: 'Use another backup: devstack run backup:list',
  })
}
