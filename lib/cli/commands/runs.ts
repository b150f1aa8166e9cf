import { join } from 'node:path'
import { formatDuration, table } from '../../report/format.ts'
import { listRuns } from '../../state/runs.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack runs`: the latest runs, the newest first. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const { directory } = await openConfig(options, io)
  const runs = listRuns(join(directory, '.devstack')).slice(0, options.limit ?? 20)
  if (options.json) io.stdout.write(`${JSON.stringify(runs, null, 2)}\n`)
  else if (runs.length === 0) io.stdout.write('No runs yet.\n')
  else {
    io.stdout.write(
      `${table(runs, {
        columns: [
          { title: 'run', value: ({ runId }) => runId },
          { title: 'state', value: ({ state }) => state },
          {
            title: 'started',
            value: ({ startedAt }) =>
              startedAt ? new Date(startedAt).toISOString().slice(0, 19).replace('T', ' ') : '',
          },
          { title: 'took', value: ({ durationMs }) => (durationMs === undefined ? '' : formatDuration(durationMs)) },
          {
            title: 'tasks',
            value: ({ targets, continues, undoes }) =>
              `${targets.join(', ')}${continues ? ` (continues ${continues})` : ''}${undoes ? ` (undoes ${undoes})` : ''}`,
          },
        ],
        width: io.stdout.columns || 120,
      }).trimEnd()}\n`,
    )
    for (const { runId, problem } of runs) if (problem !== undefined) io.stdout.write(`\n${runId}: ${problem}\n`)
  }
  return 0
}
