// needs: stack
/** Data on a real stack: migrations (TC-016), survival of down and up (TC-022), backup and restore (TC-023). */
import { cpSync, existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { Client } from 'pg'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { prepareReading, readContents } from '../../tasks/data/contents.ts'
import { type Checkout, checkout } from '../support/checkout.ts'
import { scenarioEngine } from '../support/engine.ts'
import { engineProxy } from '../support/engine-proxy.ts'
import { exec, leader, psql, redis } from '../support/stack-data.ts'
import { type Key, keys, onTerminal, type TerminalSession, terminalMissing } from '../support/terminal.ts'

const test = suite('data')
const engine = await scenarioEngine()
/** A cold start on a machine that does other things, too. */
const patience = { timeout: 400_000 }

let place: Checkout

const rooms = 'CREATE TABLE rooms (id int PRIMARY KEY, name text NOT NULL);\n'
const guests = `CREATE TABLE guests (id int PRIMARY KEY, room int NOT NULL REFERENCES rooms, name text);
CREATE INDEX guests_room ON guests (room);
`
const configOf = (project: string, rules: string): string => `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
const data = dataPack({ sanitize: ${rules} })
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), data] })
`

test.before(() => {
  place = checkout({
    name: 'data',
    files: (project) => ({
      'devstack.config.ts': configOf(project, "{ guests: { columns: { name: 'hash' }, sample: 0.5 } }"),
      'migrations/0001-rooms.sql': rooms,
      'migrations/0002-guests.sql': guests,
      'seeds/0001-rooms.sql': `INSERT INTO rooms VALUES (1, 'Red'), (2, 'Blue') ON CONFLICT DO NOTHING;
INSERT INTO guests SELECT n, 1 + n % 2, 'guest ' || n FROM generate_series(1, 1000) n ON CONFLICT DO NOTHING;
`,
    }),
  })
})
test.after(() => place.remove({ engine: true }))

/** What a command says that fails, wherever it says it. */
const fails = async (args: readonly string[], { exitCode = 2 }: { exitCode?: number } = {}): Promise<string> => {
  const ended = await place.run(args, patience)
  const said = `${ended.stdout}\n${ended.stderr}`
  assert.is(ended.exitCode, exitCode, said)
  return said
}

const backups = (): string[] => {
  const folder = join(place.directory, 'backups')
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /^\d{8}-/.test(name))
        .sort()
    : []
}
/** A command as a person types it, with the keys that are pressed. */
const typed = (args: string, keyboard: readonly Key[]): Promise<TerminalSession> => {
  const command = join(dirname(dirname(import.meta.dirname)), 'bin', 'devstack.cjs')
  return onTerminal(`${process.execPath} ${command} ${args}`, { cwd: place.directory, keyboard, ...patience })
}
interface SnapshotFacts {
  readonly id: string
  readonly bytes: number
  readonly rawBytes: number
  readonly volumes: readonly unknown[]
}
const latestSnapshot = (): SnapshotFacts => {
  const folder = join(place.directory, 'snapshots')
  const ids = readdirSync(folder).filter((name) => /^\d/.test(name))
  return JSON.parse(readFileSync(join(folder, ids.sort().at(-1)!, 'snapshot.json'), 'utf8'))
}

/** Every way in which a column is hashed, and pairs of tables that differ in one respect. */
const tablesOfAllTypes = `CREATE TYPE mood AS ENUM ('calm'); CREATE DOMAIN label AS text;
CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE "all ""types" (a int2, b int4, c int8, d oid, e bool, f text, g varchar(9), h char(4), i uuid, j timestamp,
  k timestamptz, l date, m numeric, n float8, o jsonb, p bytea, q mood, r label, s int[], t inet, u text COLLATE folded,
  "v' ""w" interval, x int GENERATED ALWAYS AS (b * 2) STORED);
INSERT INTO "all ""types" VALUES (1, 2, 3, 4, true, 'f', 'g', 'h', '00000000-0000-0000-0000-000000000001', 'infinity',
  '-infinity', 'infinity', 1.10, 'nan', '{"a": 1}', '\\x01', 'calm', 'r', '{1,2}', '::1', 'Ab', '1 day');
INSERT INTO "all ""types" VALUES (2);
CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES;
CREATE TABLE dropped (a int, b int, c text); ALTER TABLE dropped DROP COLUMN b; INSERT INTO dropped VALUES (1, 'x');
CREATE TABLE created (a int, c text); INSERT INTO created VALUES (1, 'x');
CREATE TABLE pairs (a text, b text); INSERT INTO pairs VALUES ('w', 'x'), ('y', 'z');
CREATE TABLE swapped (a text, b text); INSERT INTO swapped VALUES ('x', 'w'), ('y', 'z');
CREATE TABLE crossed (a text, b text); INSERT INTO crossed VALUES ('w', 'z'), ('y', 'x');
CREATE TABLE left_null (a int, b int); INSERT INTO left_null VALUES (NULL, 1);
CREATE TABLE right_null (a int, b int); INSERT INTO right_null VALUES (1, NULL);
CREATE TABLE scales (a numeric); INSERT INTO scales VALUES (1.0);
CREATE TABLE other_scales (a numeric); INSERT INTO other_scales VALUES (1.00);`

const counted = "SELECT (SELECT count(*) FROM rooms) || ' ' || (SELECT count(*) FROM guests)"

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('TC-016: migrations are applied in order, recorded, seen by the replicas, and refused once edited', async () => {
    assert.match(await fails(['run', 'migrate'], { exitCode: 1 }), /STACK_NOT_UP|not up/)
    await place.succeed(['run', 'up'], patience)

    await place.succeed(['run', 'migrate', '--dry-run'], patience)
    assert.is(await psql(place, "SELECT to_regclass('rooms') IS NULL"), 't')

    await place.succeed(['run', 'migrate', '--to', '1'], patience)
    assert.is(await psql(place, "SELECT to_regclass('rooms') IS NOT NULL AND to_regclass('guests') IS NULL"), 't')
    await place.succeed(['run', 'migrate'], patience)
    for (const member of ['postgres1', 'postgres2', 'postgres3'])
      assert.is(await psql(place, "SELECT to_regclass('guests') IS NOT NULL", { member }), 't', `${member} has it`)
    assert.is(
      await psql(place, "SELECT string_agg(name, ' ' ORDER BY id) FROM devstack_migrations"),
      '0001-rooms 0002-guests',
    )
    assert.is(await psql(place, "SELECT tableowner FROM pg_tables WHERE tablename = 'guests'"), 'app')

    place.write({ 'migrations/0001-rooms.sql': `${rooms}-- changed\n` })
    assert.match(await fails(['run', 'migrate']), /0001-rooms was edited/)
    place.write({ 'migrations/0001-rooms.sql': rooms, 'migrations/0003-broken.sql': 'CREATE TABLE a ();\nSELEC 1;\n' })
    const broken = await fails(['run', 'migrate', '--no-backup'], { exitCode: 1 })
    assert.match(broken, /0003-broken\.sql:2:1/)
    assert.is(await psql(place, "SELECT to_regclass('a') IS NULL"), 't', 'nothing of it is left')
    place.write({ 'migrations/0003-broken.sql': 'BEGIN;\nCREATE TABLE a ();\nCOMMIT;\nSELECT 1/0;\n' })
    assert.match(await fails(['run', 'migrate', '--no-backup']), /says BEGIN[\s\S]*0003-broken\.sql:1:1/)
    assert.is(await psql(place, "SELECT to_regclass('a') IS NULL"), 't', 'nothing of it was run')
    place.write({ 'migrations/0003-broken.sql': 'CREATE TABLE a ();\n' })
    await place.succeed(['run', 'migrate', '--no-backup'], patience)

    await place.succeed(['run', 'seed'], patience)
    await place.succeed(['run', 'seed'], patience)
    assert.match(await place.succeed(['undo', '--yes'], patience), /did nothing that can be undone/)
    assert.is(await psql(place, counted), '2 1000', 'twice is once')
  })

  test('TC-023: a backup is proved, brought back into the running cluster, and undone', async () => {
    await redis(place, ['MSET', 'one', '1', 'two words', '2'])
    // columns are hashed as they are or as text, as their types allow
    await psql(place, "CREATE TABLE mixed AS SELECT '{}'::json AS a, 1.50::numeric AS b, ARRAY[1, NULL] AS c, 'é' AS t")
    await psql(place, "CREATE TABLE plain AS SELECT 'the name of an alias' AS t")
    await place.succeed(['run', 'backup', '--verify'], patience)
    const id = backups().at(-1)!
    const folder = join(place.directory, 'backups', id)
    const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
    assert.is(manifest.redis.keys, 2)
    const sums = Object.fromEntries(
      manifest.postgres.databases[0].tables.map((table: { name: string; checksum: string }) => [
        table.name,
        table.checksum,
      ]),
    )
    for (const name of ['guests', 'mixed', 'plain']) assert.match(sums[`public.${name}`], /^columns:-?\d+$/)
    assert.ok(existsSync(join(folder, 'verified.json')))

    await psql(place, 'DROP TABLE mixed, plain; DROP TABLE guests; UPDATE rooms SET name = upper(name)')
    await redis(place, ['FLUSHALL'])
    assert.match(await fails(['run', 'restore', id]), /needs a confirmation, and there is no terminal/)
    await place.succeed(['run', 'restore', id, '--yes'], patience)
    assert.is(await psql(place, counted), '2 1000')
    assert.is(await psql(place, "SELECT string_agg(name, ' ' ORDER BY id) FROM rooms"), 'Red Blue')
    assert.is(await redis(place, ['GET', 'two words']), '2')
    for (const member of ['postgres1', 'postgres2', 'postgres3'])
      assert.is(await psql(place, counted, { member }), '2 1000', `${member} has it`)
    const databases = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database WHERE NOT datistemplate"
    assert.is(await psql(place, databases), 'app postgres')

    await psql(place, "INSERT INTO rooms VALUES (77, 'made after the restore')")
    const undone = await place.succeed(['undo', '--yes'], patience)
    const [, before] = /what was there until now: devstack run restore (\S+)/.exec(undone) ?? []
    assert.is(before, backups().at(-1))
    assert.is(
      JSON.parse(readFileSync(join(place.directory, 'backups', before!, 'manifest.json'), 'utf8')).reason,
      'before undo',
    )
    assert.is(await psql(place, "SELECT to_regclass('guests') IS NULL"), 't', 'as it was before the restore')
    assert.is(await psql(place, "SELECT string_agg(name, ' ' ORDER BY id) FROM rooms"), 'RED BLUE')
    assert.is(await redis(place, ['DBSIZE']), '0')
    await place.succeed(['run', 'restore', id, '--no-backup', '--yes'], patience)
    assert.is(await psql(place, counted), '2 1000')
  })

  test('what a client was told is written during a restore is there after it, or after its undo', async () => {
    await psql(place, 'CREATE TABLE acknowledged (n int)')
    await place.succeed(['run', 'backup'], patience)
    const insert = 'psql -X -q -d app -c "INSERT INTO acknowledged VALUES ($n)"'
    const loop = `for n in $(seq 500); do ${insert} >/dev/null 2>&1 && echo $n; sleep 0.02; done`
    const writing = exec(place, await leader(place), ['sh', '-c', loop])
    await place.succeed(['run', 'restore', backups().at(-1)!, '--yes'], patience)
    const acknowledged = (await writing).split('\n')
    const present = async () => (await psql(place, 'SELECT n FROM acknowledged')).split('\n')
    const after = await present()
    await place.succeed(['undo', '--yes'], patience)
    const known = new Set([...after, ...(await present())])
    assert.equal(
      acknowledged.filter((n) => !known.has(n)),
      [],
    )
    await psql(place, 'DROP TABLE acknowledged')
  })

  const missing = terminalMissing()
  if (missing !== undefined) test.skip(`restore asks which: not run: ${missing}`, () => {})
  else {
    test('restore without a name lets the person choose by arrow keys; Ctrl-C changes nothing', async () => {
      const agree: Key = { after: /what the databases and Redis of .* hold now[\s\S]*Go on\?/, press: `y${keys.enter}` }
      const older = backups().find((id) => existsSync(join(place.directory, 'backups', id, 'verified.json')))
      await psql(place, 'TRUNCATE guests')
      const left = await typed('run restore', [agree, { after: /Which backup\?/, press: keys.interrupt }])
      assert.is(left.exitCode, 130, left.text)
      assert.is(await psql(place, counted), '2 0')
      const newestFirst = backups().toReversed()
      const steps = newestFirst.indexOf(older!)
      const keyboard: Key[] = [
        agree,
        { after: /Which backup\?[\s\S]*before restore/, press: keys.down.repeat(steps) + keys.enter },
      ]
      const chosen = await typed('run restore', keyboard)
      assert.is(chosen.exitCode, 0, chosen.text)
      assert.is(await psql(place, counted), '2 1000')
    })
  }

  test('ten backups are kept, the newest, whoever makes one; --keep says otherwise', async () => {
    const [oldest] = backups()
    const folder = join(place.directory, 'backups')
    const manifest = JSON.parse(readFileSync(join(folder, oldest!, 'manifest.json'), 'utf8'))
    for (let day = 10; day < 22; day += 1) {
      const id = `202001${day}-000000-0000`
      cpSync(join(folder, oldest!), join(folder, id), { recursive: true })
      const createdAt = `2020-01-${day}T00:00:00.000Z`
      writeFileSync(join(folder, id, 'manifest.json'), JSON.stringify({ ...manifest, id, createdAt }))
    }
    const made = backups()
    await place.succeed(['run', 'backup'], patience)
    assert.equal(backups().slice(0, -1), made.slice(-9), 'the oldest are gone')
    await place.succeed(['run', 'backup', '--keep', '4'], patience)
    assert.is(backups().length, 4)
    assert.equal(backups().slice(0, 3), made.slice(-2).concat(backups()[2]!))
  })

  test('no original value is left in a sanitized backup, and a column without a rule is refused', async () => {
    const before = backups()
    const unruled = await fails(['run', 'sanitize'])
    assert.not.match(unruled, /app\.dump|throwaway/, 'before anything is dumped')
    assert.match(unruled, /public\.rooms\.name: its name says name/)
    assert.not.match(unruled, /public\.guests\.name/)
    const rules = "{ guests: { columns: { name: 'hash' }, sample: 0.5 }, rooms: { columns: { name: 'keep' } } }"
    place.write({ 'devstack.config.ts': configOf(place.project, rules) })
    assert.match(await fails(['run', 'seed', '--from-snapshot', backups()[0]!]), /is not sanitized/)
    await place.succeed(['run', 'sanitize'], patience)
    assert.equal(backups().slice(0, -1), before, 'one more, and the copy it was made of is gone')
    await place.succeed(['run', 'seed', '--from-snapshot', 'latest'], patience)
    const dump = await exec(place, 'postgres1', ['pg_dump', '--dbname=app'])
    assert.match(dump, /Blue/)
    assert.not.match(dump, /guest \d/)
    const rows = Number(await psql(place, 'SELECT count(*) FROM guests'))
    assert.ok(rows > 300 && rows < 700, `${rows} of 1000 rows are about half`)
    assert.is(await psql(place, 'SELECT count(*) FROM guests JOIN rooms ON rooms.id = room'), String(rows))
    await place.succeed(['undo', '--yes'], patience)
    assert.is(await psql(place, counted), '2 1000')
  })

  test('personal data is seeded only when that is asked for and confirmed', async () => {
    await place.succeed(['run', 'backup'], patience)
    const source = backups().at(-1)!
    const args = ['run', 'seed', '--from-snapshot', source, '--unsanitized']
    await psql(place, 'TRUNCATE guests')
    assert.match(await fails(args), /needs a confirmation, and there is no terminal/)
    if (missing === undefined) {
      const keyboard = [{ after: /personal data of backup/, press: `n${keys.enter}` }]
      const declined = await typed(args.join(' '), keyboard)
      assert.is(declined.exitCode, 1, declined.text)
    }
    assert.is(await psql(place, counted), '2 0')
    await place.succeed([...args, '--yes'], patience)
    assert.is(await psql(place, counted), '2 1000')
  })

  test('a damaged backup is refused before anything is touched', async () => {
    const id = backups().at(-1)!
    truncateSync(join(place.directory, 'backups', id, 'app.dump'), 100)
    assert.match(await fails(['run', 'restore', id, '--yes'], { exitCode: 1 }), /app\.dump has 100 bytes/)
    assert.match(await fails(['run', 'restore', 'nosuch']), /no backup "nosuch"/)
    assert.match(await fails(['run', 'restore', 'latest', '--at', '1 hour ago']), /can not stand beside a backup/)
    assert.is(await psql(place, counted), '2 1000')
  })

  test('what a killed restore left for a cluster that is gone is not done to another one', async () => {
    const state = join(place.directory, 'backups', '.restore.json')
    const left = { backup: backups()[0], cluster: '7000000000000000001', stage: 'switching', databases: ['app'] }
    writeFileSync(state, JSON.stringify({ ...left, owner: {} }))
    const { stdout, stderr } = await place.run(['run', 'status'], patience)
    assert.match(`${stdout}${stderr}`, /its cluster is gone: there is nothing to finish/)
    assert.not(existsSync(state))
    assert.is(await psql(place, counted), '2 1000')
    assert.is(await redis(place, ['GET', 'one']), '1')
  })

  test('reset destroys nothing that it can not back up first', async () => {
    await place.succeed(['run', 'pause'], patience)
    assert.match(
      await fails(['run', 'reset', '--yes'], { exitCode: 1 }),
      /PostgreSQL is paused, so what it holds can not be backed up[\s\S]*devstack run resume/,
    )
    await place.succeed(['run', 'resume'], patience)
    assert.is(await psql(place, counted), '2 1000')
    assert.match(await fails(['run', 'reset', '--no-backup']), /holds, without a backup of it/)
  })

  test('checksums tell of values that changed places, and are the same however columns came to be', async () => {
    const { POSTGRES_PASSWORD: password, ...env } = parseEnv(readFileSync(join(place.directory, '.env.local'), 'utf8'))
    const port = Number(env[`${(await leader(place)).toUpperCase()}_PORT`])
    // not one of the databases that are backed up
    await psql(place, 'CREATE DATABASE devstack_checksums')
    const client = new Client({ host: '127.0.0.1', port, user: 'postgres', password, database: 'devstack_checksums' })
    await client.connect()
    try {
      await client.query(tablesOfAllTypes)
      await prepareReading(client, { alone: true })
      const sums = async (): Promise<Record<string, string>> =>
        Object.fromEntries((await readContents(client)).map(({ name, checksum }) => [name, checksum]))
      const first = await sums()
      assert.is(first['public.dropped'], first['public.created'], 'a dropped column leaves no trace')
      assert.is.not(first['public.pairs'], first['public.swapped'], 'within a row')
      assert.is.not(first['public.pairs'], first['public.crossed'], 'between rows')
      assert.is.not(first['public.left_null'], first['public.right_null'])
      assert.is.not(first['public.scales'], first['public.other_scales'], 'equal numbers of another scale')
      assert.match(first['public."all ""types"']!, /^columns:-?\d+$/)
      await client.query(`UPDATE public."all ""types" SET o = '{"a": 2}' WHERE a = 1`)
      assert.is.not((await sums())['public."all ""types"'], first['public."all ""types"'])
      // backups of earlier versions are compared as they were made
      for (const prefix of ['rows:', '']) {
        const expected = [{ name: 'public.pairs', rows: 2, checksum: `${prefix}1` }]
        const found = (await readContents(client, expected)).find(({ name }) => name === 'public.pairs')
        assert.match(found!.checksum, new RegExp(`^${prefix}-?\\d+$`))
      }
    } finally {
      await client.end()
      await psql(place, 'DROP DATABASE devstack_checksums')
    }
  })

  test('a snapshot puts all volumes back, also one of an engine that does not see the files of this machine', async () => {
    await place.succeed(['run', 'snapshot'], patience)
    const here = latestSnapshot()
    let refused = 0
    const proxy = await engineProxy(join(place.directory, 'engine.sock'), (request) => {
      if (!/\/containers\/create\?name=\S*-scratch-/.test(request) || refused > 0) return 'pass'
      refused += 1
      return { status: 400, message: 'invalid mount config for type "bind": bind source path does not exist: /x' }
    })
    try {
      await place.succeed(['run', 'snapshot'], { ...patience, env: { DOCKER_HOST: proxy.address } })
    } finally {
      await proxy.close()
    }
    assert.is(refused, 1)
    const elsewhere = latestSnapshot()
    assert.is.not(elsewhere.id, here.id)
    for (const { id, bytes, rawBytes, volumes } of [here, elsewhere]) {
      assert.is(volumes.length, 13, 'twelve of the services, one of pgBackRest')
      assert.ok(bytes > 1e6 && rawBytes > bytes)
      await psql(place, 'DELETE FROM guests')
      await place.succeed(['run', 'restore-snapshot', id, '--no-backup', '--yes'], patience)
      assert.is(await psql(place, counted), '2 1000')
    }
  })

  test('TC-022: data survives down and up', async () => {
    await place.succeed(['run', 'down'], patience)
    assert.match(
      await fails(['run', 'reset', '--yes'], { exitCode: 1 }),
      /PostgreSQL does not run[\s\S]*devstack run up/,
    )
    await place.succeed(['run', 'up'], patience)
    assert.is(await psql(place, counted), '2 1000')
    assert.is(await redis(place, ['GET', 'one']), '1')
    await place.succeed(['run', 'flush-cache', '--yes'], patience)
    assert.is(await redis(place, ['DBSIZE']), '0')
  })
}

test.run()
