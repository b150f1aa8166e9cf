/** Migrations as files, and what is wrong with them compared to what a database says was applied. Reads only. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, suggest } from '../../lib/index.ts'

export interface MigrationFile {
  /** File name without `.sql`: `0001-courses`. */
  readonly name: string
  readonly file: string
  /** SHA-256 of the bytes, hexadecimal. */
  readonly checksum: string
}

export interface AppliedMigration {
  readonly name: string
  /** Absent where another tool applied it. */
  readonly checksum: string | null
  /** ISO 8601. */
  readonly at: string
}

const pattern = /^(\d+)[-_][A-Za-z0-9._-]+\.sql$/

/**
 * The migrations of a folder in the order of their numbers. Throws MIGRATIONS_MISSING without the folder,
 * MIGRATION_BAD_NAME and MIGRATION_SAME_NUMBER.
 */
export function readMigrations(folder: string): readonly MigrationFile[] {
  if (!existsSync(folder)) {
    throw new DevstackError({
      kind: 'config',
      code: 'MIGRATIONS_MISSING',
      message: `There is no folder of migrations at ${folder}.`,
      hint: 'Make the first one with: devstack run migrate:new create-tables (or set `migrations` of dataPack in the config)',
    })
  }
  const files = readdirSync(folder).filter((name) => name.endsWith('.sql'))
  const numbered = files.map((file) => {
    const number = pattern.exec(file)?.[1]
    if (number === undefined) {
      throw new DevstackError({
        kind: 'config',
        code: 'MIGRATION_BAD_NAME',
        message: `${join(folder, file)} does not say when its turn is.`,
        hint: 'Name it by a number and what it does: 0002-add-rooms.sql',
        place: { file: join(folder, file) },
      })
    }
    return { number: BigInt(number), file }
  })
  numbered.sort((a, b) => (a.number < b.number ? -1 : a.number > b.number ? 1 : a.file < b.file ? -1 : 1))
  for (const [index, { number, file }] of numbered.entries()) {
    const before = numbered[index - 1]
    if (before?.number === number) {
      throw new DevstackError({
        kind: 'config',
        code: 'MIGRATION_SAME_NUMBER',
        message: `${before.file} and ${file} have the same number, so which comes first is nobody’s decision.`,
        hint: `Give the one that is not applied anywhere yet the next number, ${nextNumber(numbered.map((one) => one.file))}.`,
        place: { file: join(folder, file) },
      })
    }
  }
  return numbered.map(({ file }) => ({
    name: file.slice(0, -'.sql'.length),
    file: join(folder, file),
    checksum: createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex'),
  }))
}

/** The number after the largest, at least as wide. */
export function nextNumber(files: readonly string[]): string {
  let largest = 0n
  let width = 4
  for (const file of files) {
    const digits = pattern.exec(file)?.[1]
    if (digits === undefined) continue
    width = Math.max(width, digits.length)
    if (BigInt(digits) > largest) largest = BigInt(digits)
  }
  return String(largest + 1n).padStart(width, '0')
}

/**
 * Refuses what would leave two databases with the same history and different tables: an applied file that was edited
 * (MIGRATION_EDITED), that is gone (MIGRATION_GONE), or a new one before it (MIGRATION_OUT_OF_ORDER).
 */
export function checkMigrations(files: readonly MigrationFile[], applied: readonly AppliedMigration[]): void {
  const byName = new Map(files.map((file) => [file.name, file]))
  for (const { name, checksum, at } of applied) {
    const file = byName.get(name)
    if (!file) {
      throw new DevstackError({
        kind: 'config',
        code: 'MIGRATION_GONE',
        message: `The migration ${name} was applied on ${at.slice(0, 10)} and its file is gone.${suggest(name, byName.keys())}`,
        hint: `Bring ${name}.sql back, or start over with: devstack run reset`,
      })
    }
    if (checksum !== null && checksum !== file.checksum) {
      throw new DevstackError({
        kind: 'config',
        code: 'MIGRATION_EDITED',
        message: `The migration ${name} was edited after it had been applied on ${at.slice(0, 10)}.`,
        hint: 'Undo the edit and put the change into a new migration (devstack run migrate:new), or start over with: devstack run reset',
        place: { file: file.file },
      })
    }
  }
  const names = new Set(applied.map(({ name }) => name))
  const firstPending = files.findIndex(({ name }) => !names.has(name))
  if (firstPending < 0) return
  const after = files.slice(firstPending).find(({ name }) => names.has(name))
  if (after) {
    const { name, file } = files[firstPending]!
    throw new DevstackError({
      kind: 'config',
      code: 'MIGRATION_OUT_OF_ORDER',
      message: `The migration ${name} is new, and ${after.name}, which comes after it, is applied already.`,
      hint: `Rename it to ${nextNumber(files.map((one) => `${one.name}.sql`))}-${name.replace(/^\d+[-_]/, '')}.sql`,
      place: { file },
    })
  }
}

/** How many of the pending ones are due: all, or those up to `to` (its name or number). Throws MIGRATION_UNKNOWN. */
export function dueMigrations(
  files: readonly MigrationFile[],
  applied: readonly AppliedMigration[],
  to?: string,
): readonly MigrationFile[] {
  const names = new Set(applied.map(({ name }) => name))
  const pending = files.filter(({ name }) => !names.has(name))
  if (to === undefined) return pending
  const wanted = to.replace(/\.sql$/, '')
  const last = files.findIndex(
    ({ name }) => name === wanted || (/^\d+$/.test(wanted) && BigInt(/^\d+/.exec(name)![0]) === BigInt(wanted)),
  )
  if (last < 0) {
    const known = files.map(({ name }) => name)
    throw new DevstackError({
      kind: 'usage',
      code: 'MIGRATION_UNKNOWN',
      message: `There is no migration "${to}".${suggest(wanted, known)}`,
      hint: `The migrations are ${known.join(', ')}.`,
    })
  }
  const due = new Set(files.slice(0, last + 1).map(({ name }) => name))
  return pending.filter(({ name }) => due.has(name))
}
