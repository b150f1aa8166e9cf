/** The last lines of a test run: causes first, then one plain line of counts. */
import type { Outcome } from './outcome.ts'

export interface SummaryOptions {
  readonly results: readonly { readonly name: string; readonly outcome: Outcome }[]
  /** Files that failed once and then passed. */
  readonly flaky: readonly string[]
  /** Makes a place relative to the repository. */
  readonly shorten?: (place: string) => string
}

export interface SummaryLines {
  readonly text: readonly string[]
  readonly passed: number
  readonly failed: number
}

/** The last line is `N passed, N failed`, with `, N skipped` when something was. Above it, each failure and each flaky file. */
export function summary(options: SummaryOptions): SummaryLines {
  const { results, flaky, shorten = (place: string) => place } = options
  const sum = (key: 'passed' | 'failed' | 'skipped') =>
    results.reduce((total, result) => total + result.outcome[key], 0)
  const text: string[] = []
  for (const { name, outcome } of results) {
    for (const { test, message, place } of outcome.failures) {
      const where = place === undefined ? '' : ` (${shorten(place)})`
      text.push(`failed: ${[name, test].filter(Boolean).join(' › ')}: ${message}${where}`)
    }
  }
  for (const file of flaky) text.push(`flaky: ${file}`)
  const [passed, failed, skipped] = [sum('passed'), sum('failed'), sum('skipped')]
  text.push(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  return { text, passed, failed }
}
