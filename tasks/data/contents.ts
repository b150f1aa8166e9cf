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
 * Types whose hash tells any two values apart that their text does, and that have the same one in another cluster. Hashing a
 * row of these costs two thirds of hashing its text (`hash_record_extended`, PostgreSQL 14 and later).
 */
const plainTypes = 'int2,int4,int8,bool,text,varchar,bpchar,name,uuid,date,timestamp,timestamptz,bytea,oid'

const tablesQuery = `SELECT format('%I.%I', n.nspname, c.relname) AS name,
       to_regprocedure('pg_catalog.hash_record_extended(record, int8)') IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
                        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                          AND (a.atttypid <> ALL ('{${plainTypes}}'::regtype[]) OR NOT coalesce(l.collisdeterministic, true))) AS plain
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
 ORDER BY 1`

/** Before a checksum that was made of rows as they are; others are of their text. */
const ofRows = 'rows:'

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
  const known = new Map(expected.map(({ name, checksum }) => [name, checksum.startsWith(ofRows)]))
  const { rows: found } = await client.query<{ name: string; plain: boolean }>(tablesQuery)
  const tables: TableContents[] = []
  for (const { name, plain } of found) {
    const whole = known.get(name) ?? plain
    // t alone would be a column of that name
    const hash = whole ? 'hash_record_extended(t.*, 0)' : 'hashtextextended((t.*)::text, 0)'
    const { rows } = await client.query<{ rows: string; checksum: string }>(
      `SELECT count(*) AS rows, coalesce(sum(pg_catalog.${hash}), 0)::text AS checksum FROM ONLY ${name} t`,
    )
    const { rows: number, checksum } = rows[0]!
    tables.push({ name, rows: Number(number), checksum: `${whole ? ofRows : ''}${checksum}` })
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
