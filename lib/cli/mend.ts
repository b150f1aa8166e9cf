/** Lets packs mend what a killed run left, outside of any run. */

import type { Pack } from '../config/define.ts'
import type { LoadedConfig } from '../config/load.ts'
import { formatError, toDevstackError } from '../errors.ts'
import { recoverPacks } from '../session/recover.ts'
import { newRunId } from '../session/session.ts'
import { openLocks } from '../state/locks.ts'
import { lazyRuntime } from './engine.ts'
import type { Io } from './io.ts'
import { openSession } from './open.ts'
import type { Options } from './options.ts'

/** Commands take turns; who waited finds nothing left to do. A failure is a warning: the next run insists on it. */
export async function mend(
  packs: readonly Pack[],
  { loaded, options, io }: { readonly loaded: LoadedConfig; readonly options: Options; readonly io: Io },
): Promise<void> {
  const runtime = lazyRuntime(io.environment)
  const { signal } = io
  const session = openSession({ loaded, options, io, runtime, signal, suspend: () => () => {} })
  const runId = newRunId()
  const note = (text: string): void => void io.stderr.write(`${text}\n`)
  try {
    const locks = openLocks({ directory: session.project.stateDirectory })
    const release = await locks.acquire('mend', { signal, owner: { task: 'mend', runId }, onWait: () => {} })
    try {
      await recoverPacks(session, { packs, runId, note })
    } finally {
      release()
    }
  } catch (thrown) {
    signal.throwIfAborted()
    note(`Warning: ${session.redactor.redact(formatError(toDevstackError(thrown)))}`)
  } finally {
    runtime.close()
  }
}
