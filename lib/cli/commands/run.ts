import type { Invocation } from '../args.ts'
import { execute } from '../execute.ts'
import type { Io } from '../io.ts'
import { prepareTargets, readInvocation } from '../prepare.ts'

/** `devstack run`: exit code 0, or that of the first failure. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const read = await readInvocation(invocation, io)
  // params that are required may be missing, so there is no graph yet
  if (read.options.help) return (await import('./help.ts')).explainTasks(read.targets, read.loaded.registry, io)
  const prepared = await prepareTargets({ ...read, io })
  try {
    if (prepared.options.dryRun) return await (await import('./plan.ts')).printPlan(prepared, io)
    const { exitCode } = await execute({ ...prepared, io })
    return exitCode
  } finally {
    prepared.dispose()
  }
}
