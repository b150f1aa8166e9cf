/** `validate-zero-loss` and `test-backup-under-load`: the ledger around another task, which runs as a command of its own. */
import { join } from 'node:path'
import { type Ambient, DevstackError, type Task, z } from '../../lib/index.ts'
import { packageFolder } from '../stack/package.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment, insideVariable } from './experiment.ts'
import { postgresLoad } from './postgres-load.ts'
import { redisLoad } from './redis-load.ts'

type Around = Pick<Ambient, 'exec' | 'project'>

/** A devstack command with the project's config. Rejects with TASK_COMMAND_FAILED. */
function devstack(words: readonly string[], { exec, project }: Around, quiet = false): Promise<{ stdout: string }> {
  const config = project.config === undefined ? [] : ['--config', project.config]
  return exec([process.execPath, join(packageFolder(), 'bin', 'devstack.cjs'), ...config, ...words], {
    cwd: project.directory,
    env: { [insideVariable]: '1' },
    quiet,
  })
}

/** Runs a task; its output is shown. Rejects when it fails. */
async function runCommand(words: readonly string[], context: ExperimentContext<unknown>): Promise<void> {
  const shown = `devstack run ${words.join(' ')}`
  context.mark(shown)
  const started = performance.now()
  try {
    await devstack(['run', ...words, ...(context.flags.yes ? ['--yes'] : [])], context)
  } catch (thrown) {
    context.signal.throwIfAborted()
    throw new Error(`${shown} failed${whyOf(thrown)}`, { cause: thrown })
  }
  context.mark(`devstack run ${words[0]} ended after ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

/** The line in which a command said what failed. */
function whyOf(thrown: unknown): string {
  if (!(thrown instanceof DevstackError)) return '.'
  const line = thrown.details.find((one) => /^(✖ |Error: )/.test(one) && !/^✖ failed in /.test(one))
  return line === undefined ? `: ${thrown.message}` : `: ${line.replace(/^(✖ |Error: )/, '')}`
}

const planSchema = z.array(z.object({ destroys: z.array(z.string()).optional() }))

/**
 * Before anything is written: the task exists, takes these params, and destroys nothing that was not agreed to. Throws
 * EXPERIMENT_TASK_REFUSED, and CONFIRMATION_NEEDED without --yes.
 */
export async function checkTask(words: readonly string[], context: Around & Pick<Ambient, 'flags'>): Promise<void> {
  let plan: z.infer<typeof planSchema>
  try {
    plan = planSchema.parse(JSON.parse((await devstack(['plan', '--json', ...words], context, true)).stdout))
  } catch (thrown) {
    throw new DevstackError({
      kind: 'usage',
      code: 'EXPERIMENT_TASK_REFUSED',
      message: `devstack run ${words.join(' ')} can not be run${whyOf(thrown)}`,
      hint: 'Nothing was started. See what it would do with: devstack plan',
      cause: thrown,
    })
  }
  const destroys = plan.flatMap((step) => step.destroys ?? [])
  if (destroys.length === 0 || context.flags.yes) return
  throw new DevstackError({
    kind: 'usage',
    code: 'CONFIRMATION_NEEDED',
    message: `devstack run ${words.join(' ')} destroys what is listed here, and nobody is asked while clients write.`,
    details: destroys,
    hint: 'To agree to that: devstack run --yes validate-zero-loss ...',
  })
}

/** The task: any task of the config, while clients write. */
export function zeroLossTask(): Task<ExperimentOutcome> {
  const made = experiment({
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
  const { run } = made.definition
  return {
    ...made,
    definition: {
      ...made.definition,
      run: async (context) => {
        await checkTask((context.params as { readonly task: readonly string[] }).task, context)
        return run!(context)
      },
    },
  }
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
