/** A user's own compose file as a stack, from the command line: good days and bad ones. */
import { mkdirSync, rmdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { baseImage, engineCall, inventory, scenarioEngine } from '../support/engine.ts'
import { engineProxy, type Treatment } from '../support/engine-proxy.ts'

const test = suite('compose')
const engine = await scenarioEngine()
const open: Checkout[] = []

/** A project whose config is one compose file and, when given, tasks of its own. */
function stackOf(yaml: string, tasks = ''): Checkout {
  const place = checkout({
    name: 'compose',
    files: (project) => ({
      'compose.yaml': yaml,
      'devstack.config.ts': `import { after, defineConfig, task, http } from 'devstack'
import { compose } from 'devstack/packs'
const stack = compose('compose.yaml')
void after, task, http
export default defineConfig({ name: '${project}', use: [stack], tasks: {${tasks}} })
`,
    }),
  })
  open.push(place)
  return place
}

test.after(async () => {
  for (const place of open) await place.remove({ engine: true })
})

const sleeper = `
    image: ${baseImage}
    command: [sleep, infinity]
    init: true
    network_mode: none
    stop_grace_period: 0s`

test('services start in the order of depends_on, each behind its condition', async () => {
  const place = stackOf(`services:
  setup:
    image: ${baseImage}
    command: [sh, -c, 'echo made > /data/made']
    volumes: ['data:/data']
    network_mode: none
  server:${sleeper}
    volumes: ['data:/data']
    healthcheck: { test: [CMD, test, -f, /data/made], interval: 30s, timeout: 5s }
    depends_on: { setup: { condition: service_completed_successfully } }
  client:${sleeper}
    depends_on: { server: { condition: service_healthy } }
volumes: { data: {} }
`)
  const shown = await place.succeed(['run', 'up', '--verbose'])
  const at = (text: string): number => {
    const found = shown.indexOf(text)
    assert.ok(found >= 0, `"${text}" is not in\n${shown}`)
    return found
  }
  assert.ok(at('setup completed') < at('server start '))
  assert.ok(shown.indexOf('ready', at('server ')) < at('client start '))
  const again: { node: string; decision: string }[] = JSON.parse(await place.succeed(['plan', '--json', 'up']))
  assert.equal(
    again.filter(({ node, decision }) => / create$/.test(node) && decision === 'run'),
    [],
  )
  const { services: status }: { services: { service: string }[] } = JSON.parse(
    await place.succeed(['run', 'status', '--json']),
  )
  assert.equal(status.map(({ service }) => service).sort(), ['client', 'server', 'setup'])
  assert.is((await place.succeed(['run', 'exec', 'server', 'cat', '/data/made'])).trim(), 'made')
  await place.succeed(['run', 'down', '--volumes', '--yes'])
  assert.equal(await inventory(place.project), { containers: [], networks: [], volumes: [] })
})

test('a variable that is not set is one warning of the run, also when nothing is left to do', async () => {
  const place = stackOf(`services:
  a:${sleeper}
    labels: { note: "\${UNSET}", other: "\${UNSET}" }
  b:${sleeper}
`)
  for (const args of [
    ['run', 'up'],
    ['run', 'up'],
  ])
    assert.equal((await place.succeed(args)).match(/Warning: The variable .*/g)?.length, 1)
  assert.match(
    await place.succeed(['run', 'up']),
    /Warning: The variable UNSET is not set: it counts as empty \(.*compose\.yaml:8:21\)\./,
  )
  await place.succeed(['run', 'down', '--volumes', '--yes'])
})

test('a task of the config needs a service of the file', async () => {
  const place = stackOf(
    `services:\n  db:${sleeper}\n`,
    `ask: task({ needs: { db: stack.service('db') }, effect: 'read', run: ({ needs, log }) => log('db is ' + needs.db.name) }),
     typo: task({ needs: { db: stack.service('bd') }, run: () => {} })`,
  )
  assert.match(await place.succeed(['run', 'ask']), `db is ${place.project}-db-1`)
  assert.match(await place.refused(['run', 'typo']), /no service "bd".*Did you mean "db"/)
})

test('a container that exits at once fails its gate at once, with an autopsy', async () => {
  const place = stackOf(`services:
  web:
    image: ${baseImage}
    command: [sh, -c, 'echo no configuration >&2; exit 7']
    network_mode: none
    healthcheck: { test: [CMD, 'false'] }
  later:${sleeper}
    depends_on: { web: { condition: service_healthy } }
`)
  const ended = await place.run(['run', 'up'])
  assert.is(ended.exitCode, 1, ended.stdout + ended.stderr)
  for (const part of ['exit code 7', 'no configuration', 'blocked', 'later', 'devstack run logs web']) {
    assert.match(ended.stdout, part)
  }
  const json = await place.run(['run', 'up', '--json'])
  const failed = json.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
    .find(({ type }) => type === 'node-failed')
  assert.is(failed.error.autopsy.container.exitCode, 7)
})

test('a service that never gets healthy fails at its deadline with the last answers', async () => {
  const place = stackOf(`services:\n  web:${sleeper}\n`)
  place.write({
    'devstack.config.ts': `import { defineConfig, gate, exec } from 'devstack'
import { compose } from 'devstack/packs'
const never = gate({ description: 'web answers', probe: exec({ command: ['sh', '-c', 'echo not yet; exit 1'] }), within: '2s' })
export default defineConfig({ name: '${place.project}', use: [compose('compose.yaml', { gates: { web: never } })] })
`,
  })
  const ended = await place.run(['run', 'up'])
  assert.is(ended.exitCode, 3, ended.stdout + ended.stderr)
  assert.match(ended.stdout, 'not yet')
  assert.match(ended.stdout, 'web answers')
})

test('a changed field is named, and only its service is recreated', async () => {
  const yaml = (text: string): string => `services:
  a:${sleeper}
    environment: { WORD: ${text} }
  b:${sleeper}
`
  const place = stackOf(yaml('one'))
  await place.succeed(['run', 'up'])
  const before = await inventory(place.project)
  place.write({ 'compose.yaml': yaml('two') })
  assert.match(await place.succeed(['why', 'up']), /WORD: one → two/)
  assert.match(await place.succeed(['run', 'up', '--verbose']), /recreating: .*WORD: one → two/)
  assert.equal(await inventory(place.project), before)
})

test('planning changes nothing', async () => {
  const place = stackOf(`services:\n  a:${sleeper}\n    volumes: ['data:/data']\nvolumes: { data: {} }\n`)
  assert.match(await place.succeed(['run', '--dry-run', 'up']), 'Nothing was changed.')
  assert.equal(await inventory(place.project), { containers: [], networks: [], volumes: [] })
})

test('a port in use names who holds it', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  try {
    const place = stackOf(`services:
  web:
    image: ${baseImage}
    command: [sleep, infinity]
    init: true
    ports: ['${port}:80']
`)
    const ended = await place.run(['run', 'up'])
    assert.is(ended.exitCode, 1)
    assert.match(ended.stdout, `127.0.0.1:${port}`)
    assert.match(ended.stdout, `process ${process.pid}`)
    assert.match(ended.stdout, `change ${port} in ${place.directory}/compose.yaml:6:13`)
  } finally {
    server.close()
  }
})

test('a failing build shows the failing step and its output', async () => {
  const place = stackOf('services:\n  web:\n    build: .\n')
  place.write({ Dockerfile: `FROM ${baseImage}\nRUN echo before && echo the reason >&2 && exit 3\n` })
  const ended = await place.run(['run', 'up'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stdout, 'the reason')
  assert.match(ended.stdout, /RUN echo before/)
  assert.equal((await inventory(place.project)).containers, [])
})

test('an image that is nowhere to be had is named', async () => {
  const place = stackOf('services:\n  web: { image: "localhost:1/devstack/none:1" }\n')
  const ended = await place.run(['run', 'up'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stdout, 'localhost:1/devstack/none:1')
})

test('a broken file is refused with its place before anything happens', async () => {
  const cases: [string, RegExp][] = [
    ['', /COMPOSE|no services|empty/i],
    ['- a\n- b\n', /list/],
    ['services:\n  web:\n    imagee: x\n', /imagee.*image[\s\S]*compose\.yaml:3:5/],
    ['services:\n  web:\n    image: x\n    gpus: all\n', /services\.web\.gpus/],
    ['services:\n  web:\n    image: "${NOT_SET:?set it}"\n', /NOT_SET[\s\S]*set it/],
    ['services:\n  web:\n    image: x\n    ports: ["99999:1"]\n', /99999/],
    ['services:\n  a: { image: x, depends_on: [b] }\n  b: { image: x, depends_on: [a] }\n', /a -> b -> a/],
  ]
  for (const [yaml, expected] of cases) {
    const place = stackOf(yaml)
    const error = await place.refused(['run', 'up'])
    assert.match(error, expected, yaml)
    assert.equal((await inventory(place.project)).containers, [])
  }
})

test('an engine that can not be reached is said with what was tried and the remedy', async () => {
  const place = stackOf(`services:\n  web:${sleeper}\n`)
  const ended = await place.run(['run', 'up'], { env: { DOCKER_HOST: 'unix:///nowhere/docker.sock' } })
  assert.is(ended.exitCode, 1)
  const said = ended.stdout + ended.stderr
  assert.match(said, '/nowhere/docker.sock')
  assert.match(said, '→')
})

const three = `services:
  a:${sleeper}
  b:${sleeper}
    depends_on: [a]
  c:${sleeper}
    depends_on: [b]
`

/** `up` of three services in a row with an engine that is treated so; then `up` with the engine itself, which goes on from there. */
async function upThrough(
  treat: (request: string) => Treatment,
): Promise<{ readonly exitCode: number; readonly said: string; readonly left: readonly string[] }> {
  const place = stackOf(three)
  const proxy = await engineProxy(join(place.directory, 'engine.sock'), treat)
  try {
    const { exitCode, stdout, stderr } = await place.run(['run', 'up'], { env: { DOCKER_HOST: proxy.address } })
    assert.is(stderr, '')
    const left = (await inventory(place.project)).containers
    await place.succeed(['run', 'up'])
    assert.is((await inventory(place.project)).containers.length, 3)
    await place.succeed(['run', 'health'])
    return { exitCode, said: stdout, left }
  } finally {
    await proxy.close()
  }
}

test('an engine that dies in the middle of up is one message, and the next up goes on', async () => {
  let starts = 0
  const { exitCode, said, left } = await upThrough((request) => {
    if (/^POST .*\/start\b/.test(request)) starts += 1
    return starts === 2 ? 'cut' : 'pass'
  })
  assert.is(exitCode, 1)
  assert.equal(said.match(/✖ .* failed: .*/g)?.length, 1, said)
  assert.match(said, /✖ b start failed: Starting container ".*": the container engine went away/)
  assert.match(said, /→ Start it again .* then run the same command: it goes on from there\./)
  assert.not.match(said, /^ {4}at .*:\d+:\d+\)?$/m)
  assert.is(left.length, 3)
  assert.match(said, / {2}left: {3}3 containers \(a, b, c\): devstack run up goes on with them/)
})

test('a full disk of the engine is one message, and the next up goes on', async () => {
  let created = 0
  const { exitCode, said } = await upThrough((request) => {
    if (/^POST .*\/containers\/create/.test(request)) created += 1
    return created === 2 && request.includes('/containers/create')
      ? { status: 500, message: 'mkdir /var/lib/docker/overlay2/x: no space left on device' }
      : 'pass'
  })
  assert.is(exitCode, 1)
  assert.equal(said.match(/✖ .* failed: .*/g)?.length, 1, said)
  assert.match(said, /the engine's disk is full\.\n.*→ See what uses it with `docker system df`/)
})

test('an .env.local that can not be read is told, and nothing is changed', async () => {
  const place = stackOf(three)
  const file = join(place.directory, '.env.local')
  mkdirSync(file)
  for (const args of [
    ['run', 'up'],
    ['plan', 'up'],
    ['compose', 'config'],
  ]) {
    const error = await place.refused(args)
    assert.match(error, `${file} can not be read: EISDIR`)
    assert.match(error, `→ Check what it is, who owns it and its mode: ls -ld ${file}`)
  }
  assert.equal(await inventory(place.project), { containers: [], networks: [], volumes: [] })
  rmdirSync(file)
  await place.succeed(['plan', 'up'])
})

test('a container killed for lack of memory is told as that', async () => {
  const place = stackOf(`services:
  hungry:
    image: ${baseImage}
    command: [sh, -c, 'dd if=/dev/zero of=/dev/shm/all bs=1M count=400 & wait; exit 137']
    shm_size: 512m
    mem_limit: 32m
    network_mode: none
  later:${sleeper}
    depends_on: { hungry: { condition: service_completed_successfully } }
`)
  const ended = await place.run(['run', 'up'])
  assert.is(ended.exitCode, 1, ended.stdout)
  assert.match(ended.stdout, /out of memory|exit code 137/i)
  const filters = encodeURIComponent(JSON.stringify({ label: [`devstack.project=${place.project}`] }))
  assert.ok(JSON.parse((await engineCall(`/containers/json?all=true&filters=${filters}`)).text).length > 0)
})

if (engine.state === 'missing') console.log(`not run: ${engine.reason}`)
else test.run()
