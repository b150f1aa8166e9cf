import type { Invocation } from '../args.ts'
import { execute } from '../execute.ts'
import type { Io } from '../io.ts'
import { prepare } from '../prepare.ts'

/** `devstack run`: exit code 0, or that of the first failure. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const prepared = await prepare(invocation, io)
  try {
    if (prepared.options.help) return await (await import('./help.ts')).explainTask(prepared, io)
    if (prepared.options.dryRun) return await (await import('./plan.ts')).printPlan(prepared, io)
    const { exitCode } = await execute({ ...prepared, io })
    return exitCode
  } finally {
    prepared.dispose()
  }
}
