// needs: stack
/**
 * SIGKILL in the middle of backup, restore, snapshot and migrate, at random moments and at chosen ones: the data is one
 * of the two states it may be, nothing half-done stays, and the last good backup still proves itself.
 *
 *     DEVSTACK_KILLS=10 node tests/long/data-kill.test.ts        moments for each command; default 10
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall, scenarioEngine } from '../support/engine.ts'
import { psql, redis } from '../support/stack-data.ts'

const test = suite('killed data commands')
const engine = await scenarioEngine()
const kills = Number(process.env['DEVSTACK_KILLS'] ?? 10)
const patience = { timeout: 600_000 }

let place: Checkout
let good: string
const shelf = (): string => join(place.directory, 'backups')
const entries = (folder: string): readonly string[] => (existsSync(folder) ? readdirSync(folder) : [])
const backups = (): readonly string[] =>
  entries(shelf())
    .filter((name) => /^\d{8}-/.test(name))
    .toSorted()

test.before(() => {
  place = checkout({
    name: 'kill',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack({ keep: 50 })] })
`,
      'migrations/0001-rows.sql': 'CREATE TABLE rows (id int PRIMARY KEY, text text NOT NULL);\n',
    }),
  })
})
test.after(() => place.remove({ engine: true }))

/** Kills the command after a while, then lets the next one notice. Gives what that one said. */
async function killed(args: readonly string[], when: () => Promise<unknown>): Promise<string> {
  const command = place.start(args, patience)
  await Promise.race([when(), command.ended])
  command.signal('SIGKILL')
  await command.ended
  const next = await place.run(['run', 'backup:list'], patience)
  assert.is(next.exitCode, 0, next.stderr)
  return next.stderr
}

/** Nothing that a killed command made is still there. */
async function assertTidy(): Promise<void> {
  const hidden = entries(shelf()).filter((name) => name.startsWith('.') && name !== '.gitignore')
  assert.equal(hidden, [], 'drafts and notes are gone')
  assert.equal(entries(join(place.directory, '.devstack', 'scratch')), [])
  const filters = encodeURIComponent(JSON.stringify({ label: [`devstack.scratch=${place.project}`] }))
  assert.is((await engineCall(`/containers/json?all=true&filters=${filters}`)).text.trim(), '[]')
  assert.is(await psql(place, "SELECT count(*) FROM pg_database WHERE datname LIKE 'devstack%'"), '0')
}

const moment = (span: number) => () => delay(Math.random() * span)
const state = (): string => {
  const file = join(shelf(), '.restore.json')
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { stage: string }).stage : ''
}
const stage = (wanted: string) => async () => {
  while (state() !== wanted) await delay(2)
}
const contents = "SELECT count(*) || ' ' || coalesce(max(text), '') FROM rows"

/** How long a command takes when nobody kills it. */
async function timed(args: readonly string[]): Promise<number> {
  const started = Date.now()
  await place.succeed(args, patience)
  return Date.now() - started
}

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  let span = { backup: 0, restore: 0, snapshot: 0 }

  test('a stack with something in it', async () => {
    await place.succeed(['run', 'up'], patience)
    await place.succeed(['run', 'migrate'], patience)
    await psql(place, "INSERT INTO rows SELECT n, 'old' FROM generate_series(1, 20000) n")
    await redis(place, ['SET', 'state', 'old'])
    span = { ...span, backup: await timed(['run', 'backup', '--verify']) }
    good = backups().at(-1)!
    await psql(place, "UPDATE rows SET text = 'new'; DELETE FROM rows WHERE id > 10000")
    span = { ...span, restore: await timed(['run', 'restore', good]) }
  })

  test('backup', async () => {
    for (let count = 0; count < kills; count += 1) {
      await killed(['run', 'backup'], moment(span.backup))
      await assertTidy()
    }
    await place.succeed(['run', 'backup:verify', good], patience)
  })

  test('restore at chosen moments: rolled back before it changed anything, finished afterwards', async () => {
    await psql(place, "UPDATE rows SET text = 'new'; DELETE FROM rows WHERE id > 10000")
    await redis(place, ['SET', 'state', 'new'])
    assert.match(await killed(['run', 'restore', good], stage('filling')), /is rolled back/)
    assert.is(await psql(place, contents), '10000 new')
    assert.is(await redis(place, ['GET', 'state']), 'new')
    await assertTidy()
    assert.match(await killed(['run', 'restore', good], stage('switching')), /it is finished/)
    assert.is(await psql(place, contents), '20000 old')
    assert.is(await redis(place, ['GET', 'state']), 'old')
    await assertTidy()
  })

  test('restore at random moments', async () => {
    for (let count = 0; count < kills; count += 1) {
      await psql(place, "UPDATE rows SET text = 'new'; DELETE FROM rows WHERE id > 10000")
      await killed(['run', 'restore', good], moment(span.restore))
      assert.match(await psql(place, contents), /^(10000 new|20000 old)$/)
      await assertTidy()
    }
    await place.succeed(['run', 'backup:verify', good], patience)
  })

  test('migrate', async () => {
    for (let count = 0; count < kills; count += 1) {
      const number = String(count + 2).padStart(4, '0')
      place.write({
        [`migrations/${number}-more.sql`]: `CREATE TABLE more${count} AS SELECT * FROM rows;\nSELECT pg_sleep(1);\n`,
      })
      await killed(['run', 'migrate', '--no-backup'], moment(4000))
      const halves =
        "SELECT (to_regclass('more0') IS NULL) = (count(*) = 0) FROM devstack_migrations WHERE name = '0002-more'"
      assert.is(await psql(place, halves), 't', 'a migration and its record are one')
      await place.succeed(['run', 'migrate', '--no-backup'], patience)
      await assertTidy()
    }
    await place.succeed(['run', 'backup:verify', good], patience)
  })

  test('snapshot: nothing stays frozen', async () => {
    span = { ...span, snapshot: await timed(['run', 'snapshot']) }
    for (let count = 0; count < kills; count += 1) {
      await killed(['run', 'snapshot'], moment(span.snapshot))
      const filters = encodeURIComponent(
        JSON.stringify({ label: [`devstack.project=${place.project}`], status: ['paused'] }),
      )
      assert.is((await engineCall(`/containers/json?all=true&filters=${filters}`)).text.trim(), '[]')
      await place.succeed(['run', 'health', '--wait', '--timeout', '120'], patience)
      await assertTidy()
    }
    await place.succeed(['run', 'backup:verify', good], patience)
  })
}

test.run()
