/** From recorded times to gap, violations and limits. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { compareLedger } from '../../../tasks/resilience/acknowledged.ts'
import {
  limitReport,
  loadReport,
  longestGap,
  medianOf,
  summarize,
  violationsOf,
} from '../../../tasks/resilience/findings.ts'
import { Lanes, leadersOf, simultaneous } from '../../../tasks/resilience/lanes.ts'
import { errorKind } from '../../../tasks/resilience/load.ts'
import { reportSchema } from '../../../tasks/resilience/report.ts'
import { sampleReport } from './sample-report.ts'

const acks = (...times: readonly number[]) => times.map((at, index) => ({ id: index + 1, at, ms: 2 }))
const times = { startedAt: 0, injectedAt: 1000, endedAt: 5000 }

const findings = suite('findings')

findings('take the longest silence that ends after the injection for the gap', () => {
  assert.equal(longestGap(acks(100, 900, 3200, 3300, 4900), times), { ms: 2300, from: 900, to: 3200 })
  assert.equal(longestGap(acks(100, 950, 1050, 1200, 4900), { ...times, endedAt: 5000 }).to, 4900)
  assert.is(
    longestGap(acks(0, 800, 1100), { ...times, endedAt: 1200 }).ms,
    300,
    'a stall before the fault is not its own',
  )
})

findings('know that nothing was acknowledged again', () => {
  assert.equal(longestGap(acks(100, 1100), times), { ms: 3900, from: 1100, to: undefined })
  assert.is(longestGap([], times).to, undefined)
})

const observed = (missing: readonly number[], changes = {}) => ({
  name: 'postgresql',
  durable: true,
  acknowledged: acks(100, 300, 900, 1900, 2000, 3000, 4000, 4900),
  errors: [
    { at: 1100, kind: 'ECONNREFUSED' },
    { at: 1700, kind: 'ECONNREFUSED' },
  ],
  lanes: [{ member: 'a', spans: [{ from: 0, to: 1000, state: 'leads' as const }] }],
  writable: { maximum: 1, samples: 9 },
  ledger: compareLedger([1, 2, 3, 4, 5, 6, 7, 8], {
    a: { ids: new Set([1, 2, 3, 4, 5, 6, 7, 8].filter((id) => !missing.includes(id))) },
  }),
  ...changes,
})

findings('have no violation when all is there', () => {
  const report = loadReport(observed([]), times)
  assert.equal(violationsOf([report], true, true), [])
  assert.equal(report.errors, { ECONNREFUSED: 2 })
  assert.equal(report.errorWindow, { from: 1100, to: 1700 })
  assert.is(report.series.length, 20)
  assert.is(
    report.series.reduce((sum, { count }) => sum + count, 0),
    8,
  )
})

findings('fail for a lost durable write, and measure that of one that may be lost', () => {
  const lost = loadReport(observed([4, 5]), times)
  assert.equal(lost.ledger.lostIds, [4, 5])
  assert.match(violationsOf([lost], true, true).join(), /2 of 8 acknowledged writes are lost/)
  const measured = loadReport(observed([4, 5], { durable: false }), times)
  assert.is(measured.ledger.lost, 2)
  assert.equal(violationsOf([measured], true, true), [])
})

findings('fail for two writable members, an unhealed fault, a stack that stays broken, and a silent load', () => {
  const two = loadReport(observed([], { writable: { maximum: 2, samples: 9 } }), times)
  assert.match(violationsOf([two], true, true).join(), /2 members acknowledged writes at the same time/)
  assert.is(violationsOf([], false, false).length, 2)
  const silent = loadReport(observed([], { acknowledged: [], ledger: compareLedger([], {}) }), times)
  assert.match(violationsOf([silent], true, true).join(), /nothing was proved/)
  const stuck = loadReport(observed([], { acknowledged: acks(100, 900) }), times)
  assert.match(violationsOf([stuck], true, true).join(), /no write was acknowledged any more/)
  const bound = loadReport(observed([], { acknowledged: acks(100, 900), bound: true }), times)
  assert.equal(violationsOf([bound], true, true), [], 'a client of the lost leader alone need not get through again')
})

findings('fail for a member that could not be compared', () => {
  const ledger = compareLedger([1], { a: { ids: new Set([1]) }, b: { error: 'refused' } })
  assert.match(
    violationsOf([loadReport(observed([], { ledger }), times)], true, true).join(),
    /b could not be compared/,
  )
})

findings('do not hold a limit for what never happened', () => {
  const limit = { name: 'gap', limitMs: 2000, strength: 'promise' as const }
  assert.is(limitReport({ ...limit, actualMs: undefined }).held, false)
  assert.is(limitReport({ ...limit, actualMs: 2000 }).held, true)
  assert.is(limitReport({ ...limit, actualMs: 2001 }).held, false)
})

findings('give median and worst of several runs', () => {
  assert.is(medianOf([1, 2, 9]), 2)
  assert.is(medianOf([1, 3]), 2)
  const runs = [10, 30, 20].map((actualMs) =>
    sampleReport({ limits: [{ name: 'gap', limitMs: 25, actualMs, held: true, strength: 'target' }] }),
  )
  assert.equal(summarize(runs), [{ name: 'gap', limitMs: 25, medianMs: 20, worstMs: 30 }])
})

findings('fit the schema of stored reports', () => {
  assert.equal(reportSchema.parse(JSON.parse(JSON.stringify(sampleReport()))), sampleReport())
})
findings.run()

const lanes = suite('lanes')

lanes('join samples of the same state, and tell who led when', () => {
  const collected = new Lanes()
  for (const [at, a, b] of [
    [0, 'leads', 'follows'],
    [200, 'leads', 'follows'],
    [400, 'silent', 'follows'],
    [600, 'silent', 'leads'],
    [800, 'follows', 'leads'],
  ] as const) {
    collected.add('a', a, at)
    collected.add('b', b, at)
  }
  const all = collected.all()
  assert.equal(
    all[0]?.spans.map(({ from, to, state }) => [from, to, state]),
    [
      [0, 400, 'leads'],
      [400, 800, 'silent'],
      [800, 800, 'follows'],
    ],
  )
  assert.equal(leadersOf(all), [
    { at: 0, member: 'a' },
    { at: 600, member: 'b' },
  ])
  assert.is(collected.leader(), 'b')
})

lanes('count members as writable at once only when their writes overlap', () => {
  assert.is(simultaneous([]), 0)
  assert.is(simultaneous([{ member: 'a', from: 0, to: 10 }]), 1)
  assert.is(
    simultaneous([
      { member: 'a', from: 0, to: 10 },
      { member: 'b', from: 11, to: 20 },
    ]),
    1,
    'one after the other is a handover',
  )
  assert.is(
    simultaneous([
      { member: 'a', from: 0, to: 10 },
      { member: 'b', from: 5, to: 20 },
      { member: 'a', from: 6, to: 9 },
    ]),
    2,
  )
})
lanes.run()

const kinds = suite('kinds of errors')

kinds('are the same for the same cause', () => {
  assert.is(errorKind(new Error('Query read timeout')), 'statement deadline')
  assert.is(errorKind(new Error('Connection terminated unexpectedly')), 'connection lost')
  assert.is(errorKind(Object.assign(new Error('x'), { code: 'ECONNRESET' })), 'connection lost')
  assert.is(errorKind(new Error('Client has encountered a connection error and is not queryable')), 'connection lost')
  assert.is(errorKind(Object.assign(new Error('the database system is starting up'), { code: '57P03' })), '57P03')
  assert.is(errorKind('text'), 'text')
})
kinds.run()
