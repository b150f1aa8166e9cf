/** The limits of an experiment against what was reached. */
import { type Duration, milliseconds } from '../../lib/index.ts'
import type { Limits } from './context.ts'
import { limitReport } from './findings.ts'
import type { ExperimentReport, LimitReport } from './report.ts'

/** One for each load and limit; targets are multiplied by `slack`. A client that is bound to the member that is lost has no gap. */
export function limitsOf(report: ExperimentReport, limits: Limits, slack = 1): readonly LimitReport[] {
  const found: LimitReport[] = []
  const add = (
    name: string,
    limit: Duration | undefined,
    actualMs: number | undefined,
    strength: LimitReport['strength'],
  ): void => {
    if (limit === undefined) return
    const limitMs = milliseconds(limit) * (strength === 'target' ? slack : 1)
    found.push(limitReport({ name, limitMs, actualMs, strength }))
  }
  for (const { name, bound, gapMs, firstAfter, ledger } of report.loads) {
    if (bound || ledger.acknowledged === 0) continue
    const gap = firstAfter === undefined && gapMs > 1000 ? undefined : gapMs
    add(`gap of ${name}`, limits.gap, gap, 'target')
    add(`outer promise of ${name}`, limits.promise, gap, 'promise')
  }
  add('full redundancy after the heal', limits.redundancy, report.redundancyMs, 'target')
  return found
}
