// needs: stack
/** A day on a real stack: restart, pause, psql, recovery from sleep (TC-024), what is stale (TC-029). */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import {
  baseImage,
  cleanUp,
  engineCall,
  inventory,
  projectLabel,
  scenarioEngine,
  uniqueProject,
} from '../support/engine.ts'

const test = suite('lifecycle')
const engine = await scenarioEngine()
/** A cold start on a machine that does other things, too. */
const patience = { timeout: 400_000 }
/** Patroni's shortest; the stack is made with it. */
const leaseMs = 20_000

let place: Checkout
test.before(() => {
  place = checkout({
    name: 'life',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false })] })
`,
    }),
  })
})
test.after(() => place.remove({ engine: true }))

const run = (...words: string[]): Promise<string> => place.succeed(['run', ...words], patience)

interface Status {
  readonly state: string
  readonly services: readonly { readonly service: string; readonly state: string; readonly detail: string }[]
}
const status = async (): Promise<Status> => JSON.parse(await run('status', '--json')) as Status
const leaderOf = ({ services }: Status): string | undefined =>
  services.find(({ detail }) => detail.startsWith('leader, timeline'))?.service

/** Acts on the containers behind the product's back. */
const each = (action: string, services?: readonly string[]): Promise<void> =>
  inventory(place.project).then(async ({ containers }) => {
    const wanted = services
      ? containers.filter((name) => services.some((one) => name.includes(`-${one}-`)))
      : containers
    await Promise.all(
      wanted.map(async (name) => {
        const answer = await engineCall(`/containers/${name}/${action}`, { method: 'POST' })
        assert.ok(answer.status < 300, `${action} of ${name}: ${answer.status} ${answer.text}`)
      }),
    )
  })

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 120_000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within two minutes: ${what}`)
    await delay(200)
  }
}

/** Soon, not at once: on a busy machine a member that got no turn for a second is missed for a moment. */
const healthy = (): Promise<void> => until('healthy', async () => (await status()).state === 'healthy')

const value = async (sql: string): Promise<string> =>
  (
    await place.succeed(['run', 'psql', 'app', '-XtA'], {
      ...patience,
      input: sql,
    })
  ).trim()

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('psql finds the leader and redis-cli the master, through a pipe too; exit codes come through', async () => {
    assert.is((await status()).state, 'uninitialized')
    await run('up')
    await healthy()
    const leader = leaderOf(await status())!

    assert.is(
      await value('CREATE TABLE notes (text text); INSERT INTO notes VALUES (1); SELECT pg_is_in_recovery();\n'),
      'CREATE TABLE\nINSERT 0 1\nf',
    )
    assert.match(await run('psql', '--replica', '-c', 'SELECT pg_is_in_recovery()'), /\n t\n/)
    assert.match(await run('psql', '--user', 'app', '--command', 'SELECT current_user'), /\n app\n/)
    const broken = await place.run(['run', 'psql', '-c', 'SELEC 1'], patience)
    assert.is(broken.exitCode, 1)
    assert.match(broken.stdout + broken.stderr, /syntax error/)

    assert.match(await run('redis-cli', 'SET', 'colour', 'red'), /OK/)
    assert.match(await run('redis-cli', '--replica', 'GET', 'colour'), /red/)
    const shell = await place.run(['run', 'shell', leader], { ...patience, input: 'id -un; exit 7\n' })
    assert.is(shell.exitCode, 7)
    assert.match(shell.stdout, /postgres/)
    assert.match(await place.refused(['run', 'shell', 'nosuch'], patience), /no service "nosuch"/)
  })

  test('restart of one service touches no other; restart of all keeps the data', async () => {
    const started = async (service: string): Promise<string> => {
      const { text } = await engineCall(`/containers/${place.project}-${service}-1/json`)
      return (JSON.parse(text) as { State: { StartedAt: string } }).State.StartedAt
    }
    const [redis, etcd] = [await started('redis3'), await started('etcd1')]
    assert.match(await run('restart', 'redis3'), /redis3 healthy again/)
    assert.is.not(await started('redis3'), redis)
    assert.is(await started('etcd1'), etcd)
    // whoever leads then: the files' first Redis must not be waited for alone
    const failover = 'redis-cli -p 26379 -a "$REDIS_PASSWORD" --no-auth-warning SENTINEL FAILOVER devstack'
    await until('the Sentinels to agree to a failover', async () =>
      /OK/.test(await run('exec', 'sentinel1', 'sh', '-c', failover)),
    )
    await until('another master', async () => {
      const { state, services } = await status()
      const master = services.find(({ detail }) => detail.startsWith('master,'))?.service
      return state === 'healthy' && master !== undefined && master !== 'redis1'
    })
    await run('restart')
    assert.is.not(await started('etcd1'), etcd)
    await healthy()
    assert.is(await value('SELECT count(*) FROM notes'), '1')
    assert.match(await run('redis-cli', 'GET', 'colour'), /red/)
  })

  test('pause freezes all of it, resume gives it back healthy', async () => {
    assert.match(await run('pause'), /12 containers frozen/)
    const frozen = await status()
    assert.is(frozen.state, 'paused')
    assert.ok(frozen.services.every(({ state }) => state === 'paused'))
    assert.match(await run('resume'), /12 containers thawed, healthy after/)
    await healthy()
    assert.match(await run('resume'), /nothing is frozen/)
  })

  test('TC-024: a sleep past the lease, a member that died in it and a jump of the clock are recovered from', async () => {
    await run('pause')
    await delay(leaseMs + 1000)
    await each('unpause', ['redis1'])
    await each('kill', ['redis1'])
    // the machine slept for an hour meanwhile, as far as the clocks tell
    const history = readFileSync(join(place.directory, '.devstack', 'history.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
    const last = JSON.parse(history.pop()!)
    last.clock.awake += 3_600_000
    place.write({ '.devstack/history.jsonl': `${[...history, JSON.stringify(last)].join('\n')}\n` })

    const said = await run('recover')
    assert.match(said, /the machine slept for 60 min/)
    assert.match(said, /frozen: .*postgres1/)
    assert.match(said, /not running: redis1/)
    assert.match(said, /outlived the PostgreSQL leader's lease of 20 s: postgres\d leads/)
    assert.match(said, /healthy again after/)
    await healthy()
    assert.is(await value('INSERT INTO notes VALUES (2); SELECT count(*) FROM notes'), 'INSERT 0 1\n2')
    // on a busy machine a Sentinel that got no turn for two seconds takes that for another jump
    assert.match(await run('recover'), /all was well|TILT/)
    const told = await run('history')
    assert.match(told, /paused/)
    assert.match(told, /thawed/)
  })

  test('TC-029: what a checkout that is gone and a crashed run left is found, and removed once confirmed', async () => {
    const gone = uniqueProject('gone')
    const labels = { [projectLabel]: gone, 'devstack.directory': `/nowhere/${randomBytes(4).toString('hex')}` }
    const make = async (path: string, body: object): Promise<void> => {
      const answer = await engineCall(path, { method: 'POST', body })
      assert.is(answer.status, 201, answer.text)
    }
    try {
      await make('/volumes/create', { Name: `${gone}_data`, Labels: labels })
      await make('/networks/create', { Name: `${gone}_net`, Labels: labels })
      const Image = baseImage
      await make(`/containers/create?name=${gone}-db-1`, { Image, Cmd: ['sleep', '60'], Labels: labels })
      const half = { [projectLabel]: place.project, 'devstack.service': 'etcd9' }
      await make(`/containers/create?name=${place.project}-etcd9-1`, { Image, Cmd: ['sleep', '60'], Labels: half })

      const found = await run('stale', '--project', gone)
      assert.match(found, /container +\S+-db-1: its checkout \/nowhere\/\S+ is gone/)
      assert.match(found, /network +\S+_net/)
      assert.match(found, /volume +\S+_data/)
      assert.match(await run('stale', '--project', place.project), /etcd9-1: a run that did not finish/)
      assert.match(
        await place.refused(['run', 'stale', '--project', gone, '--remove'], patience),
        /volume \S+_data|--yes/,
      )
      assert.is((await inventory(gone)).volumes.length, 1, 'nothing goes unconfirmed')

      assert.match(
        await run('stale', '--project', gone, '--remove', '--yes'),
        /Removed 1 containers, 1 networks, 1 volumes/,
      )
      assert.equal(await inventory(gone), { containers: [], networks: [], volumes: [] })
      await run('stale', '--project', place.project, '--remove', '--yes')
      const own = await inventory(place.project)
      assert.is(own.containers.length, 12)
      assert.ok(own.volumes.length >= 12, 'the data of this project is its own affair')
      await healthy()
    } finally {
      await cleanUp(gone)
    }
  })

  test('clean leaves nothing behind, and the state says so', async () => {
    await place.refused(['run', 'clean', '--credentials'], patience)
    await run('clean', '--credentials', '--yes')
    assert.equal(await inventory(place.project), { containers: [], networks: [], volumes: [] })
    assert.is((await status()).state, 'uninitialized')
  })
}

test.run()
