import { createReporter, replay } from '../../report/index.ts'
import { combine } from '../../report/reporter.ts'
import type { Invocation } from '../args.ts'
import { fileReporters } from '../files.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import { findRun, readRun } from '../recorded.ts'

/** `devstack show [run]`: renders a run again from its journal. */
export async function command({ options, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(options, io)
  const info = findRun(loaded, operands[0])
  const { events } = readRun(loaded, info.runId, (text) => io.stderr.write(`Warning: ${text}\n`))
  // a finished run is shown as text: nothing moves any more
  const renderer = options.json
    ? 'json'
    : options.renderer === undefined || options.renderer === 'tree'
      ? 'lines'
      : options.renderer
  const shown = await createReporter({
    renderer,
    stdout: io.stdout,
    stderr: io.stderr,
    environment: io.environment,
    verbose: options.verbose ?? true,
    quiet: options.quiet ?? false,
  })
  const sink = combine(
    [shown, ...(await fileReporters(options, io, (text) => void io.stderr.write(`Warning: ${text}\n`)))],
    (text) => io.stderr.write(`${text}\n`),
  )
  await replay(events, sink)
  return 0
}
