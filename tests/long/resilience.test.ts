// deadline: 5400s
/**
 * What takes minutes: every shipped experiment, a kill of devstack in the middle of each, the proof that the ledger can
 * fail, and the page in a browser. By hand: `node tests/long/resilience.test.ts`, with an engine, and with Debian's
 * chromium for the page. ROUNDS=20 repeats each experiment.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ExperimentReport } from '../../tasks/resilience/report.ts'
import { type Checkout, checkout } from '../support/checkout.ts'
import { cleanUp, engineCall, scenarioEngine } from '../support/engine.ts'

const test = suite('resilience, long')
const engine = await scenarioEngine()
const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
const rounds = Number(process.env['ROUNDS'] ?? 1)
const patience = { timeout: 400_000 * rounds }

const experiments: readonly (readonly string[])[] = [
  ...['switchover', 'postgres-kill', 'crash', 'kill', 'pause', 'partition'].map((f) => ['test-failover', '--fault', f]),
  ...['kill', 'crash', 'pause', 'partition'].map((f) => ['test-failover:redis', '--fault', f]),
  ['test-etcd-loss', '--members', '1'],
  ['test-etcd-loss', '--members', '2'],
  ['test-split-brain'],
  ['test-split-brain', '--direction', 'in'],
  ['test-split-brain', '--direction', 'out'],
  ['test-cascade'],
  ['test-rolling-restart'],
  ['test-pause-resume'],
  ['test-backup-under-load'],
  ['validate-zero-loss', 'restart', '--services', 'postgres2'],
  ['chaos', '--seed', '7', '--duration', '30'],
]

let place: Checkout
const patient = () => place.succeed(['run', 'health', '--wait', '--timeout', '240'], patience)
const folderOf = (name: string): string => join(place.directory, '.devstack', name)
const unhealed = (): readonly string[] => (existsSync(folderOf('faults')) ? readdirSync(folderOf('faults')) : [])
const reports = (): readonly ExperimentReport[] =>
  readdirSync(folderOf('experiments'))
    .sort()
    .map((id) => join(folderOf('experiments'), id, 'report.json'))
    .filter(existsSync)
    .map((file) => JSON.parse(readFileSync(file, 'utf8')) as ExperimentReport)

test.before(async () => {
  place = checkout({
    name: 'resilience-long',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack, resiliencePack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack(), resiliencePack()] })
`,
    }),
  })
  if (engine.state !== 'missing') await place.succeed(['run', 'up'], patience)
})
test.after(async () => {
  await cleanUp(`${place.project}-faults`).catch(() => undefined)
  await place.remove({ engine: true })
})

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  for (const words of experiments) {
    test(`TC-010 to TC-013: ${words.join(' ')} loses nothing and heals, ${rounds} times`, async () => {
      await patient()
      for (let round = 0; round < rounds; round += 1) {
        await place.succeed(['run', ...words], patience)
        const report = reports().at(-1)!
        assert.is(report.verdict, 'passed', words.join(' '))
        assert.ok(report.healed)
        for (const load of report.loads.filter(({ durable }) => durable)) {
          assert.is(load.ledger.lost, 0)
          assert.ok(load.writable.maximum <= 1)
        }
        assert.equal(unhealed(), [])
      }
    })
  }

  for (const [kind, service] of [
    ['kill', 'postgres2'],
    ['pause', 'redis2'],
    ['disconnect', 'etcd2'],
    ['partition', 'postgres3'],
    ['loss', 'etcd1'],
    ['bandwidth', 'redis3'],
    ['read-only', 'redis1'],
    ['oom', 'sentinel1'],
  ] as const) {
    test(`TC-028: devstack is killed during ${kind}, and the next command heals it`, async () => {
      await patient()
      const words = ['run', 'test-fault', '--fault', kind, '--service', service, '--for', '60']
      const running = place.start(words, patience)
      await running.seen(new RegExp(`\\d s: .*${service}`))
      running.signal('SIGKILL')
      await running.ended
      assert.is(unhealed().length, 1)
      const { stderr, exitCode } = await place.run(['run', 'status'], patience)
      assert.is(exitCode, 0, stderr)
      assert.match(stderr, /ended before it could heal/)
      assert.equal(unhealed(), [])
      await patient()
      const { text } = await engineCall('/containers/json?all=1')
      assert.not.match(text, new RegExp(`${place.project}-faults`), 'no helper is left')
    })
  }

  test('TC-013: the ledger can fail: without synchronous replication it reports the loss', async () => {
    await patient()
    const ended = await place.run(['run', 'test-split-brain', '--no-synchronous'], patience)
    assert.is(ended.exitCode, 1)
    const report = reports().at(-1)!
    assert.is(report.verdict, 'failed')
    assert.ok(report.healed)
    assert.ok(report.loads.some(({ ledger }) => ledger.lost > 0 && ledger.lostIds.length > 0))
    assert.match(ended.stdout, /acknowledged writes are lost/)
    await patient()
  })

  test('what a machine can not do is not run, and never passed', async () => {
    await patient()
    const ended = await place.run(['run', 'test-fault', '--fault', 'clock-skew'], patience)
    assert.is(ended.exitCode, 1)
    assert.is(reports().at(-1)!.verdict, 'not-run')
  })

  if (browser === undefined) test.skip('not run: there is no Chromium to look at the page with', () => {})
  else
    test('the page shows picture, lanes and moments in a browser, offline', async () => {
      const report = reports().find(({ title }) => title.startsWith('test-failover --fault'))!
      const home = mkdtempSync(join(tmpdir(), 'devstack-page-'))
      const window = await chromium.launchPersistentContext(home, { executablePath: browser, args: ['--no-sandbox'] })
      try {
        await window.setOffline(true)
        const page = await window.newPage()
        const failures: string[] = []
        page.on('console', (message) => message.type() === 'error' && failures.push(message.text()))
        page.on('request', (request) => !request.url().startsWith('file:') && failures.push(request.url()))
        await page.goto(`file://${join(folderOf('experiments'), report.id, 'report.html')}`)
        assert.match(await page.title(), /test-failover/)
        for (const part of ['rect.fault', 'rect.writes', 'rect.lane.leads', '.moment line'])
          assert.ok((await page.locator(`svg ${part}`).count()) > 0, part)
        const box = await page.locator('svg').first().boundingBox()
        assert.ok(box && box.width > 600 && box.height > 200)
        assert.is(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, 'nothing sticks out')
        assert.equal(failures, [])
      } finally {
        await window.close()
        rmSync(home, { recursive: true, force: true })
      }
    })
}

test.run()
