import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/errors.ts'
import {
  type AppliedMigration,
  checkMigrations,
  dueMigrations,
  type MigrationFile,
  nextNumber,
  readMigrations,
} from '../../../tasks/data/migrations.ts'
import { temporaryFolder } from './folder.ts'

const test = suite('migrations')

const codeOf = (use: () => unknown): string => {
  try {
    use()
  } catch (thrown) {
    if (thrown instanceof DevstackError) return thrown.code
    throw thrown
  }
  return 'nothing'
}
const fileOf = (name: string, checksum = name): MigrationFile => ({ name, file: `/m/${name}.sql`, checksum })
const appliedOf = (name: string, checksum: string | null = name): AppliedMigration => ({
  ...{ name, checksum, at: '2026-01-02T03:04:05.000Z' },
})

test('files come in the order of their numbers, not of their names', () => {
  const folder = temporaryFolder()
  for (const name of ['10-last.sql', '9-middle.sql', '0002-first.sql', 'README.md'])
    writeFileSync(join(folder.path, name), '')
  assert.equal(
    readMigrations(folder.path).map(({ name }) => name),
    ['0002-first', '9-middle', '10-last'],
  )
  folder.remove()
})

test('names without a number, two of one number and a missing folder are refused', () => {
  const folder = temporaryFolder()
  assert.is(
    codeOf(() => readMigrations(join(folder.path, 'none'))),
    'MIGRATIONS_MISSING',
  )
  writeFileSync(join(folder.path, '0001-a.sql'), '')
  writeFileSync(join(folder.path, '1-b.sql'), '')
  assert.is(
    codeOf(() => readMigrations(folder.path)),
    'MIGRATION_SAME_NUMBER',
  )
  writeFileSync(join(folder.path, 'tables.sql'), '')
  assert.is(
    codeOf(() => readMigrations(folder.path)),
    'MIGRATION_BAD_NAME',
  )
  folder.remove()
})

test('an applied migration must be there, unedited, and not come after a new one', () => {
  const files = [fileOf('1-a'), fileOf('2-b'), fileOf('3-c')]
  const check = (applied: readonly AppliedMigration[], given = files) => codeOf(() => checkMigrations(given, applied))
  assert.is(check([]), 'nothing')
  assert.is(check([appliedOf('1-a'), appliedOf('2-b')]), 'nothing')
  assert.is(check([appliedOf('1-a', null)]), 'nothing')
  assert.is(check([appliedOf('1-a', 'other')]), 'MIGRATION_EDITED')
  assert.is(check([appliedOf('1-a'), appliedOf('2-x')]), 'MIGRATION_GONE')
  assert.is(check([appliedOf('1-a'), appliedOf('3-c')]), 'MIGRATION_OUT_OF_ORDER')
})

test('due are the pending ones, up to the one that is named by name or number', () => {
  const files = [fileOf('0001-a'), fileOf('0002-b'), fileOf('0003-c')]
  const names = (to?: string) => dueMigrations(files, [appliedOf('0001-a')], to).map(({ name }) => name)
  assert.equal(names(), ['0002-b', '0003-c'])
  for (const to of ['2', '0002', '0002-b', '0002-b.sql']) assert.equal(names(to), ['0002-b'])
  assert.equal(names('1'), [])
  assert.is(
    codeOf(() => names('7')),
    'MIGRATION_UNKNOWN',
  )
})

test('the next number is larger than every number, and sorts after them', () => {
  assert.is(nextNumber([]), '0001')
  assert.is(nextNumber(['0009-a.sql', 'other.txt']), '0010')
  fc.assert(
    fc.property(fc.array(fc.bigInt({ min: 0n, max: 10n ** 20n }), { minLength: 1 }), (numbers) => {
      const next = BigInt(nextNumber(numbers.map((number) => `${number}-x.sql`)))
      return numbers.every((number) => number < next)
    }),
  )
})

test.run()
