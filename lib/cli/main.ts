/** The composition root: argv, streams and signals of the process come in here, and nowhere else. */
import { DevstackError, formatError, toDevstackError } from '../errors.ts'
import { stall } from '../session/stall.ts'
import { parseArguments } from './args.ts'
import * as completion from './commands/completion.ts'
import * as list from './commands/list.ts'
import * as run from './commands/run.ts'
import type { CommandName } from './grammar.ts'
import { type Io, processIo } from './io.ts'
import { outputFailure } from './output.ts'

type Command = (invocation: import('./args.ts').Invocation, io: Io) => Promise<number>

/** The common ones are at hand; of the others each is loaded by itself. */
const commands: Readonly<Record<CommandName, () => Promise<{ readonly command: Command }>>> = {
  run: async () => run,
  plan: () => import('./commands/plan.ts'),
  why: () => import('./commands/why.ts'),
  watch: () => import('./commands/watch.ts'),
  list: async () => list,
  graph: () => import('./commands/graph.ts'),
  help: () => import('./commands/help.ts'),
  runs: () => import('./commands/runs.ts'),
  show: () => import('./commands/show.ts'),
  resume: () => import('./commands/resume.ts'),
  undo: () => import('./commands/undo.ts'),
  init: () => import('./commands/init.ts'),
  doctor: () => import('./commands/doctor.ts'),
  completion: async () => completion,
  compose: () => import('./commands/compose.ts'),
  cache: () => import('./commands/cache.ts'),
  locks: () => import('./commands/locks.ts'),
}

/** Runs devstack with the process's arguments and sets its exit code. */
export async function main(): Promise<void> {
  const io = processIo()
  const onEmpty = (): void => {
    // what a failed task's cleanup awaits may be next
    if (stall()) return void setImmediate(() => {})
    io.stderr.write(`Error: ${formatError(unsettled())}\n`)
    process.exitCode = unsettled().exitCode
  }
  process.on('beforeExit', onEmpty)
  const exitCode = await devstack(process.argv.slice(2), io)
  process.off('beforeExit', onEmpty)
  // a stream tells of its error in the next turn
  await new Promise(setImmediate)
  const failure = outputFailure()
  if (failure) io.stderr.write(`Error: ${formatError(failure)}\n`)
  process.exitCode = exitCode === 0 && failure ? failure.exitCode : exitCode
  io.release()
  // a task that was given up may still hold timers or sockets; output is written by then
  setTimeout(() => process.exit(), 300).unref()
}

/** Why a command ends in the midst: no task has to do with it. */
function unsettled(): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_NEVER_SETTLES',
    message: 'devstack waits for something that can not come: nothing is left that could settle its promise.',
    hint: 'Look in the config and its packs for a promise that is never resolved.',
  })
}

/** One call of devstack: the exit code. Never throws; every error is printed on standard error. */
export async function devstack(argv: readonly string[], io: Io): Promise<number> {
  let verbose = argv.includes('--verbose') || argv.includes('-v')
  try {
    if (argv[0] === '__complete') return await completion.answer(argv.slice(1), io)
    const invocation = parseArguments(argv, { taskNames: completion.knownTasks(argv, io) })
    verbose = invocation.options.verbose ?? false
    if (invocation.options.version) {
      io.stdout.write(`${(await import('./version.ts')).version()}\n`)
      return 0
    }
    if (invocation.options.help && invocation.words.length === 0) {
      return await (await import('./commands/help.ts')).explain(invocation, io)
    }
    const { command } = await commands[invocation.command]()
    return await command(invocation, io)
  } catch (thrown) {
    const error = toDevstackError(thrown)
    io.stderr.write(`${describe(error, thrown, verbose)}\n`)
    return error.exitCode
  }
}

function describe(error: DevstackError, thrown: unknown, verbose: boolean): string {
  if (thrown instanceof DevstackError) {
    const cause =
      verbose && error.cause instanceof Error ? `\n  cause: ${error.cause.stack ?? error.cause.message}` : ''
    return `Error: ${formatError(error)}${cause}`
  }
  const where = thrown instanceof Error ? thrown.stack?.split('\n')[1]?.trim() : undefined
  const more = verbose && thrown instanceof Error ? `\n${thrown.stack}` : where ? `\n  ${where}` : ''
  return `Error: ${error.message}${more}\n  → This is a bug of devstack. Please report it with the output of --verbose.`
}
