/** Reports of experiments below `.devstack/experiments/`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ExperimentReport, reportSchema } from './report.ts'

const folderOf = (stateDirectory: string): string => join(stateDirectory, 'experiments')

/** Writes the report as JSON, text and page; gives the path of the page. */
export async function saveReport(stateDirectory: string, report: ExperimentReport): Promise<string> {
  const { formatPage } = await import('./report-page.ts')
  const { formatReport } = await import('./report-text.ts')
  const before = readReports(stateDirectory).filter(({ title }) => title === report.title)
  const folder = join(folderOf(stateDirectory), report.id)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(report)}\n`)
  writeFileSync(join(folder, 'report.txt'), `${formatReport(report)}\n`)
  const page = join(folder, 'report.html')
  writeFileSync(page, formatPage(report, before))
  return page
}

/** All reports that can be read, oldest first. */
export function readReports(stateDirectory: string): readonly ExperimentReport[] {
  const folder = folderOf(stateDirectory)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .flatMap((id) => {
      const file = join(folder, id, 'report.json')
      if (!existsSync(file)) return []
      try {
        const parsed = reportSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')))
        return parsed.success ? [parsed.data] : []
      } catch {
        // cut off while it was written
        return []
      }
    })
}

/** Path of the page of a report. */
export function pageOf(stateDirectory: string, id: string): string {
  return join(folderOf(stateDirectory), id, 'report.html')
}
