/** What packs do before anything else: notice what a killed run left, mend it, and say so. */
import type { Pack } from '../config/define.ts'
import { ProcessSet } from './processes.ts'
import type { Session } from './session.ts'
import { taskShell } from './shell.ts'

export interface RecoverOptions {
  readonly packs: readonly Pack[]
  readonly runId: string
  readonly note: (text: string) => void
}

/** Calls `recover` of these packs, one after another. What their commands start has ended when it resolves. */
export async function recoverPacks(session: Session, { packs, runId, note }: RecoverOptions): Promise<void> {
  for (const pack of packs) {
    if (!pack.recover) continue
    const processes = new ProcessSet(`${runId}:recover`)
    const stop = (): void => void processes.stop(session.delays, session.urgency)
    session.signal.addEventListener('abort', stop, { once: true })
    try {
      await pack.recover({
        runtime: session.runtime,
        project: session.project,
        get $() {
          return taskShell({
            cwd: session.project.directory,
            env: session.project.environment,
            processes,
            signal: session.signal,
            interactive: false,
            onOutput: () => {},
          })
        },
        note: (text) => note(session.redactor.redact(text)),
        signal: session.signal,
      })
    } finally {
      session.signal.removeEventListener('abort', stop)
      if (processes.started) await processes.stop(session.delays, session.urgency)
    }
  }
}
