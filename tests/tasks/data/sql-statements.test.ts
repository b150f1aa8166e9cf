/** What counts as a statement of its own in SQL files, and which of them may not stand in a migration. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/errors.ts'
import { refuseTransactions, statementsOf } from '../../../tasks/data/sql-statements.ts'
import { temporaryFolder } from './folder.ts'

const test = suite('SQL statements')
const startsOf = (text: string) => statementsOf(text).map(({ start }) => start)

test('statements end at semicolons outside of comments, strings and bodies', () => {
  assert.equal(startsOf("select 1; -- commit;\n/* begin; /* inner */ commit; */ insert into t values ('; commit;')"), [
    'SELECT',
    'INSERT INTO T',
  ])
  assert.equal(startsOf("select 'it''s; commit'; select E'a\\'; commit;' ; select \"x; commit\""), [
    'SELECT',
    'SELECT E',
    'SELECT',
  ])
  assert.equal(startsOf("select 'ends in \\'; commit"), ['SELECT', 'COMMIT'])
  assert.equal(startsOf('do $$ begin commit; end $$; create function f() as $b$ begin; $$; commit; $b$; end'), [
    'DO',
    'CREATE FUNCTION F',
    'END',
  ])
  const atomic = `create function f(i int) returns int begin atomic
    select 1; select case when i > 1 then 2 else 3 end; end; commit`
  assert.equal(startsOf(atomic), ['CREATE FUNCTION F', 'COMMIT'])
})

test('a file that begins or ends transactions is refused with its place', () => {
  const folder = temporaryFolder()
  const file = join(folder.path, '0001-a.sql')
  const refused = (text: string) => {
    writeFileSync(file, text)
    try {
      refuseTransactions([file])
      return undefined
    } catch (thrown) {
      assert.instance(thrown, DevstackError)
      return thrown as DevstackError
    }
  }
  for (const text of [
    'BEGIN;',
    'commit',
    'End;',
    'rollback;',
    'abort;',
    'start transaction;',
    "prepare transaction 'x';",
    'rollback work;',
  ])
    assert.is(refused(text)?.code, 'SQL_OWN_TRANSACTION', text)
  for (const text of [
    'SAVEPOINT a; ROLLBACK TO a; rollback to savepoint a; rollback work to a; release a',
    'prepare p as select 1',
  ])
    assert.is(refused(text), undefined, text)
  const error = refused('create table a ();\n  Commit;')!
  assert.match(error.message, 'says COMMIT')
  assert.equal(error.place, { file, line: 2, column: 3, text: '  Commit;' })
  folder.remove()
})

test.run()
