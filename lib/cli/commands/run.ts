import type { Invocation } from '../args.ts'
import { execute } from '../execute.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import { readTargets } from '../params.ts'
import { prepareTargets } from '../prepare.ts'

/** `devstack run`: exit code 0, or that of the first failure. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(invocation.options, io)
  const { options, targets } = await readTargets(invocation, loaded.registry)
  // params that are required may be missing, so there is no graph yet
  if (options.help) return (await import('./help.ts')).explainTasks(targets, loaded.registry, io)
  const prepared = await prepareTargets({ loaded, options, targets, io })
  try {
    if (prepared.options.dryRun) return await (await import('./plan.ts')).printPlan(prepared, io)
    const { exitCode } = await execute({ ...prepared, io })
    return exitCode
  } finally {
    prepared.dispose()
  }
}
