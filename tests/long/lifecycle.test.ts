// deadline: 1800s
/**
 * What takes minutes: a rolling upgrade under load, an image rebuilt, hot reload in a browser, an inspector attached to.
 * By hand: `node tests/long/lifecycle.test.ts`, with an engine, and with Debian's chromium for the browser's part.
 */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseEnv } from 'node:util'
import { chromium } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall, inventory, scenarioEngine } from '../support/engine.ts'

const repository = dirname(dirname(import.meta.dirname))
const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const test = suite('lifecycle, long')
const engine = await scenarioEngine()
const patience = { timeout: 900_000 }

let place: Checkout
const url = (service: string): string => {
  const variables = parseEnv(readFileSync(join(place.directory, '.env.local'), 'utf8'))
  return `http://127.0.0.1:${variables[`${service.toUpperCase()}_PORT`]}`
}

/** Images under names of this test, so that no other stack on the machine sees them change. */
function composeFile(round: number): string {
  const data = (folder: string): string =>
    `{ image: ${place.project}-${folder}, build: { context: '${repository}/infrastructure/${folder}', labels: { round: '${round}' } } }`
  const application = (name: string): string =>
    `{ image: ${place.project}-${name}, build: { context: '${place.directory}/${name}', labels: { round: '${round}' } } }`
  const services = [
    ...[1, 2, 3].map((n) => `  postgres${n}: ${data('postgres')}`),
    ...[1, 2, 3].map((n) => `  redis${n}: ${data('redis')}`),
    `  backend: ${application('backend')}`,
    `  frontend: ${application('frontend')}`,
  ]
  return `services:\n${services.join('\n')}\n`
}

function devFile(): string {
  const { directory, project } = place
  return `services:
  backend:
    image: ${project}-backend-dev
    volumes: ['${directory}/backend/src:/app/src:ro']
  frontend:
    image: ${project}-frontend-dev
    volumes: ['${directory}/frontend/app:/app/app:ro', '${directory}/frontend/lib:/app/lib:ro']
`
}

const run = (...words: string[]): Promise<string> => place.succeed(['run', ...words], patience)
const say = (text: string): void => void process.stdout.write(`    ${text}\n`)

async function ids(): Promise<Record<string, string>> {
  const { containers } = await inventory(place.project)
  const pairs = await Promise.all(
    containers.map(async (name) => {
      const { text } = await engineCall(`/containers/${name}/json`)
      return [name, (JSON.parse(text) as { Id: string }).Id] as const
    }),
  )
  return Object.fromEntries(pairs)
}

function edit(path: string, from: string, to: string): void {
  const file = join(place.directory, path)
  const text = readFileSync(file, 'utf8')
  assert.ok(text.includes(from), `${path} has ${from}`)
  writeFileSync(file, text.replace(from, to))
}

/** Milliseconds until it holds. */
async function until(what: string, holds: () => Promise<boolean>, withinMs = 120_000): Promise<number> {
  const began = performance.now()
  while (!(await holds().catch(() => false))) {
    if (performance.now() - began > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`)
    await delay(20)
  }
  return performance.now() - began
}

const bodyOf = async (address: string): Promise<string> =>
  (await fetch(address, { signal: AbortSignal.timeout(30_000) })).text()

test.before(() => {
  place = checkout({
    name: 'long',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({
  name: '${project}',
  use: [haStack({ files: ['compose.yml'], dev: ['compose.dev.yml'] }), dataPack({ migrations: 'backend/migrations' })],
})
`,
    }),
  })
  for (const name of ['backend', 'frontend'])
    cpSync(join(repository, 'infrastructure', name), join(place.directory, name), {
      recursive: true,
      filter: (path) => !/\/(node_modules|\.next|tests)(\/|$)/.test(path.slice(repository.length)),
    })
  place.write({ 'compose.yml': composeFile(1), 'compose.dev.yml': devFile() })
})
test.after(async () => {
  const { project } = place
  await place.remove({ engine: true })
  for (const name of ['postgres', 'redis', 'backend', 'frontend', 'backend-dev', 'frontend-dev'])
    await engineCall(`/images/${project}-${name}?force=true`, { method: 'DELETE' })
})

/** Clients that write to the backend and read from both all the while, and remember what was confirmed. */
class Load {
  readonly #stop = new AbortController()
  readonly #clients: readonly Promise<void>[]
  readonly confirmed: string[] = []
  readonly failures: string[] = []
  slowestMs = 0

  constructor(backend: string, frontend: string) {
    this.#clients = [
      ...[1, 2, 3, 4].map((client) => this.#work(backend, client)),
      this.#read(`${frontend}/api/health`),
      this.#read(frontend),
    ]
  }

  async #read(address: string): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const answer = await fetch(address)
        const text = await answer.text()
        if (answer.status !== 200) this.failures.push(`GET ${address} ${answer.status} ${text.slice(0, 100)}`)
      } catch (thrown) {
        this.failures.push(`GET ${address} ${String((thrown as { cause?: unknown }).cause ?? thrown)}`)
      }
      await delay(20)
    }
  }

  async #work(address: string, client: number): Promise<void> {
    for (let round = 0; !this.#stop.signal.aborted; round += 1) {
      const began = performance.now()
      try {
        const email = `client${client}.${round}@example.org`
        const written = await fetch(`${address}/api/students`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ name: `Client ${client}`, email }),
        })
        if (written.status === 201) this.confirmed.push(email)
        else this.failures.push(`POST ${written.status} ${await written.text()}`)
        const read = await fetch(`${address}/api/courses`)
        if (read.status !== 200) this.failures.push(`GET ${read.status} ${await read.text()}`)
        else await read.text()
      } catch (thrown) {
        this.failures.push(String((thrown as { cause?: unknown }).cause ?? thrown))
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began)
      await delay(20)
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#clients)
  }
}

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('upgrade replaces databases and applications under load: no failed request, no confirmed write lost', async () => {
    await run('up')
    await run('migrate')
    const before = await ids()
    place.write({ 'compose.yml': composeFile(2) })
    const load = new Load(url('backend'), url('frontend'))
    let said: string
    try {
      said = await run('upgrade')
    } finally {
      await load.stop()
    }
    say(
      `${load.confirmed.length} writes confirmed, ${load.failures.length} requests failed, slowest ${Math.round(load.slowestMs)} ms`,
    )
    say(/\d+ containers replaced in .*/.exec(said)?.[0] ?? '')
    const after = await ids()
    const replaced = Object.keys(before).filter((name) => before[name] !== after[name])
    assert.equal(
      replaced.map((name) => name.split('-').at(-2)),
      ['backend', 'frontend', 'postgres1', 'postgres2', 'postgres3', 'redis1', 'redis2', 'redis3'],
    )
    assert.equal(load.failures, [])
    assert.ok(load.confirmed.length > 50)
    assert.match(said, /postgres\d leads in place of postgres\d/)
    assert.match(said, /redis\d is Redis master in place of redis\d/)
    const kept = await run('psql', 'app', '-tAc', 'SELECT email FROM students')
    const emails = new Set(kept.split('\n'))
    assert.equal(
      load.confirmed.filter((email) => !emails.has(email)),
      [],
    )
    assert.match(await run('upgrade'), /every container runs what it should/)
  })

  test('rebuild makes one image and replaces one container', async () => {
    const before = await ids()
    edit(
      'backend/src/health.ts',
      "{ status: 'UP', components: {} }",
      "{ status: 'UP', components: { rebuilt: { status: 'UP' } } }",
    )
    const began = performance.now()
    await run('rebuild', 'backend')
    say(`rebuild backend: ${((performance.now() - began) / 1000).toFixed(1)} s`)
    assert.match(await bodyOf(`${url('backend')}/actuator/health/liveness`), /rebuilt/)
    const after = await ids()
    assert.equal(
      Object.keys(before).filter((name) => before[name] !== after[name]),
      [`${place.project}-backend-1`],
    )
    edit('frontend/app/page.tsx', '<h2>Enrollments</h2>', '<h2>Who is enrolled</h2>')
    const again = performance.now()
    await run('rebuild', 'frontend')
    say(`rebuild frontend: ${((performance.now() - again) / 1000).toFixed(1)} s`)
    assert.match(await bodyOf(url('frontend')), /Who is enrolled/)
    const last = await ids()
    assert.equal(
      Object.keys(after).filter((name) => after[name] !== last[name]),
      [`${place.project}-frontend-1`],
    )
  })

  test('dev serves a change of the backend', async () => {
    await run('dev')
    edit('backend/src/health.ts', 'rebuilt:', 'reloaded:')
    const live = `${url('backend')}/actuator/health/liveness`
    const ms = await until('the backend serves the change', async () => /reloaded/.test(await bodyOf(live)))
    say(`backend change served after ${Math.round(ms)} ms`)
  })

  if (browser === undefined) test.skip('not run: there is no chromium', () => {})
  else
    test('dev shows a change of the frontend in the browser, without a reload', async () => {
      const chrome = await chromium.launch({ executablePath: browser, args: ['--no-sandbox'] })
      try {
        const page = await chrome.newPage()
        await page.goto(url('frontend'), { timeout: 120_000 })
        await page.getByRole('heading', { name: 'Courses' }).waitFor({ timeout: 120_000 })
        await page.evaluate('window.notReloaded = true')
        const times: number[] = []
        let heading = 'Courses'
        for (const next of ['Lectures', 'Seminars', 'Classes']) {
          const began = performance.now()
          edit('frontend/app/page.tsx', `<h1>${heading}</h1>`, `<h1>${next}</h1>`)
          await page.getByRole('heading', { name: next }).waitFor({ timeout: 120_000 })
          times.push(Math.round(performance.now() - began))
          heading = next
        }
        say(`frontend changes shown after ${times.join(', ')} ms`)
        assert.is(await page.evaluate('window.notReloaded'), true)
      } finally {
        await chrome.close()
      }
    })

  test('debug opens an inspector on this machine, and tells editors', async () => {
    assert.match(await run('debug', 'backend', '--vscode', '--intellij'), /inspector of backend: 127\.0\.0\.1:\d+/)
    const launch = JSON.parse(readFileSync(join(place.directory, '.vscode', 'launch.json'), 'utf8'))
    const [configuration] = launch.configurations
    assert.is(configuration.localRoot, `\${workspaceFolder}/backend/src`)
    const targets = JSON.parse(await bodyOf(`http://127.0.0.1:${configuration.port}/json/list`))
    const socket = new WebSocket(targets[0].webSocketDebuggerUrl)
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    socket.onerror = () => reject(new Error('the inspector does not talk'))
    socket.onmessage = ({ data }) => resolve(String(data))
    socket.onopen = () => {
      const params = { expression: 'process.release.name' }
      socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params }))
    }
    assert.is(JSON.parse(await promise).result.result.value, 'node')
    socket.close()
    assert.match(
      readFileSync(join(place.directory, '.idea', 'runConfigurations', 'devstack_backend.xml'), 'utf8'),
      new RegExp(`port="${configuration.port}"`),
    )
    await run('up')
    assert.match(await bodyOf(`${url('backend')}/actuator/health/liveness`), /reloaded/)
  })
}

test.run()
