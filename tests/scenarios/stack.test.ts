// needs: stack
/** The main job on a real engine: `up` from nothing, again, changed, interrupted, killed; `down`; health and its exit codes. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall, inventory, scenarioEngine } from '../support/engine.ts'

const test = suite('stack')
const engine = await scenarioEngine()

const services = [
  ...['etcd1', 'etcd2', 'etcd3', 'postgres1', 'postgres2', 'postgres3', 'redis1', 'redis2', 'redis3'],
  ...['sentinel1', 'sentinel2', 'sentinel3'],
]
/** A cold start on a machine that does other things, too. */
const patience = { timeout: 400_000 }

/** Each kills one `down` and one `up`; more of them by hand: KILL_ROUNDS=10. */
const rounds = Number(process.env['KILL_ROUNDS'] ?? 3)

let place: Checkout

test.before(() => {
  place = checkout({
    name: 'stack',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false })] })
`,
    }),
  })
})
test.after(() => place.remove({ engine: true }))

interface Listed {
  readonly Id: string
  readonly Names: readonly string[]
  readonly State: string
  readonly Ports: readonly { readonly IP?: string; readonly PublicPort?: number }[]
  readonly Labels: Readonly<Record<string, string>>
}

async function containers(): Promise<readonly Listed[]> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`devstack.project=${place.project}`] }))
  return JSON.parse((await engineCall(`/containers/json?all=true&filters=${filters}`)).text)
}

async function idsByService(): Promise<Map<string, string>> {
  return new Map((await containers()).map(({ Id, Labels }) => [Labels['devstack.service']!, Id]))
}

async function psql(sql: string): Promise<string> {
  const health: { services: { service: string; detail: string }[] } = JSON.parse(
    await place.succeed(['run', 'health', '--json', '--wait', '--timeout', '60']),
  )
  const leader = health.services.find(({ detail }) => detail.startsWith('leader, timeline'))!.service
  const words = ['run', 'exec', leader, '--', 'psql', '-U', 'postgres', '-qtAc', sql]
  return (await place.succeed(words.filter((word) => word !== '--'))).trim()
}

test('up: from nothing to twelve services that are really healthy (TC-001, 003, 004, 005)', async () => {
  const shown = await place.succeed(['run', 'up'], patience)
  for (const service of services) assert.match(shown, new RegExp(`^${service} +healthy +127\\.0\\.0\\.1:\\d+`, 'm'))
  assert.match(shown, /succeeded in .*\n +critical path/)
  const health = JSON.parse(await place.succeed(['run', 'health', '--json']))
  assert.is(health.healthy, true)
  assert.equal(
    health.services.map(({ service }: { service: string }) => service),
    services,
  )
  const details = health.services.map(({ detail }: { detail: string }) => detail).join('\n')
  assert.match(details, /leader, 3 members started/)
  const replicas = 'SELECT sync_state FROM pg_stat_replication ORDER BY sync_state'
  assert.is(await psql(replicas), 'async\nsync', 'a synchronous standby from the first moment')
  assert.match(details, /master, 2 replicas/)
  assert.match(details, /2 replicas, 3 Sentinels/)
})

test('credentials are this checkout’s own, readable by nobody else, and shown nowhere', async () => {
  const file = join(place.directory, '.env.local')
  assert.is(statSync(file).mode & 0o777, 0o600)
  const text = readFileSync(file, 'utf8')
  const secrets = [...text.matchAll(/^\w*PASSWORD=(.+)$/gm)].map((match) => match[1]!)
  assert.is(secrets.length, 5)
  assert.is(new Set(secrets).size, 5)
  const runs = join(place.directory, '.devstack', 'runs')
  const journals = readdirSync(runs)
    .map((name) => readFileSync(join(runs, name), 'utf8'))
    .join('\n')
  const labels = JSON.stringify((await containers()).map(({ Labels }) => Labels))
  const config = await place.succeed(['run', 'status'])
  for (const secret of secrets) {
    for (const [where, shown] of Object.entries({ journals, labels, config })) {
      assert.not.ok(shown.includes(secret), `a password stands in ${where}`)
    }
  }
})

test('ports are published on 127.0.0.1 alone', async () => {
  const published = (await containers()).flatMap(({ Ports }) => Ports).filter(({ PublicPort }) => PublicPort)
  assert.ok(published.length >= services.length)
  for (const { IP } of published) assert.is(IP, '127.0.0.1')
})

test('a second up changes nothing, and the plan says so', async () => {
  const before = await idsByService()
  const plan: { node: string; decision: string; effect: string }[] = JSON.parse(
    await place.succeed(['plan', '--json', 'up']),
  )
  const acting = plan.filter(
    ({ node, decision }) => decision === 'run' && / (create|start)$|^image|^networks/.test(node),
  )
  assert.equal(acting, [])
  await place.succeed(['run', 'up'], patience)
  assert.equal(await idsByService(), before)
})

test('health: exit codes 0, 1, 2 and 3 (TC-002)', async () => {
  await place.succeed(['run', 'health', '--services', 'etcd1,redis1'])
  assert.match(await place.refused(['run', 'health', '--services', 'etcd9']), 'Did you mean')
  const id = (await idsByService()).get('redis3')!
  await engineCall(`/containers/${id}/pause`, { method: 'POST' })
  const unhealthy = await place.refused(['run', 'health'], { exitCode: 1 })
  // the Sentinels notice it, too
  assert.match(unhealthy, /of 12 services (is|are) unhealthy: redis3/)
  assert.match(
    await place.refused(['run', 'health', '--wait', '--timeout', '1'], { exitCode: 3 }),
    /unhealthy after 1 s: redis3/,
  )
  await engineCall(`/containers/${id}/unpause`, { method: 'POST' })
  await place.succeed(['run', 'health', '--wait', '--timeout', '60'])
})

test('logs: several services interleaved, filtered (TC-026)', async () => {
  const lines = await place.succeed(['run', 'logs', 'redis1', 'sentinel1', '--tail', '20'])
  assert.match(lines, /^redis1 +\| /m)
  assert.match(lines, /^sentinel1 +\| /m)
  assert.not.match(lines, /^etcd/m)
  assert.is(await place.succeed(['run', 'logs', 'redis1', '--grep', 'there is no such line']), '')
  assert.match(await place.refused(['run', 'logs', '--grep', '(']), 'regular expression')
})

test('what differs is recreated alone, and why names it', async () => {
  const before = await idsByService()
  const env = { SENTINEL_DOWN_AFTER_MS: '1500' }
  const why = await place.succeed(['why', 'up'], { env })
  assert.match(why, /SENTINEL_DOWN_AFTER/)
  await place.succeed(['run', 'up'], { ...patience, env })
  const after = await idsByService()
  const changed = services.filter((service) => before.get(service) !== after.get(service))
  assert.equal(changed, ['sentinel1', 'sentinel2', 'sentinel3'])
})

test('data survives down and up; down leaves no container and no network (TC-022, 030)', async () => {
  await psql('CREATE TABLE kept (id int); INSERT INTO kept VALUES (42)')
  const { volumes } = await inventory(place.project)
  await place.succeed(['run', 'down', '--yes'], patience)
  const left = await inventory(place.project)
  assert.equal(left.containers, [])
  assert.equal(left.networks, [])
  assert.ok(volumes.length >= services.length)
  assert.equal(left.volumes, volumes)
  await place.succeed(['run', 'up'], patience)
  assert.is(await psql('SELECT id FROM kept'), '42')
})

test('a second up waits for the first, saying so', async () => {
  await place.succeed(['run', 'down', '--yes'], patience)
  const first = place.start(['run', 'up'], patience)
  await first.seen(/etcd1/)
  const second = place.start(['run', 'up'], patience)
  await second.seen(/held by|waits for/)
  const [one, two] = await Promise.all([first.ended, second.ended])
  assert.is(one.exitCode, 0, one.stdout + one.stderr)
  assert.is(two.exitCode, 0, two.stdout + two.stderr)
  assert.is((await containers()).length, 12)
})

test('Ctrl-C during up stops cleanly, and the next up goes on from there', async () => {
  await place.succeed(['run', 'down', '--yes'], patience)
  const up = place.start(['run', 'up'], patience)
  await up.seen(/^etcd\d +: ready/m)
  up.signal('SIGINT')
  const ended = await up.ended
  assert.is(ended.exitCode, 130, ended.stdout + ended.stderr)
  await place.succeed(['run', 'up'], patience)
  await place.succeed(['run', 'health', '--wait', '--timeout', '60'])
})

test('killed at random moments of down and up: the next up heals, without duplicates or orphans', async () => {
  // the moment is a fact of the run, not a time: the n-th line of its journal-like output
  for (let round = 1; round <= rounds; round += 1) {
    const down = place.start(['run', 'down', '--yes', '--json'], patience)
    await lines(down, 3 + Math.floor(Math.random() * 8))
    down.signal('SIGKILL')
    await down.ended
    const up = place.start(['run', 'up', '--json'], patience)
    await lines(up, 5 + Math.floor(Math.random() * 90))
    up.signal('SIGKILL')
    await up.ended
    const shown = await place.succeed(['run', 'up'], patience)
    assert.ok(shown.includes('succeeded'), `round ${round}`)
    const names = (await containers()).map(({ Labels }) => Labels['devstack.service']!)
    assert.equal([...names].sort(), [...services].sort())
    await place.succeed(['run', 'health', '--wait', '--timeout', '60'])
  }
})

/** Resolves once the command has printed so many lines, or has ended. */
async function lines(command: ReturnType<Checkout['start']>, count: number): Promise<void> {
  await command.seen(new RegExp(`(?:[^\\n]*\\n){${count}}`)).catch(() => {})
}

test('down --volumes destroys only after a confirmation', async () => {
  const before = await inventory(place.project)
  const refusal = await place.refused(['run', 'down', '--volumes'])
  assert.match(refusal, '--yes')
  assert.match(refusal, `${place.project}_postgres1`)
  assert.equal(await inventory(place.project), before)
  await place.succeed(['run', 'down', '--volumes', '--yes'], patience)
  assert.equal(await inventory(place.project), { containers: [], networks: [], volumes: [] })
})

if (engine.state === 'missing') console.log(`not run: ${engine.reason}`)
else test.run()
