/**
 * argv -> Invocation. Purely: no config is read, nothing is printed. What stands after a task's name is kept as it was
 * typed until the task's params are known; `readTargets` in params.ts goes on from there.
 */
import { type DevstackError, suggest } from '../errors.ts'
import {
  type CommandEntry,
  type CommandName,
  commandEntry,
  commandNames,
  commonOptions,
  type OptionEntry,
  optionsOf,
  runOptions,
} from './grammar.ts'
import { collect, type FoundOption, looksLikeOption, type Options, takeOption } from './options.ts'
import { usage } from './usage.ts'

/** What was typed for tasks: each word as it was, `--` included. */
export interface Invocation {
  readonly command: CommandName
  readonly options: Options
  /** For commands that take no tasks: a run's id, a topic, a shell ... */
  readonly operands: readonly string[]
  /** For commands that take tasks: the first task's name and every word behind it. */
  readonly words: readonly string[]
}

export interface ParseOptions {
  /** Names of tasks, if they are known already: makes a better hint for `devstack build`. */
  readonly taskNames?: Iterable<string>
}

/**
 * Reads the words after `devstack`. `devstack` alone is `devstack help`. Throws a DevstackError of kind `usage` for
 * everything it does not understand.
 */
export function parseArguments(argv: readonly string[], { taskNames = [] }: ParseOptions = {}): Invocation {
  const before = readOptions(argv, [...commonOptions, ...runOptions], 'devstack')
  const [name, ...rest] = before.rest
  if (name === undefined) return { command: 'help', options: collect(before.found), operands: [], words: [] }
  const entry = commandEntry(name)
  if (entry === undefined) throw unknownCommand(name, taskNames)
  const allowed = optionsOf(entry)
  for (const { option } of before.found) {
    if (!allowed.some((candidate) => candidate.name === option.name)) {
      throw unknownOption(`--${option.name}`, entry, allowed)
    }
  }
  if (entry.operand.kind === 'tasks') {
    const own = readOptions(rest, allowed, entry)
    const options = collect([...before.found, ...own.found])
    const words = own.rest[0] === '--' ? own.rest.slice(1) : own.rest
    if (words.length === 0 && entry.operand.least > 0 && !options.help && !options.version) {
      throw usage('USAGE_TASK_MISSING', `devstack ${name} needs the name of a task.`, '"devstack list" lists them.')
    }
    return { command: entry.name, options, operands: [], words }
  }
  const own = readOptions(rest, allowed, entry, true)
  const options = collect([...before.found, ...own.found])
  if (!options.help && !options.version) checkOperands(entry, own.rest)
  return { command: entry.name, options, operands: own.rest, words: [] }
}

/** Options up to the first word that is none; with `throughout`, also between and behind other words, up to a `--`. */
function readOptions(
  words: readonly string[],
  allowed: readonly OptionEntry[],
  entry: CommandEntry | 'devstack',
  throughout = false,
): { readonly found: readonly FoundOption[]; readonly rest: readonly string[] } {
  const found: FoundOption[] = []
  const rest: string[] = []
  let index = 0
  while (index < words.length) {
    const word = words[index]!
    if (word === '--' && throughout) {
      rest.push(...words.slice(index + 1))
      break
    }
    if (word === '--' || !looksLikeOption(word)) {
      if (!throughout) return { found, rest: words.slice(index) }
      rest.push(word)
      index += 1
      continue
    }
    const taken = takeOption(words.slice(index), allowed)
    if (taken === undefined) throw unknownOption(word, entry, allowed)
    found.push(...taken.found)
    index += taken.used
  }
  return { found, rest }
}

function checkOperands(entry: CommandEntry, operands: readonly string[]): void {
  const { operand, name } = entry
  const hint = `"devstack help ${name}" explains it.`
  const most = operand.kind === 'none' ? 0 : 1
  if (operands.length > most) {
    const what = most === 0 ? 'no argument' : 'one argument'
    throw usage('USAGE_TOO_MANY_ARGUMENTS', `devstack ${name} takes ${what}, got "${operands[most]}", too.`, hint)
  }
  if (operand.kind !== 'choice') return
  const [given] = operands
  const choices = operand.choices.join(', ')
  if (given === undefined) {
    throw usage('USAGE_ARGUMENT_MISSING', `devstack ${name} needs the ${operand.label}: ${choices}.`, hint)
  }
  if (!operand.choices.includes(given)) {
    const message = `"${given}" is no ${operand.label} of devstack ${name}; there is ${choices}.`
    throw usage('USAGE_BAD_ARGUMENT', `${message}${suggest(given, operand.choices)}`, hint)
  }
}

function unknownCommand(name: string, taskNames: Iterable<string>): DevstackError {
  for (const task of taskNames) {
    if (task === name) {
      return usage('USAGE_UNKNOWN_COMMAND', `"${name}" is a task, not a command.`, `Write "devstack run ${name}".`)
    }
  }
  const hint = '"devstack --help" lists the commands, "devstack list" the tasks for "devstack run".'
  return usage('USAGE_UNKNOWN_COMMAND', `There is no command "${name}".${suggest(name, commandNames)}`, hint)
}

function unknownOption(word: string, entry: CommandEntry | 'devstack', allowed: readonly OptionEntry[]): DevstackError {
  const name = word.split('=', 1)[0]!
  const names = allowed.flatMap((option) => [`--${option.name}`, ...(option.short ? [`-${option.short}`] : [])])
  const where = entry === 'devstack' ? 'devstack' : `devstack ${entry.name}`
  const hint =
    entry === 'devstack'
      ? 'Options of a command stand after it. "devstack --help" lists them.'
      : `"devstack help ${entry.name}" lists them; options of a task stand after its name.`
  return usage('USAGE_UNKNOWN_OPTION', `${where} has no option ${name}.${suggest(name, names)}`, hint)
}
