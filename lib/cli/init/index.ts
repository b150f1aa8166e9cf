/** The command `devstack init`. */

import type { Io } from '../io.ts'
import type { Options } from '../options.ts'
import { formatInit, planInit, writeInit } from './init.ts'

/** Writes the config and says what it was made from; with `--dry-run` or `--schema` only prints. Gives the exit code. */
export async function initialize(given: {
  /** Absolute. */
  readonly directory: string
  readonly options: Options
  readonly io: Io
}): Promise<number> {
  const { directory, options, io } = given
  if (options.schema) {
    const { configSchema } = await import('./schema.ts')
    io.stdout.write(`${JSON.stringify(await configSchema(), null, 2)}\n`)
    return 0
  }
  const plan = await planInit({ directory, from: options.from })
  if (options.dryRun) {
    io.stdout.write(plan.text)
    for (const note of plan.notes) io.stderr.write(`${note}\n`)
    return 0
  }
  await writeInit(plan)
  io.stdout.write(`${formatInit(plan)}\n`)
  return 0
}
