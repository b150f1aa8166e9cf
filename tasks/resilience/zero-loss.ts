/** `validate-zero-loss` and `test-backup-under-load`: the ledger around another task, which runs as a command of its own. */
import { join } from 'node:path'
import { type Task, z } from '../../lib/index.ts'
import { packageFolder } from '../stack/package.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresLoad } from './postgres-load.ts'
import { redisLoad } from './redis-load.ts'

/** Runs a devstack command in the project's folder; its output is shown. Rejects when it fails. */
async function runCommand(words: readonly string[], context: ExperimentContext<unknown>): Promise<void> {
  context.mark(`devstack run ${words.join(' ')}`)
  const started = performance.now()
  const yes = context.flags.yes ? ['--yes'] : []
  const { directory } = context.project
  await context.exec([process.execPath, join(packageFolder(), 'bin', 'devstack.cjs'), 'run', ...words, ...yes], {
    cwd: directory,
  })
  context.mark(`devstack run ${words[0]} ended after ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

/** The task: any task of the config, while clients write. */
export function zeroLossTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Run another task while clients write, and prove that no acknowledged write is lost',
    params: {
      task: z
        .array(z.string())
        .min(1)
        .meta({ positional: 'rest' })
        .describe('the task and its options, last on the line'),
    },
    load: [postgresLoad(), redisLoad()],
    helper: false,
    exclusive: false,
    inject: (context) => runCommand(context.params.task, context),
    limits: { promise: '60s' },
  })
}

/** The task: a proved backup while clients write. */
export function backupUnderLoadTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Take a backup while clients write: nothing stops, nothing is lost',
    params: { verify: z.boolean().default(false).describe('prove the backup by a restore') },
    load: [postgresLoad(), redisLoad()],
    helper: false,
    exclusive: false,
    inject: (context) => runCommand(['backup', ...(context.params.verify ? ['--verify'] : [])], context),
    limits: { gap: '2s', promise: '5s', redundancy: '15s' },
  })
}
