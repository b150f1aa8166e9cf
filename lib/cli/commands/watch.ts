import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { prepare } from '../prepare.ts'

/** `devstack watch`: runs, waits for a change of what the run read, and runs again. Ends with Ctrl-C. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const { watchRuns } = await import('../watch.ts')
  const prepared = await prepare(invocation, io)
  try {
    return await watchRuns(prepared, invocation, io)
  } finally {
    prepared.dispose()
  }
}
