import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Column,
  checkRules,
  hashRules,
  looksPersonal,
  ruleOf,
  type SanitizeRules,
} from '../../../tasks/data/rules.ts'
import { orphanStatement, ruleExpression, updateStatement } from '../../../tasks/data/sanitize-sql.ts'

const test = suite('rules of sanitizing')

const columnOf = (name: string, more: Partial<Column> = {}): Column => ({
  ...{ table: 'public.students', schema: 'public', tableName: 'students', name, type: 'text', category: 'S' },
  ...{ nullable: true, generated: false, length: null, ...more },
})

test('columns look personal by their names', () => {
  for (const name of [
    'email',
    'e_mail',
    'first_name',
    'firstName',
    'phone_number',
    'date_of_birth',
    'dob',
    'IP',
    'ip_address',
    'passwordHash',
    'home_address',
    'note',
  ])
    assert.ok(looksPersonal(columnOf(name)), name)
  for (const name of [
    'id',
    'code',
    'title',
    'capacity',
    'created_at',
    'shipment',
    'mailing_count_total',
    'description',
  ])
    assert.is(looksPersonal(columnOf(name)), undefined, name)
  assert.is(looksPersonal(columnOf('email', { type: 'boolean', category: 'B' })), undefined, 'a flag names nobody')
})

test('columns look personal by what is in them', () => {
  const personal = [
    'call +49 30 1234 5678',
    'from 192.168.1.20',
    'ada@example.test wrote',
    'DE89 3704 0044 0532 0130 00',
  ]
  for (const value of personal) assert.ok(looksPersonal(columnOf('payload'), ['nothing', value]), value)
  const harmless = ['version 1.2.3', '2026-11-30 11:00', 'a+b', '12345', 'v10.20.30.400', 'x@y']
  assert.is(looksPersonal(columnOf('payload'), harmless), undefined)
})

test('rules are found with and without the schema public, and never by what objects inherit', () => {
  const rules: SanitizeRules = { students: { columns: { email: 'hash' } } }
  assert.is(ruleOf(rules, columnOf('email')), 'hash')
  assert.is(ruleOf({ 'public.students': { columns: { email: 'null' } } }, columnOf('email')), 'null')
  assert.is(ruleOf(rules, columnOf('email', { schema: 'other' })), undefined)
  assert.is(ruleOf(rules, columnOf('constructor')), undefined)
  assert.is(ruleOf({}, columnOf('email', { tableName: 'constructor' })), undefined)
})

const refused = (rules: unknown, columns: readonly Column[]): string => {
  try {
    checkRules(rules as SanitizeRules, columns)
  } catch (thrown) {
    return (thrown as Error).message
  }
  return ''
}

test('rules for what is not there or does not fit are refused by name', () => {
  const columns = [
    columnOf('email'),
    columnOf('born', { type: 'date', category: 'D', nullable: false }),
    columnOf('full', { generated: true }),
  ]
  const rule = (column: string, what: string) => refused({ students: { columns: { [column]: what } } }, columns)
  assert.match(refused({ student: {} }, columns), /no table student\. Did you mean "students"/)
  assert.match(rule('emial', 'hash'), /no column emial/)
  assert.match(rule('email', 'fake:nmae'), /no rule "fake:nmae"/)
  assert.match(rule('born', 'null'), /must not be null/)
  assert.match(rule('born', 'fake:name'), /of type date/)
  assert.match(rule('born', 'hash'), /can not hold a hash/)
  assert.match(rule('full', 'mask'), /generated/)
  assert.match(refused({ students: { sample: 2 } }, columns), /no share/)
  const misspelt = { students: { sampel: 0.5 } as object }
  assert.match(refused(misspelt, columns), /students: sampel is no rule for a table\. Did you mean "sample"\?/)
  assert.is(rule('email', 'fake:email'), '')
})

test('the hash of rules does not depend on the order they are written in', () => {
  assert.is(
    hashRules({ a: { sample: 1, columns: { x: 'keep', y: 'null' } }, b: {} }),
    hashRules({ b: {}, a: { columns: { y: 'null', x: 'keep' }, sample: 1 } }),
  )
  assert.is.not(hashRules({ a: {} }), hashRules({ a: { sample: 0.5 } }))
})

test('statements quote names and the salt', () => {
  const column = columnOf('a"b', { length: 10 })
  assert.match(ruleExpression(column, 'hash', "it's")!, /^left\(encode\(sha256\(convert_to\('it''s' \|\| "a""b"::text/)
  assert.is(ruleExpression(column, 'keep', ''), undefined)
  assert.is(
    updateStatement([column], () => 'keep', ''),
    undefined,
  )
  assert.is(
    updateStatement([column, columnOf('c')], (one) => (one === column ? undefined : 'null'), ''),
    'UPDATE ONLY public.students SET "c" = NULL',
  )
  assert.match(
    orphanStatement({
      ...{ name: 'k', table: 'c', columns: ['a', 'b'], parent: 'p' },
      parentColumns: ['x', 'y'],
      definition: '',
    }),
    /c\."a" IS NOT NULL AND c\."b" IS NOT NULL AND NOT EXISTS \(SELECT FROM p p WHERE p\."x" = c\."a" AND p\."y" = c\."b"\)/,
  )
})

test.run()
