/** A report as text, as a page, and its picture. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { pageOf, readReports, saveReport } from '../../../tasks/resilience/history.ts'
import { pictureOf, trendOf } from '../../../tasks/resilience/picture.ts'
import { formatPage } from '../../../tasks/resilience/report-page.ts'
import { formatReport, formatSummary } from '../../../tasks/resilience/report-text.ts'
import { temporaryFolder } from '../../support/temporary.ts'
import { sampleReport } from './sample-report.ts'

const test = suite('reports of experiments')

test('say verdict, loss, gap, errors and who led, as text', () => {
  const text = formatReport(sampleReport())
  assert.match(text, /^test-failover --fault kill: passed\n/)
  assert.match(text, /1000 writes acknowledged, 0 lost, 2 kept without/)
  assert.match(text, /longest gap for a client 21\.0 s, longest stall at any time \d/)
  assert.match(text, /40 × ECONNREFUSED, 4 × connection lost/)
  assert.match(text, /led by: postgres1 \(0\.10 s\) → postgres2 \(23\.00 s\)/)
  assert.match(text, /at most 1 in 150 samples/)
})

test('say why they failed, and list what is lost', () => {
  const report = sampleReport({ verdict: 'failed', reasons: ['postgresql: 3 of 9 acknowledged writes are lost.'] })
  Object.assign(report.loads[0]!.ledger, { lost: 3, lostIds: [4, 5, 6] })
  const text = formatReport(report)
  assert.match(text, /FAILED\n {2}✘ postgresql: 3 of 9/)
  assert.match(text, /lost: 4-6\n/)
  Object.assign(report.loads[0]!.ledger, { lost: 1435 })
  assert.match(formatReport(report), /lost: 4-6 and 1432 more\n/)
  assert.match(formatPage(report, []), /Lost: 4-6 and 1432 more</)
})

test('never call passed what was not run', () => {
  const report = sampleReport({ verdict: 'not-run', reasons: ['no sch_netem'] })
  assert.match(formatReport(report), /not run\n {2}no sch_netem/)
  assert.not.match(formatReport(report), /passed/)
})

test('of several runs give median, worst and the sum of what was lost', () => {
  const runs = [3000, 1000, 2000].map((actualMs) =>
    sampleReport({ limits: [{ name: 'gap of postgresql', limitMs: 2000, actualMs, held: true, strength: 'target' }] }),
  )
  const text = formatSummary(runs)
  assert.match(text, /3 runs: 3 passed, 0 failed, 0 not run/)
  assert.match(text, /writes lost: 0/)
  assert.match(text, /gap of postgresql: median 2\.0 s, worst 3\.0 s, limit 2\.0 s/)
})

test('of runs that never got there say so, instead of no time at all', () => {
  const runs = [undefined, 1000, undefined].map((actualMs) =>
    sampleReport({
      limits: [
        {
          name: 'gap of postgresql',
          limitMs: 2000,
          ...(actualMs === undefined ? {} : { actualMs }),
          held: actualMs !== undefined,
          strength: 'target',
        },
      ],
    }),
  )
  assert.match(formatSummary(runs), /gap of postgresql: median never, worst never, limit 2\.0 s/)
})

test('that were not run have no part in the trend', () => {
  const page = formatPage(sampleReport(), [sampleReport(), sampleReport({ verdict: 'not-run' })])
  assert.match(page, /Gap of postgresql over the last 2 runs/)
})

test('as a page need nothing from anywhere else and quote what they show', () => {
  const page = formatPage(sampleReport({ title: 'test <b>' }), [sampleReport(), sampleReport()])
  assert.not.match(page, /<script|<link|src=|url\(|@import/)
  assert.equal(
    [...page.matchAll(/https?:\/\/[^"\s<]+/g)]
      .map(([url]) => url)
      .filter((url) => url !== 'http://www.w3.org/2000/svg'),
    [],
  )
  assert.match(page, /<h1>test &lt;b&gt;/)
  assert.match(page, /a note with &lt;angle&gt; &amp; &quot;quotes&quot;/)
  assert.match(page, /Gap of postgresql over the last 3 runs/)
  balanced(page.slice(page.indexOf('<body>'), page.indexOf('</html>')))
})

test('draw the fault, each lane, each moment, writes and errors', () => {
  const report = sampleReport()
  const picture = pictureOf(report)
  balanced(picture)
  const count = (pattern: RegExp) => [...picture.matchAll(pattern)].length
  assert.is(count(/class="fault"/g), 1)
  assert.is(count(/class="lane leads"/g), 2)
  assert.is(count(/class="lane silent"/g), 1)
  assert.is(count(/class="moment"/g), 3)
  assert.is(count(/class="errors"/g), 1)
  assert.is(count(/class="writes"/g), report.loads[0]!.series.filter(({ count: writes }) => writes > 0).length)
  for (const [, x] of picture.matchAll(/ x="(-?[\d.]+)"/g)) assert.ok(Number(x) >= 0 && Number(x) <= 1000, x)
  assert.not.match(picture, /NaN|Infinity|undefined/)
})

test('draw a load that got nothing acknowledged', () => {
  const report = sampleReport()
  Object.assign(report.loads[0]!, { series: [], lanes: [] })
  assert.not.match(pictureOf(report), /NaN|Infinity|undefined/)
  assert.not.match(trendOf([5], undefined), /NaN|Infinity/)
})

test('are kept, oldest first, and one that was cut off is passed over', async () => {
  const folder = await temporaryFolder('devstack-reports-')
  try {
    const [first, second] = [sampleReport({ id: '1' }), sampleReport({ id: '2', verdict: 'failed' })]
    const page = await saveReport(folder.path, first)
    assert.is(page, pageOf(folder.path, '1'))
    await saveReport(folder.path, second)
    mkdirSync(join(folder.path, 'experiments', '3'))
    writeFileSync(join(folder.path, 'experiments', '3', 'report.json'), '{"format":1,')
    mkdirSync(join(folder.path, 'experiments', '4'))
    assert.equal(readReports(folder.path), [first, second])
    assert.match(readFileSync(pageOf(folder.path, '2'), 'utf8'), /over the last 2 runs/)
    assert.match(readFileSync(join(folder.path, 'experiments', '1', 'report.txt'), 'utf8'), /passed/)
  } finally {
    await folder.remove()
  }
})

test.run()

/** Every element is closed in order; the void elements of HTML aside. */
function balanced(markup: string): void {
  const open: string[] = []
  for (const [, slash, name, own] of markup.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/gi)) {
    if (own === '/' || /^(?:br|meta|hr|img)$/.test(name!)) continue
    if (slash === '/') assert.is(open.pop(), name)
    else open.push(name!)
  }
  assert.equal(open, [])
}
