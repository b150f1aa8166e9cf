// deadline: 3600s
/**
 * What an experiment leaves to look at: report, page in a browser, history, JUnit, step summary, medians; and the proof that
 * the ledger can fail. By hand: `node tests/long/resilience-evidence.test.ts`, with Debian's chromium for the page.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { scenarioEngine } from '../support/engine.ts'
import { patience, rehearsalPlace } from '../support/rehearsals.ts'

const test = suite('resilience, evidence')
const engine = await scenarioEngine()
const browser = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  const here = rehearsalPlace('evidence')
  const { place, healthy, reports } = here
  test.before(async () => void (await place.succeed(['run', 'up'], patience)))
  test.after(() => here.remove())

  test('several runs: exit code, median and worst, JUnit, step summary, history', async () => {
    await healthy()
    const files = { junit: join(place.directory, 'junit.xml'), summary: join(place.directory, 'summary.md') }
    const words = ['run', 'test-failover', '--repeat', '2', '--slack', '20', '--junit', files.junit]
    const env = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: files.summary }
    const said = await place.succeed(words, { ...patience, env })
    assert.match(said, /2 runs: 2 passed, 0 failed, 0 not run/)
    assert.match(said, /acknowledged durable writes lost: 0/)
    assert.match(said, /gap of postgresql: median .+, worst .+, limit/)
    assert.match(readFileSync(files.junit, 'utf8'), /<testcase [^>]*name="test-failover/)
    assert.match(readFileSync(files.summary, 'utf8'), /test-failover/)
    assert.match(await place.succeed(['run', 'experiments']), /test-failover --fault postgres-kill, 2 runs/)
    for (const report of reports()) {
      for (const name of ['report.json', 'report.txt', 'report.html', 'postgresql.ledger']) {
        assert.ok(existsSync(here.fileOf(report, name)), name)
      }
    }
  })

  test('TC-013: the ledger can fail: without synchronous replication it reports the loss', async () => {
    await healthy()
    const junit = join(place.directory, 'failed.xml')
    const ended = await place.run(['run', 'test-split-brain', '--no-synchronous', '--junit', junit], patience)
    assert.is(ended.exitCode, 1)
    const report = reports().at(-1)!
    assert.is(report.verdict, 'failed')
    assert.ok(report.healed)
    assert.ok(report.loads.some(({ ledger }) => ledger.lost > 0 && ledger.lostIds.length > 0))
    assert.match(ended.stdout, /acknowledged writes are lost/)
    assert.match(readFileSync(junit, 'utf8'), /<failure/)
  })

  for (const fault of ['clock-skew', 'latency', 'disk-full']) {
    test(`what a machine can not do is not run, and never passed: ${fault}`, async () => {
      await healthy()
      const ended = await place.run(['run', 'test-fault', '--fault', fault, '--service', 'etcd1'], patience)
      const report = reports().at(-1)!
      // a kernel with sch_netem can do it
      if (fault === 'latency' && report.verdict === 'passed') return
      assert.is(ended.exitCode, 1)
      assert.is(report.verdict, 'not-run')
      assert.ok(report.reasons.length > 0)
    })
  }

  test('chaos that fails is shrunk to the shortest schedule that still fails', async () => {
    await healthy()
    // nothing is promised to be written again within a millisecond
    const words = ['chaos', '--seed', '21', '--duration', '8', '--promise', '0.001']
    const ended = await place.run(['run', ...words, '--shrink', '2'], patience)
    assert.is(ended.exitCode, 1, ended.stdout)
    const { stdout } = ended
    assert.match(stdout, /trying with 1 of 2 faults/)
    assert.match(stdout, /The shortest schedule that still fails, after 1 more runs, has 1 of 2 faults/)
    assert.match(stdout, /Repeat it with: devstack run chaos --seed 21 --duration 8 --promise 0.001/)
    assert.equal(here.unhealed(), [])
  })

  test('chaos shows its schedule at once while another command holds the stack', async () => {
    const holder = place.start(
      ['run', 'test-fault', '--fault', 'pause', '--service', 'sentinel2', '--for', '30'],
      patience,
    )
    await holder.seen(/sentinel2 paused/)
    const { stdout, stderr } = await place.run(['run', 'chaos', '--dry-run', '--seed', '7'], patience)
    assert.match(stdout, /seed 7: \d+ faults/)
    assert.not.match(stderr, /Waiting/)
    const open = here.unhealed().map(({ text }) => text)
    assert.ok(open.includes('sentinel2 paused'), 'the other one goes on, and nothing was healed for it')
    holder.signal('SIGINT')
    await holder.ended
    assert.equal(here.unhealed(), [])
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
        await page.goto(`file://${here.fileOf(report, 'report.html')}`)
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
