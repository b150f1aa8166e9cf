/** A report as an experiment leaves it, for tests of what is made from it. */
import type { ExperimentReport } from '../../../tasks/resilience/report.ts'

export function sampleReport(changes: Partial<ExperimentReport> = {}): ExperimentReport {
  return {
    format: 1,
    id: '20260101T120000-abcdef',
    experiment: 'test-failover',
    title: 'test-failover --fault kill',
    at: '2026-01-01T12:00:00.000Z',
    verdict: 'passed',
    reasons: [],
    notes: ['a note with <angle> & "quotes"'],
    healed: true,
    durationMs: 40_000,
    fault: { from: 2000, to: 28_000 },
    redundancyMs: 9000,
    moments: [
      { at: 2000, text: 'postgres1 killed' },
      { at: 23_000, text: 'postgres2 leads postgresql' },
      { at: 28_000, text: 'healed: postgres1 killed' },
    ],
    limits: [
      { name: 'gap of postgresql', limitMs: 24_000, actualMs: 21_000, held: true, strength: 'target' },
      { name: 'outer promise of postgresql', limitMs: 60_000, actualMs: 21_000, held: true, strength: 'promise' },
    ],
    loads: [
      {
        name: 'postgresql',
        durable: true,
        bound: false,
        ledger: {
          acknowledged: 1000,
          lost: 0,
          lostIds: [],
          unacknowledged: 2,
          members: ['postgres1', 'postgres2', 'postgres3'].map((member) => ({ member, held: 1002, missing: 0 })),
        },
        gapMs: 21_000,
        lastBefore: 2000,
        firstAfter: 23_000,
        longestStallMs: 21_000,
        errorWindow: { from: 2010, to: 22_900 },
        errors: { ECONNREFUSED: 40, 'connection lost': 4 },
        writable: { maximum: 1, samples: 150 },
        leaders: [
          { at: 100, member: 'postgres1' },
          { at: 23_000, member: 'postgres2' },
        ],
        lanes: [
          {
            member: 'postgres1',
            spans: [
              { from: 100, to: 2000, state: 'leads' },
              { from: 2000, to: 40_000, state: 'silent' },
            ],
          },
          {
            member: 'postgres2',
            spans: [
              { from: 100, to: 23_000, state: 'follows' },
              { from: 23_000, to: 40_000, state: 'leads' },
            ],
          },
        ],
        bucketMs: 250,
        series: Array.from({ length: 160 }, (_, index) => ({
          at: index * 250,
          count: index > 8 && index < 92 ? 0 : 40,
          p50: 3,
          max: 12,
          errors: index === 10 ? 3 : 0,
        })),
      },
    ],
    ...changes,
  }
}
