// deadline: 1800s
/** Back to a moment, also across a failover, and whole volumes put back with their owners. */
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall, scenarioEngine } from '../support/engine.ts'
import { exec, psql, redis } from '../support/stack-data.ts'

const test = suite('recovery')
const engine = await scenarioEngine()
const patience = { timeout: 600_000 }
const now = 'SELECT to_char(clock_timestamp() AT TIME ZONE \'UTC\', \'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"\')'

let place: Checkout

test.before(() => {
  place = checkout({
    name: 'recovery',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack()] })
`,
    }),
  })
})
test.after(() => place.remove({ engine: true }))

async function leader(): Promise<string> {
  for (const member of ['postgres1', 'postgres2', 'postgres3']) {
    const follows = await psql(place, 'SELECT pg_is_in_recovery()', { member }).catch(() => '')
    if (follows === 'f') return member
  }
  throw new Error('no PostgreSQL leads')
}

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('a lost table comes back as it was a second before', async () => {
    await place.succeed(['run', 'up'], patience)
    await place.succeed(['run', 'pitr:enable'], patience)
    await psql(place, 'CREATE TABLE rows AS SELECT n AS id FROM generate_series(1, 5000) n')
    // the archive's clock has whole seconds
    await delay(1100)
    const before = await psql(place, now)
    await delay(1100)
    await psql(place, 'DROP TABLE rows')
    await place.succeed(['run', 'restore', '--at', before, '--yes'], patience)
    assert.is(await psql(place, 'SELECT count(*) FROM rows'), '5000')
    await place.succeed(['undo', '--yes'], patience)
    assert.is(await psql(place, "SELECT to_regclass('rows') IS NULL"), 't')
    await place.succeed(['run', 'restore', '--at', before, '--yes'], patience)
  })

  test('whoever leads archives: a moment after a failover can be reached as well', async () => {
    const was = await leader()
    const stopped = await engineCall(`/containers/${place.project}-${was}-1/restart?t=1`, { method: 'POST' })
    assert.is(stopped.status, 204)
    await place.succeed(['run', 'health', '--wait', '--timeout', '180'], patience)
    await psql(place, 'INSERT INTO rows SELECT n FROM generate_series(5001, 6000) n')
    await delay(1100)
    const before = await psql(place, now)
    await delay(1100)
    await psql(place, 'TRUNCATE rows')
    await place.succeed(['run', 'restore', '--at', before, '--no-backup', '--yes'], patience)
    assert.is(await psql(place, 'SELECT count(*) FROM rows'), '6000')
    const early = await place.run(['run', 'restore', '--at', '300 days ago', '--yes'], patience)
    assert.match(early.stdout + early.stderr, /before the first base backup/)
  })

  test('volumes are put back byte for byte, with owners and modes', async () => {
    await redis(place, ['SET', 'state', 'kept'])
    const owners = ['sh', '-c', 'stat -c "%u %g %a" /var/lib/postgresql/data/main /var/lib/postgresql/data/main/base']
    const before = await exec(place, 'postgres1', owners)
    await place.succeed(['run', 'snapshot'], patience)
    await psql(place, 'DROP TABLE rows')
    await redis(place, ['FLUSHALL'])
    await place.succeed(['run', 'restore-snapshot', 'latest', '--no-backup', '--yes'], patience)
    await place.succeed(['run', 'health', '--wait', '--timeout', '180'], patience)
    assert.is(await psql(place, 'SELECT count(*) FROM rows'), '6000')
    assert.is(await redis(place, ['GET', 'state']), 'kept')
    assert.is(await exec(place, 'postgres1', owners), before)
  })
}

test.run()
