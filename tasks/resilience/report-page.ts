/** placeholder, replaced below */
import type { ExperimentReport } from './report.ts'
export function formatPage(report: ExperimentReport, _before: readonly ExperimentReport[]): string {
  return `<!doctype html><title>${report.title}</title>`
}
