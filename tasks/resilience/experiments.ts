/** `experiments`: what was rehearsed here and how it went. */
import { DevstackError, formatDuration, paint, type Task, table, task, z } from '../../lib/index.ts'
import { pageOf, readReports } from './history.ts'
import type { ExperimentReport } from './report.ts'
import { formatReport, formatSummary } from './report-text.ts'

/** The task. */
export function experimentsTask(): Task<undefined> {
  return task({
    description: 'Show the reports of experiments: verdict, gap, loss, and their trend',
    effect: 'read',
    interactive: true,
    params: z.object({
      id: z.string().optional().meta({ positional: true }).describe('one report in full; "last" for the newest'),
      last: z.coerce.number().int().positive().default(20).describe('how many'),
      json: z.boolean().default(false).describe('print JSON'),
    }),
    run: ({ params, project, terminal }) => {
      const all = readReports(project.stateDirectory)
      if (params.id !== undefined) {
        const report = params.id === 'last' ? all.at(-1) : all.find(({ id }) => id === params.id)
        if (!report) throw unknown(params.id)
        const page = pageOf(project.stateDirectory, report.id)
        terminal.write(
          params.json ? `${JSON.stringify(report, null, 2)}\n` : `${formatReport(report)}\nPage: ${page}\n`,
        )
        return
      }
      const shown = all.slice(-params.last)
      if (params.json) terminal.write(`${JSON.stringify(shown, null, 2)}\n`)
      else if (shown.length === 0) terminal.write('Nothing was rehearsed yet. Try: devstack run test-failover\n')
      else terminal.write(`${list(shown, terminal)}\n${trends(all)}\n`)
    },
  })
}

function list(reports: readonly ExperimentReport[], terminal: { readonly columns: number; readonly colors: boolean }) {
  const colour = { passed: paint.green, failed: paint.red, 'not-run': paint.yellow }
  return table(reports, {
    width: terminal.columns,
    columns: [
      { title: 'id', value: ({ id }) => id },
      {
        title: 'verdict',
        value: ({ verdict }) => verdict,
        paint: (text, { verdict }) => (terminal.colors ? colour[verdict](text) : text),
      },
      {
        title: 'gap',
        value: ({ loads, verdict }) => (verdict === 'not-run' ? '' : formatDuration(loads[0]?.gapMs ?? 0)),
        align: 'right',
      },
      { title: 'lost', value: ({ loads }) => loads.map(({ ledger }) => ledger.lost).join('/'), align: 'right' },
      { title: 'experiment', value: ({ title }) => title },
    ],
  })
}

/** Median and worst of each experiment that ran more than once. */
function trends(reports: readonly ExperimentReport[]): string {
  const titles = [...new Set(reports.map(({ title }) => title))]
  return titles
    .map((title) => reports.filter((report) => report.title === title))
    .filter((runs) => runs.length > 1)
    .map(formatSummary)
    .join('\n')
}

function unknown(id: string): DevstackError {
  return new DevstackError({
    kind: 'usage',
    code: 'EXPERIMENT_UNKNOWN',
    message: `There is no report "${id}".`,
    hint: 'List them with: devstack run experiments',
  })
}
