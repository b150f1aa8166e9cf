// deadline: 7200s
/**
 * SIGKILL in the middle of every command that handles data, at random moments spread over its whole time and at chosen
 * ones: the data is one of the two states it may be, nothing half-done stays, and the last good backup still proves itself.
 *
 *     KILLS=10                     moments for each command; default 10
 *     COMMANDS=restore,snapshot    these alone; default all
 *     STACK=fast                   another form of the stack; in memory (ephemeral) there are no volumes for snapshots
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout, type Ended } from '../support/checkout.ts'
import { engineCall, scenarioEngine } from '../support/engine.ts'
import { exec, psql, redis } from '../support/stack-data.ts'

const test = suite('killed data commands')
const engine = await scenarioEngine()
const kills = Number(process.env['KILLS'] ?? 10)
const wanted = process.env['COMMANDS']?.split(',')
const form = process.env['STACK']
const fast = form === 'fast'
const members = fast ? ['postgres'] : ['postgres1', 'postgres2', 'postgres3']
const patience = { timeout: 600_000 }
const rows = 100_000

let place: Checkout
let good: string
const shelf = (): string => join(place.directory, 'backups')
const entries = (folder: string): readonly string[] => (existsSync(folder) ? readdirSync(folder) : [])
const backups = (): readonly string[] =>
  entries(shelf())
    .filter((name) => /^\d{8}-/.test(name))
    .toSorted()

/** Kills the command after a while; gives how it ended, 137 when it was not done before. */
async function killed(args: readonly string[], when: () => Promise<unknown>): Promise<Ended> {
  const command = place.start(args, patience)
  await Promise.race([when(), command.ended])
  command.signal('SIGKILL')
  return command.ended
}

/** What the next command says, which mends what the killed one left. */
async function mended(): Promise<string> {
  const next = await place.run(['run', 'backup:list'], patience)
  assert.is(next.exitCode, 0, next.stderr)
  assert.not.match(next.stderr, /can not be|as soon as the stack is up/)
  return next.stderr
}

/** What a killed command made and left, a line each. */
async function litter(): Promise<readonly string[]> {
  const found: string[] = []
  for (const folder of [shelf(), join(place.directory, 'snapshots')])
    found.push(...entries(folder).filter((name) => name.startsWith('.') && name !== '.gitignore'))
  found.push(...entries(join(place.directory, '.devstack', 'scratch')))
  const filters = encodeURIComponent(JSON.stringify({ label: [`devstack.scratch=${place.project}`] }))
  const scratch = JSON.parse((await engineCall(`/containers/json?all=true&filters=${filters}`)).text)
  found.push(...scratch.map(({ Names }: { Names: string[] }) => Names[0]))
  const paused = encodeURIComponent(
    JSON.stringify({ label: [`devstack.project=${place.project}`], status: ['paused'] }),
  )
  const frozen = JSON.parse((await engineCall(`/containers/json?all=true&filters=${paused}`)).text)
  found.push(...frozen.map(({ Names }: { Names: string[] }) => `${Names[0]} frozen`))
  const databases = "SELECT datname FROM pg_database WHERE datname LIKE 'devstack%'"
  found.push(...(await query(databases)).split('\n').filter(Boolean))
  const tools = "for c in /proc/[0-9]*/comm; do cat $c 2>/dev/null; done | grep -E '^(pg_dump|pg_restore|tar)' || true"
  for (const member of members)
    found.push(...(await exec(place, member, ['sh', '-c', tools])).split('\n').filter(Boolean))
  return found
}

/** Nothing that a killed command made is still there; what can not be told from work just begun goes ten seconds later. */
async function assertTidy(): Promise<void> {
  const until = Date.now() + 30_000
  for (;;) {
    const found = await litter()
    if (found.length === 0) return
    if (Date.now() > until) assert.equal(found, [])
    await delay(1000)
    await mended()
  }
}

/** Every byte of a backup as its manifest says. */
function assertWhole(id: string): void {
  const folder = join(shelf(), id)
  const { files } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as {
    files: Record<string, { sha256: string }>
  }
  for (const [name, { sha256 }] of Object.entries(files))
    assert.is(
      createHash('sha256')
        .update(readFileSync(join(folder, name)))
        .digest('hex'),
      sha256,
      `${id} ${name}`,
    )
}

interface Rounds {
  readonly args: readonly string[]
  /** Milliseconds that the command takes when nobody kills it. */
  readonly span: number
  /** Whether the command that mends is killed at its work as well, every other time. */
  readonly again?: boolean
  before?(round: number): Promise<void>
  after(round: number): Promise<void>
}

/** Kills the command at as many moments, one in each equal part of its time. */
async function atRandomMoments({ args, span, again, before, after }: Rounds): Promise<void> {
  for (let round = 0; round < kills; round += 1) {
    await before?.(round)
    const last = backups().at(-1)!
    const moment = ((round + Math.random()) / kills) * span
    const { exitCode } = await killed(args, () => delay(moment))
    const twice = again && round % 2 === 1 ? Math.random() * 3000 : undefined
    if (twice !== undefined) await killed(['run', 'backup:list'], () => delay(twice))
    await mended()
    await assertTidy()
    assert.ok(backups().includes(last), `${last} is still there`)
    for (const id of backups()) assertWhole(id)
    await after(round)
    const ended =
      exitCode === 137 ? 'killed' : exitCode === 0 ? 'done before' : `failed with ${exitCode} before it was killed`
    const next = twice === undefined ? '' : `, the next command ${Math.round(twice)} ms after its start`
    process.stdout.write(`${args[1]} ${ended} at ${Math.round(moment)} of ${Math.round(span)} ms${next}\n`)
  }
  await place.succeed(['run', 'backup:verify', backups().at(-1)!], patience)
}

/** How long a command takes when nobody kills it. */
async function timed(args: readonly string[]): Promise<number> {
  const started = performance.now()
  await place.succeed(args, patience)
  return performance.now() - started
}

const stage = (wanted: string) => async () => {
  const file = join(shelf(), '.restore.json')
  while (!existsSync(file) || (JSON.parse(readFileSync(file, 'utf8')) as { stage: string }).stage !== wanted)
    await delay(2)
}
const contents = "SELECT count(*) || ' ' || coalesce(max(text), '') FROM rows"
const newState = `${rows / 2} new`
const oldState = `${rows} old`

async function change(): Promise<void> {
  await query(`TRUNCATE rows; INSERT INTO rows SELECT n, 'new' FROM generate_series(1, ${rows / 2}) n`)
  await key(['SET', 'state', 'new'])
}

/** One state or the other, in PostgreSQL and in Redis alike. */
async function assertEither(): Promise<void> {
  const found = await query(contents)
  assert.ok(found === oldState || found === newState, found)
  assert.is(await key(['GET', 'state']), found === oldState ? 'old' : 'new')
}

const query = (sql: string): Promise<string> => psql(place, sql, fast ? { member: 'postgres' } : {})
const key = (words: readonly string[]): Promise<string> => redis(place, words, fast ? { member: 'redis' } : {})

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test.before(async () => {
    place = checkout({
      name: 'kill',
      files: (project) => ({
        'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
const data = dataPack({ keep: 4, sanitize: { rows: { columns: { text: 'hash' } } } })
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), data] })
`,
        'migrations/0001-rows.sql': 'CREATE TABLE rows (id int PRIMARY KEY, text text NOT NULL);\n',
        'seeds/0001-rows.sql': `INSERT INTO rows SELECT n, 'old' FROM generate_series(1, ${rows}) n ON CONFLICT DO NOTHING;\n`,
      }),
    })
    await place.succeed(['run', 'up', ...(form ? [`--${form}`] : [])], patience)
    await place.succeed(['run', 'migrate'], patience)
    await place.succeed(['run', 'seed'], patience)
    await key(['SET', 'state', 'old'])
    await place.succeed(['run', 'backup', '--verify'], patience)
    good = backups().at(-1)!
  })
  test.after(() => place.remove({ engine: true }))

  const commandTest = (title: string, body: () => Promise<void>): void => {
    if (wanted?.includes(/^[\w-]+/.exec(title)![0]) ?? true) test(title, body)
  }

  commandTest('backup', async () => {
    const args = ['run', 'backup']
    await atRandomMoments({ args, span: await timed(args), after: async () => assert.ok(backups().length <= 4) })
    await place.succeed(['run', 'backup', '--verify'], patience)
    good = backups().at(-1)!
  })

  commandTest('restore at chosen moments: rolled back before it changed anything, finished afterwards', async () => {
    await change()
    await killed(['run', 'restore', good, '--yes'], stage('filling'))
    assert.match(await mended(), /is rolled back/)
    assert.is(await query(contents), newState)
    await assertEither()
    await assertTidy()
    for (const moment of ['switching', 'clearing']) {
      await change()
      await killed(['run', 'restore', good, '--yes'], stage(moment))
      assert.match(await mended(), /it is finished/)
      assert.is(await query(contents), oldState)
      await assertEither()
      await assertTidy()
    }
  })

  commandTest('restore', async () => {
    const args = ['run', 'restore', good, '--yes']
    await atRandomMoments({ args, span: await timed(args), again: true, before: change, after: assertEither })
    await place.succeed(['run', 'backup:verify', good], patience)
  })

  commandTest('snapshot: nothing stays frozen', async () => {
    const args = ['run', 'snapshot']
    const healthy = async () => void (await place.succeed(['run', 'health', '--wait', '--timeout', '120'], patience))
    await atRandomMoments({ args, span: await timed(args), after: healthy })
  })

  commandTest('restore-snapshot: as it was, or put back', async () => {
    await place.succeed(['run', 'restore', good, '--yes'], patience)
    await place.succeed(['run', 'snapshot'], patience)
    const [kept] = entries(join(place.directory, 'snapshots'))
      .filter((name) => !name.startsWith('.'))
      .toSorted()
      .toReversed()
    const args = ['run', 'restore-snapshot', kept!, '--yes']
    const after = async () => {
      await place.succeed(['run', 'health', '--wait', '--timeout', '180'], patience)
      await assertEither()
    }
    await atRandomMoments({ args, span: await timed(args), again: true, before: change, after })
  })

  commandTest('sanitize: the source is only read, and no original value is left in what was made', async () => {
    const before = await query(contents)
    const args = ['run', 'sanitize', good]
    const after = async () => assert.is(await query(contents), before)
    await place.succeed(['run', 'restore', good, '--yes'], patience)
    await atRandomMoments({ args, span: await timed(args), after })
  })

  commandTest('migrate: a migration and its record are one', async () => {
    const write = (round: number) =>
      place.write({
        [`migrations/${String(round + 2).padStart(4, '0')}-more.sql`]: `CREATE TABLE more${round} AS SELECT * FROM rows;\nSELECT pg_sleep(1);\n`,
      })
    write(0)
    const args = ['run', 'migrate']
    const span = await timed(args)
    await atRandomMoments({
      args,
      span,
      before: async (round) => write(round + 1),
      after: async (round) => {
        const name = `${String(round + 3).padStart(4, '0')}-more`
        const one = `SELECT (to_regclass('more${round + 1}') IS NOT NULL) = (count(*) = 1) FROM devstack_migrations WHERE name = '${name}'`
        assert.is(await query(one), 't', name)
        await place.succeed(args, patience)
        await query(`SELECT count(*) FROM more${round + 1}`)
      },
    })
  })

  commandTest('reset: what was there is in a backup, and it ends when it is run or resumed again', async () => {
    for (const name of entries(join(place.directory, 'migrations')))
      if (name.endsWith('-more.sql')) rmSync(join(place.directory, 'migrations', name))
    const args = ['run', 'reset', '--yes', ...(form ? [`--${form}`] : [])]
    const span = await timed(args)
    for (let round = 0; round < kills; round += 1) {
      await change()
      const moment = ((round + Math.random()) / kills) * span
      const { exitCode } = await killed(args, () => delay(moment))
      if (exitCode === 0) continue
      const resumed = await place.run(['resume', '--yes'], patience)
      // killed before it had begun there is nothing to go on with
      if (resumed.exitCode === 2) await place.succeed(args, patience)
      else assert.is(resumed.exitCode, 0, resumed.stdout + resumed.stderr)
      process.stdout.write(`reset killed at ${Math.round(moment)} of ${Math.round(span)} ms\n`)
      await assertTidy()
      for (const id of backups()) assertWhole(id)
      assert.is(await query(contents), oldState)
      await place.succeed(['run', 'restore', backups().at(-1)!, '--yes'], patience)
      assert.is(await query(contents), newState)
    }
  })
}

test.run()
