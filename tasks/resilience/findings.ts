/** From what was recorded to what it means. Pure: no clock, no files. */
import type { Acknowledgement, LedgerVerdict } from './acknowledged.ts'
import { type Lane, leadersOf } from './lanes.ts'
import type { ClientError } from './load.ts'
import type { ExperimentReport, LimitReport, LoadReport } from './report.ts'

const bucketMs = 250
const shownLost = 1000

/** A load when everything is over. Times are milliseconds since the epoch. */
export interface ObservedLoad {
  readonly name: string
  readonly durable: boolean
  readonly bound?: boolean | undefined
  readonly acknowledged: readonly Acknowledgement[]
  readonly errors: readonly ClientError[]
  readonly lanes: readonly Lane[]
  readonly writable: { readonly maximum: number; readonly samples: number }
  readonly ledger: LedgerVerdict
}

export interface ObservedTimes {
  readonly startedAt: number
  readonly injectedAt: number | undefined
  readonly endedAt: number
}

/** The gap of a client: the longest time without an acknowledgement that ends after the injection. */
export function longestGap(
  acknowledged: readonly Acknowledgement[],
  times: ObservedTimes,
): { readonly ms: number; readonly from: number | undefined; readonly to: number | undefined } {
  const moments = acknowledged.map(({ at }) => at).sort((a, b) => a - b)
  const since = times.injectedAt ?? times.startedAt
  let best: { ms: number; from: number | undefined; to: number | undefined } = { ms: 0, from: undefined, to: undefined }
  let before: number | undefined
  for (const at of moments) {
    const from = before ?? times.startedAt
    if (at >= since && at - from > best.ms) best = { ms: at - from, from: before, to: at }
    before = at
  }
  const rest = times.endedAt - (before ?? times.startedAt)
  return rest > Math.max(best.ms, 1000) ? { ms: rest, from: before, to: undefined } : best
}

/** A load as it goes into the report. */
export function loadReport(load: ObservedLoad, times: ObservedTimes): LoadReport {
  const { startedAt } = times
  const relative = (at: number): number => Math.round(at - startedAt)
  const gap = longestGap(load.acknowledged, times)
  const whole = longestGap(load.acknowledged, { ...times, injectedAt: undefined })
  const errors: Record<string, number> = {}
  for (const { kind } of load.errors) errors[kind] = (errors[kind] ?? 0) + 1
  const moments = load.errors.map(({ at }) => relative(at))
  const { ledger } = load
  return {
    name: load.name,
    durable: load.durable,
    bound: load.bound ?? false,
    ledger: {
      acknowledged: ledger.acknowledged,
      lost: ledger.lost.length,
      lostIds: ledger.lost.slice(0, shownLost),
      unacknowledged: ledger.unacknowledged,
      members: ledger.members.map(({ member, held, missing, error }) => ({
        member,
        held,
        missing: missing.length,
        ...(error === undefined ? {} : { error }),
      })),
    },
    gapMs: Math.round(gap.ms),
    ...(gap.from === undefined ? {} : { lastBefore: relative(gap.from) }),
    ...(gap.to === undefined ? {} : { firstAfter: relative(gap.to) }),
    longestStallMs: Math.round(whole.ms),
    ...(moments.length === 0 ? {} : { errorWindow: { from: Math.min(...moments), to: Math.max(...moments) } }),
    errors,
    writable: load.writable,
    leaders: leadersOf(load.lanes).map(({ at, member }) => ({ at: relative(at), member })),
    lanes: [...load.lanes]
      .sort((a, b) => a.member.localeCompare(b.member))
      .map(({ member, spans }) => ({
        member,
        spans: spans.map(({ from, to, state }) => ({ from: relative(from), to: relative(to), state })),
      })),
    bucketMs,
    series: seriesOf(load, times),
  }
}

function seriesOf(load: ObservedLoad, { startedAt, endedAt }: ObservedTimes): LoadReport['series'] {
  const buckets = Array.from({ length: Math.max(1, Math.ceil((endedAt - startedAt) / bucketMs)) }, () => ({
    latencies: [] as number[],
    errors: 0,
  }))
  const bucketOf = (at: number) => buckets[Math.floor((at - startedAt) / bucketMs)]
  for (const { at, ms } of load.acknowledged) bucketOf(at)?.latencies.push(ms)
  for (const { at } of load.errors) {
    const bucket = bucketOf(at)
    if (bucket) bucket.errors += 1
  }
  const round = (ms: number): number => Math.round(ms * 10) / 10
  return buckets.map(({ latencies, errors }, index) => {
    const sorted = latencies.sort((a, b) => a - b)
    return {
      at: index * bucketMs,
      count: sorted.length,
      p50: round(sorted[Math.floor(sorted.length / 2)] ?? 0),
      max: round(sorted.at(-1) ?? 0),
      errors,
    }
  })
}

/** What must hold of every experiment, whatever it injects; each violation is a sentence. */
export function violationsOf(loads: readonly LoadReport[], healed: boolean, redundant: boolean): readonly string[] {
  const found: string[] = []
  if (!healed) found.push('Not everything could be healed.')
  if (!redundant) found.push('The stack was not healthy again in time.')
  for (const load of loads) {
    const { ledger, name } = load
    if (ledger.acknowledged === 0) found.push(`${name}: not one write was acknowledged, so nothing was proved.`)
    if (!load.bound && load.firstAfter === undefined && ledger.acknowledged > 0 && load.gapMs > 1000) {
      found.push(`${name}: no write was acknowledged any more.`)
    }
    for (const { member, error } of ledger.members) {
      if (error !== undefined) found.push(`${name}: ${member} could not be compared with the ledger: ${error}.`)
    }
    if (!load.durable) continue
    if (ledger.lost > 0) found.push(`${name}: ${ledger.lost} of ${ledger.acknowledged} acknowledged writes are lost.`)
    if (load.writable.maximum > 1) {
      found.push(`${name}: ${load.writable.maximum} members acknowledged writes at the same time.`)
    }
  }
  return found
}

/** A limit with what was reached. Undefined reached: it never happened. */
export function limitReport(limit: {
  readonly name: string
  readonly limitMs: number
  readonly actualMs: number | undefined
  readonly strength: LimitReport['strength']
}): LimitReport {
  const { actualMs, ...rest } = limit
  const held = actualMs !== undefined && actualMs <= limit.limitMs
  return actualMs === undefined ? { ...rest, held } : { ...rest, actualMs: Math.round(actualMs), held }
}

/** Median and worst of several runs, by limit. */
export function summarize(
  reports: readonly ExperimentReport[],
): readonly { readonly name: string; readonly limitMs: number; readonly medianMs: number; readonly worstMs: number }[] {
  const names = [...new Set(reports.flatMap(({ limits }) => limits.map(({ name }) => name)))]
  return names.map((name) => {
    const limits = reports.flatMap((report) => report.limits.filter((limit) => limit.name === name))
    const reached = limits.map(({ actualMs }) => actualMs ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b)
    return { name, limitMs: limits[0]!.limitMs, medianMs: medianOf(reached), worstMs: reached.at(-1)! }
  })
}

/** The median of ascending numbers; the mean of the middle two of an even count. */
export function medianOf(ascending: readonly number[]): number {
  const middle = Math.floor(ascending.length / 2)
  const upper = ascending[middle] ?? 0
  return ascending.length % 2 === 1 ? upper : ((ascending[middle - 1] ?? 0) + upper) / 2
}
