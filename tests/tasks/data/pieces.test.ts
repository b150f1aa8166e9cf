/** Small parts of the data pack: moments, roles, comparisons. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { identifier, literal } from '../../../tasks/data/cluster.ts'
import { compareContents } from '../../../tasks/data/contents.ts'
import { connectionText } from '../../../tasks/data/dump.ts'
import { missingRoles } from '../../../tasks/data/globals.ts'
import { formatMoment, parseMoment } from '../../../tasks/data/moment.ts'
import { settingsOf } from '../../../tasks/data/options.ts'

const test = suite('data')

test('moments', () => {
  const now = new Date('2026-11-30T12:00:00Z')
  const at = (text: string) => parseMoment(text, now).toISOString()
  assert.is(at('10 minutes ago'), '2026-11-30T11:50:00.000Z')
  assert.is(at('1 minute ago'), '2026-11-30T11:59:00.000Z')
  assert.is(at('90s ago'), '2026-11-30T11:58:30.000Z')
  assert.is(at('1.5 hours ago'), '2026-11-30T10:30:00.000Z')
  assert.is(at('2 days ago'), '2026-11-28T12:00:00.000Z')
  assert.is(at('2026-11-30T11:00:00Z'), '2026-11-30T11:00:00.000Z')
  assert.is(at('2026-11-30 11:00:00.25+01:00'), '2026-11-30T10:00:00.250Z')
  for (const text of [
    '',
    'yesterday',
    '10 minutes',
    'minutes ago',
    '5 parsecs ago',
    '10 ms ago',
    '2026-13-40',
    '2027-01-01T00:00:00Z',
  ])
    assert.throws(() => at(text), /is no moment|in the future/)
  assert.is(formatMoment(now), '2026-11-30 12:00:00.000+00')
})

test('options of the pack that are none, or none that can be kept, are refused', () => {
  const settings = (options: object) => settingsOf(options, { directory: '/p', project: 'p', environment: {} } as never)
  assert.is(settings({}).keep, 10)
  assert.is(settings({ keep: 1 }).keep, 1)
  for (const keep of [0, -1, 1.5, '3'])
    assert.throws(() => settings({ keep }), /needs a whole number from 1 for keep, got/)
  assert.throws(() => settings({ kep: 3 }), /dataPack\(\) in the config has no option "kep"\. Did you mean "?keep/)
})

test('roles that are there keep their passwords', () => {
  const globals = [
    '\\restrict abc',
    'SET standard_conforming_strings = on;',
    'CREATE ROLE app;',
    "ALTER ROLE app WITH LOGIN PASSWORD 'SCRAM-SHA-256$x';",
    'CREATE ROLE "Read ""er";',
    'ALTER ROLE "Read ""er" WITH NOLOGIN;',
    'CREATE ROLE application;',
    'GRANT app TO "Read ""er" GRANTED BY postgres;',
  ].join('\n')
  assert.equal(missingRoles(globals, new Set(['app', 'postgres'])), [
    'CREATE ROLE "Read ""er";',
    'ALTER ROLE "Read ""er" WITH NOLOGIN;',
    'CREATE ROLE application;',
    'GRANT app TO "Read ""er" GRANTED BY postgres;',
  ])
  assert.equal(missingRoles(globals, new Set(['app', 'Read "er', 'application'])).length, 1)
})

test('names and texts are quoted', () => {
  assert.is(identifier('a"b'), '"a""b"')
  assert.is(literal("it's"), "'it''s'")
  assert.is(literal('a\\b'), " E'a\\\\b'")
  assert.is(connectionText("x=1'"), "dbname='x=1\\''")
})

test('states are compared table by table', () => {
  const table = (name: string, rows: number, checksum = '1') => ({ name, rows, checksum })
  assert.equal(compareContents([table('a', 1)], [table('a', 1)]), [])
  assert.equal(
    compareContents([table('a', 1), table('b', 2), table('c', 3)], [table('a', 2), table('c', 3, '2'), table('d', 0)]),
    ['a has 2 rows instead of 1', 'b is missing', 'c has 3 rows, some of which differ', 'd is not in the backup'],
  )
})

test.run()
