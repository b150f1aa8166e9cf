/** A report as text, and several as a table of medians. */
import { formatDuration } from '../../lib/index.ts'
import { formatIds } from './acknowledged.ts'
import { summarize } from './findings.ts'
import type { ExperimentReport, LoadReport } from './report.ts'

const words = { passed: 'passed', failed: 'FAILED', 'not-run': 'not run' } as const

/** The report as lines for a person, without a final newline. */
export function formatReport(report: ExperimentReport): string {
  const lines = [`${report.title}: ${words[report.verdict]}`]
  for (const reason of report.reasons) lines.push(`  ${report.verdict === 'not-run' ? '' : '✘ '}${reason}`)
  for (const load of report.loads) lines.push(...loadLines(load).map((line) => `  ${line}`))
  if (report.redundancyMs !== undefined) {
    lines.push(`  fully redundant ${formatDuration(report.redundancyMs)} after the heal`)
  }
  for (const note of report.notes) lines.push(`  note: ${note}`)
  lines.push('  what happened:')
  for (const { at, text } of report.moments) lines.push(`    ${seconds(at).padStart(8)}  ${text}`)
  return lines.join('\n')
}

function loadLines(load: LoadReport): readonly string[] {
  const { ledger, name, errors } = load
  const lines = [
    `${name}: ${ledger.acknowledged} writes acknowledged, ${ledger.lost} lost, ${ledger.unacknowledged} kept without an acknowledgement`,
  ]
  if (ledger.lost > 0) lines.push(`  lost: ${lostIds(ledger)}`)
  const held = ledger.members.map(
    ({ member, missing, error }) => `${member} ${error ?? (missing ? `lacks ${missing}` : 'has all')}`,
  )
  lines.push(`  members: ${held.join(', ')}`)
  if (load.bound) lines.push('  stayed with the member that led at the start')
  else {
    const stall = formatDuration(load.longestStallMs)
    lines.push(`  longest gap for a client ${formatDuration(load.gapMs)}, longest stall at any time ${stall}`)
  }
  const kinds = Object.entries(errors).map(([kind, count]) => `${count} × ${kind}`)
  lines.push(`  errors: ${kinds.length > 0 ? kinds.join(', ') : 'none'}`)
  if (load.errorWindow) {
    const { from, to } = load.errorWindow
    lines.push(`  error window ${formatDuration(to - from)}`)
  }
  if (load.writable.samples > 0) {
    lines.push(`  members writable at once: at most ${load.writable.maximum} in ${load.writable.samples} samples`)
    lines.push(
      `  led by: ${load.leaders.map(({ at, member }) => `${member} (${seconds(at)})`).join(' → ') || 'nobody'}`,
    )
  }
  return lines
}

/** The ids of lost writes; a report keeps the first thousand, and says so. */
export function lostIds({ lost, lostIds: ids }: LoadReport['ledger']): string {
  return `${formatIds(ids)}${lost > ids.length ? ` and ${lost - ids.length} more` : ''}`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

/** What was reached, for a person; what never happened took forever. */
export function reached(ms: number): string {
  return Number.isFinite(ms) ? formatDuration(ms) : 'never'
}

/** Median and worst over several runs of one experiment. */
export function formatSummary(reports: readonly ExperimentReport[]): string {
  const count = (verdict: ExperimentReport['verdict']): number =>
    reports.filter((report) => report.verdict === verdict).length
  const lost = reports.flatMap(({ loads }) => loads.filter(({ durable }) => durable).map(({ ledger }) => ledger.lost))
  const lines = [
    `${reports[0]!.title}, ${reports.length} runs: ${count('passed')} passed, ${count('failed')} failed, ${count('not-run')} not run`,
    `  acknowledged durable writes lost: ${lost.reduce((sum, one) => sum + one, 0)}`,
  ]
  for (const { name, limitMs, medianMs, worstMs } of summarize(reports)) {
    lines.push(`  ${name}: median ${reached(medianMs)}, worst ${reached(worstMs)}, limit ${formatDuration(limitMs)}`)
  }
  return lines.join('\n')
}
