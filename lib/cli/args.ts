/**
 * argv -> Invocation. Purely: no config is read, nothing is printed. What stands after a task's name is kept as it was
 * typed until the task's params are known; `readTargets` in params.ts goes on from there.
 */
import type { FailureMode } from '../engine/scheduler.ts'
import { parseDuration } from '../engine/task.ts'
import { DevstackError, suggest } from '../errors.ts'
import {
  type CommandEntry,
  type CommandName,
  commandEntry,
  commandNames,
  commonOptions,
  type graphFormats,
  type importNames,
  type OptionEntry,
  optionsOf,
  type rendererNames,
  runOptions,
} from './grammar.ts'

/** What the options said; what was not given is absent, so that a config's settings can stand in for it. */
export interface Options {
  readonly config?: string
  readonly cwd?: string
  readonly verbose?: boolean
  readonly quiet?: boolean
  readonly version?: boolean
  readonly help?: boolean
  readonly concurrency?: number
  /** Of `--fail-fast`, `--keep-going` and `--kill` the last one given. */
  readonly failureMode?: FailureMode
  readonly force?: boolean
  /** `false` for `--no-cache`. */
  readonly cache?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
  /** `false` for `--no-backup`. */
  readonly backup?: boolean
  /** Milliseconds. */
  readonly timeout?: number
  readonly renderer?: (typeof rendererNames)[number]
  readonly json?: boolean
  readonly junit?: string
  readonly trace?: string
  readonly all?: boolean
  readonly format?: (typeof graphFormats)[number] | 'yaml'
  readonly limit?: number
  readonly from?: readonly (typeof importNames)[number][]
  readonly schema?: boolean
  readonly file?: readonly string[]
  readonly profile?: readonly string[]
  readonly envFile?: readonly string[]
  /** Bytes. */
  readonly maxSize?: number
  /** Milliseconds. */
  readonly olderThan?: number
}

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

export interface FoundOption {
  readonly option: OptionEntry
  readonly value: string | number | boolean
}

/** Found options as one object: the last one given wins, those that may be given several times are collected. */
export function collect(found: readonly FoundOption[]): Options {
  const options = new Map<string, unknown>()
  for (const { option, value } of found) {
    const { name } = option
    if (name === 'fail-fast' || name === 'keep-going' || name === 'kill') {
      if (value === true) options.set('failureMode', name)
      else if (options.get('failureMode') === name) options.delete('failureMode')
      continue
    }
    const key = camel(name.startsWith('no-') ? name.slice(3) : name)
    if ('many' in option.value && option.value.many) {
      options.set(key, [...((options.get(key) as string[] | undefined) ?? []), value])
    } else {
      options.set(key, name.startsWith('no-') ? value === false : value)
    }
  }
  return Object.fromEntries(options) as Options
}

/** Of the options those that say where the config is. */
export function locationOf({ config, cwd }: Options): Pick<Options, 'config' | 'cwd'> {
  return { ...(config === undefined ? {} : { config }), ...(cwd === undefined ? {} : { cwd }) }
}

/**
 * Reads one option at the start of `words`. Gives `undefined` when its name is none of `allowed`; throws when its value is
 * missing or wrong. A cluster of short flags (`-kf`) gives several.
 */
export function takeOption(
  words: readonly string[],
  allowed: readonly OptionEntry[],
): { readonly found: readonly FoundOption[]; readonly used: number } | undefined {
  const word = words[0]!
  if (word.startsWith('--')) {
    const equals = word.indexOf('=')
    const name = equals < 0 ? word.slice(2) : word.slice(2, equals)
    const attached = equals < 0 ? undefined : word.slice(equals + 1)
    const exact = allowed.find((option) => option.name === name)
    if (exact) return takeValue(exact, `--${name}`, attached, words)
    const opposite = name.startsWith('no-') ? name.slice(3) : `no-${name}`
    const negated = allowed.find((option) => option.name === opposite && option.value.kind === 'flag')
    if (negated === undefined) return undefined
    const { found, used } = takeValue(negated, `--${name}`, attached, words)
    return { found: found.map(({ option, value }) => ({ option, value: value === false })), used }
  }
  const found: FoundOption[] = []
  for (let index = 1; index < word.length; index += 1) {
    const letter = word[index]!
    const option = allowed.find((candidate) => candidate.short === letter)
    if (option === undefined) {
      if (index === 1) return undefined
      throw usage('USAGE_UNKNOWN_OPTION', `-${letter} in ${word} is no option here.`, 'Give the options one by one.')
    }
    if (option.value.kind === 'flag') {
      found.push({ option, value: true })
      continue
    }
    const attached = word.slice(index + 1).replace(/^=/, '')
    const taken = takeValue(option, `-${letter}`, index + 1 < word.length ? attached : undefined, words)
    return { found: [...found, ...taken.found], used: taken.used }
  }
  return { found, used: 1 }
}

function takeValue(
  option: OptionEntry,
  typed: string,
  attached: string | undefined,
  words: readonly string[],
): { found: readonly FoundOption[]; used: number } {
  if (option.value.kind === 'flag') {
    if (attached === undefined) return { found: [{ option, value: true }], used: 1 }
    if (attached !== 'true' && attached !== 'false') {
      throw usage('USAGE_BAD_OPTION_VALUE', `${typed} takes no value, got "${attached}".`, `Write ${typed} alone.`)
    }
    return { found: [{ option, value: attached === 'true' }], used: 1 }
  }
  const next = words[1]
  if (attached === undefined && (next === undefined || looksLikeOption(next))) {
    const remedy = next === undefined ? undefined : `If ${next} is meant as the value, write ${typed}=${next}.`
    throw usage('USAGE_OPTION_NEEDS_VALUE', `${typed} needs ${expected(option)}.`, remedy)
  }
  const text = attached ?? next!
  const values =
    'many' in option.value && option.value.many && option.value.kind === 'choice' ? text.split(',') : [text]
  return {
    found: values.map((value) => ({ option, value: convert(option, typed, value) })),
    used: attached === undefined ? 2 : 1,
  }
}

/** A negative number and `-` (standard input) are values, `--` and whatever else begins with a dash is not. */
export function looksLikeOption(word: string): boolean {
  return /^-(?!\d*\.?\d+$)./s.test(word)
}

function convert(option: OptionEntry, typed: string, text: string): string | number {
  const { value } = option
  const wrong = () => usage('USAGE_BAD_OPTION_VALUE', `${typed} needs ${expected(option)}, got "${text}".`)
  switch (value.kind) {
    case 'choice':
      if (!value.choices.includes(text)) {
        throw usage('USAGE_BAD_OPTION_VALUE', `${wrong().message}${suggest(text, value.choices)}`)
      }
      return text
    case 'number': {
      const number = /^\d+$/.test(text) ? Number(text) : Number.NaN
      if (!Number.isSafeInteger(number) || number < value.least) throw wrong()
      return number
    }
    case 'duration': {
      const ms = parseDuration(text)
      if (ms === undefined) throw wrong()
      return ms
    }
    case 'size': {
      const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?$/i.exec(text)
      if (!match) throw wrong()
      return Math.round(Number(match[1]) * 1024 ** ' kmgt'.indexOf(match[2]!.toLowerCase() || ' '))
    }
    default:
      if (text === '') throw wrong()
      return text
  }
}

function expected({ value }: OptionEntry): string {
  switch (value.kind) {
    case 'flag':
      return 'no value'
    case 'choice':
      return `one of ${value.choices.join(', ')}`
    case 'number':
      return `a whole number from ${value.least}`
    case 'duration':
      return 'a time like 250ms, 30s, 5m or 1h'
    case 'size':
      return 'a size like 500MB or 2GB'
    case 'file':
      return 'a file'
    case 'directory':
      return 'a folder'
    case 'text':
      return `a value (${value.label})`
  }
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

function usage(code: string, message: string, hint?: string): DevstackError {
  return new DevstackError({ kind: 'usage', code, message, hint })
}

function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}
