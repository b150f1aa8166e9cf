import type { Invocation } from '../args.ts'
import { complete, completionDirectory, formatCompletion } from '../complete.ts'
import { readCompletionCache, recentRuns } from '../completion-cache.ts'
import { completionScript } from '../completion-scripts.ts'
import type { Io } from '../io.ts'
import { readConfig } from '../open.ts'

/** `devstack completion <shell>`: prints the script. */
export async function command({ operands }: Invocation, io: Io): Promise<number> {
  io.stdout.write(completionScript(operands[0] as 'bash' | 'zsh' | 'fish'))
  return 0
}

/** Names and aliases of the tasks, as far as completion knows them; looked up when the first is asked for. */
export function* knownTasks(words: readonly string[], io: Io): Generator<string> {
  const found = readCompletionCache(completionDirectory(words, io.cwd))
  for (const { name, aliases = [] } of found?.cache.tasks ?? []) yield* [name, ...aliases]
}

/** `devstack __complete -- words...`: what the scripts ask. Never fails: an empty answer is one. */
export async function answer(argv: readonly string[], io: Io): Promise<number> {
  const words = argv[0] === '--' ? argv.slice(1) : argv
  const directory = completionDirectory(words, io.cwd)
  let found = readCompletionCache(directory)
  if (!found?.fresh) {
    try {
      await readConfig({ cwd: directory }, io)
      found = readCompletionCache(directory)
    } catch {
      // a config that does not load still leaves commands and options to complete
    }
  }
  const runs = found ? recentRuns(found.stateDirectory) : []
  io.stdout.write(`${formatCompletion(complete(words, found?.cache, runs))}\n`)
  return 0
}
