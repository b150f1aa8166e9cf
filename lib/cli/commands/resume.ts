import type { Invocation } from '../args.ts'
import { execute } from '../execute.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import { endOrphansOf } from '../orphans.ts'
import { prepareTargets } from '../prepare.ts'
import { findResumable, readRun, recordedTargets } from '../recorded.ts'

/** `devstack resume [run]`: what is done and unchanged is taken over with its recorded value, the rest runs. */
export async function command({ options: given, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(given, io)
  const info = findResumable(loaded, operands[0])
  const warn = (text: string): void => void io.stderr.write(`Warning: ${text}\n`)
  const record = readRun(loaded, info.runId, warn, { repair: !given.dryRun })
  const targets = await recordedTargets(record, loaded)
  // what the first run was asked for holds on, unless something else is said now
  const options = { ...record.asked, ...given }
  const prepared = await prepareTargets({ loaded, options, targets, io })
  try {
    if (options.dryRun) return await (await import('./plan.ts')).printPlan({ ...prepared }, io, record.values)
    await endOrphansOf(info.runId, { ...prepared, io, record })
    const { exitCode } = await execute({ ...prepared, io, continues: info.runId, recorded: record.values })
    return exitCode
  } finally {
    prepared.dispose()
  }
}
