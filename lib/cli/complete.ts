/**
 * Shell completion: what could stand in place of the word that is being typed. Purely from the words and the completion
 * cache, so that no config is loaded while somebody waits for the Tab key.
 */
import { dirname, resolve } from 'node:path'
import type { CompletionCache, CompletionParam, CompletionTask } from './completion-cache.ts'
import {
  type CommandEntry,
  commandEntry,
  commands,
  commonOptions,
  type OptionEntry,
  optionsOf,
  runOptions,
} from './grammar.ts'
import { looksLikeOption } from './options.ts'

export interface Candidate {
  readonly value: string
  readonly description?: string
}

export interface Completion {
  readonly candidates: readonly Candidate[]
  /** The shell adds the paths it finds. */
  readonly paths: 'none' | 'file' | 'directory'
}

/** The folder that the words speak about: `-C` and `--config` move it. */
export function completionDirectory(words: readonly string[], cwd: string): string {
  let directory = cwd
  for (const [index, word] of words.entries()) {
    const match = /^(--cwd|--config|-C)(?:=(.*))?$/s.exec(word)
    const value = match?.[2] ?? (match ? words[index + 1] : undefined)
    if (!match || !value) continue
    directory = resolve(directory, match[1] === '--config' ? dirname(value) : value)
  }
  return directory
}

/**
 * What could stand in place of the last word, which may be empty or half typed. Words before it that make no sense are
 * passed over: while somebody types, most lines are wrong.
 */
export function complete(
  words: readonly string[],
  cache: Pick<CompletionCache, 'tasks'> = { tasks: [] },
  runs: readonly string[] = [],
): Completion {
  const current = words.at(-1) ?? ''
  const typed = words.slice(0, -1)
  const before = skipOptions(typed, 0, [...commonOptions, ...runOptions])
  if (before.pending) return completeValue(before.pending, current, '')
  const name = typed[before.index]
  if (name === undefined) return starting(current, [...commonOptions, ...runOptions], commands.map(commandCandidate))
  const entry = commandEntry(name)
  if (entry === undefined) return none
  const options = optionsOf(entry)
  const own = skipOptions(typed, before.index + 1, options)
  if (own.pending) return completeValue(own.pending, current, '')
  if (entry.operand.kind === 'tasks') {
    return completeTasks(typed.slice(own.index), current, { tasks: cache.tasks, options })
  }
  const operands = operandCandidates(entry, cache.tasks, runs)
  let index = own.index
  let count = 0
  while (index < typed.length) {
    count += 1
    const next = skipOptions(typed, index + 1, options)
    if (next.pending) return completeValue(next.pending, current, '')
    index = next.index
  }
  return starting(current, options, count === 0 ? operands : [])
}

const none: Completion = { candidates: [], paths: 'none' }

interface GivenWords {
  readonly tasks: readonly CompletionTask[]
  readonly options: readonly OptionEntry[]
}

/** What the words before the one that is being typed say. */
interface Typed {
  /** The task whose params come next. */
  readonly task?: CompletionTask | undefined
  /** How many of its positional params have their word. */
  readonly filled: number
  /** Whether the words are those of a param that takes all from there on. */
  readonly resting: boolean
  /** Its options so far. */
  readonly used: readonly string[]
  /** The option whose value comes next. */
  readonly pending?: CompletionParam | OptionEntry | undefined
}

const nothingTyped: Typed = { filled: 0, resting: false, used: [] }

function readTasks(words: readonly string[], given: GivenWords): Typed {
  let typed = nothingTyped
  for (const word of words) typed = typed.pending ? { ...typed, pending: undefined } : readWord(word, typed, given)
  return typed
}

function readWord(word: string, typed: Typed, given: GivenWords): Typed {
  const { task, filled, resting, used } = typed
  const named = (): CompletionTask | undefined =>
    given.tasks.find((one) => one.name === word || one.aliases?.includes(word))
  const slot = positional(task)[filled]
  if (resting) return typed
  if (word === '--') return nothingTyped
  if (task === undefined) return { ...nothingTyped, task: named() }
  if (looksLikeOption(word)) {
    const base = word.split('=', 1)[0]!
    const param = task.params?.find(({ names }) => names.includes(base))
    const option = param ? undefined : given.options.find((one) => `--${one.name}` === base || `-${one.short}` === base)
    const takes = param ? param.takesValue : option !== undefined && option.value.kind !== 'flag'
    return { ...typed, used: [...used, base], pending: takes && !word.includes('=') ? (param ?? option) : undefined }
  }
  if (slot === undefined) {
    const next = named()
    return next ? { ...nothingTyped, task: next } : typed
  }
  if (slot.positional === 'rest') return { ...typed, resting: true }
  return slot.many ? typed : { ...typed, filled: filled + 1 }
}

function positional(task: CompletionTask | undefined): readonly CompletionParam[] {
  return task?.params?.filter((param) => param.positional) ?? []
}

function completeTasks(words: readonly string[], current: string, given: GivenWords): Completion {
  const { task, filled, resting, used, pending } = readTasks(words, given)
  const names = taskCandidates(given.tasks)
  if (pending) return completeValue(pending, current, '')
  if (task === undefined) {
    return looksLikeOption(current) ? starting(current, given.options, []) : matching(current, names)
  }
  const slot = positional(task)[filled]
  if (slot && resting) return completeValue(slot, current, '')
  const params = task.params ?? []
  const equals = current.startsWith('--') ? current.indexOf('=') : -1
  if (equals > 0) {
    const base = current.slice(0, equals)
    const target =
      params.find((one) => one.names.includes(base)) ?? given.options.find((one) => `--${one.name}` === base)
    return target ? completeValue(target, current.slice(equals + 1), `${base}=`) : none
  }
  if (current.startsWith('-')) {
    const own = params
      .filter((param) => !param.positional && (param.many || !param.names.some((name) => used.includes(name))))
      .flatMap((param) => param.names.map((value) => ({ value, description: param.description })))
    const taken = new Set(own.map(({ value }) => value))
    const general = optionCandidates(given.options).filter(({ value }) => !taken.has(value) && !used.includes(value))
    return matching(current, [...own, { value: '--', description: 'next task' }, ...general])
  }
  return slot ? completeValue(slot, current, '') : matching(current, names)
}

/** Options and, when the word does not begin with a dash, `others`. */
function starting(current: string, options: readonly OptionEntry[], others: readonly Candidate[]): Completion {
  const equals = current.startsWith('--') ? current.indexOf('=') : -1
  if (equals > 0) {
    const name = current.slice(2, equals)
    const option = options.find((candidate) => candidate.name === name)
    return option ? completeValue(option, current.slice(equals + 1), `--${name}=`) : none
  }
  return current.startsWith('-') ? matching(current, optionCandidates(options)) : matching(current, others)
}

function completeValue(target: OptionEntry | CompletionParam, current: string, prefix: string): Completion {
  const isOption = 'value' in target
  const kind = isOption ? target.value.kind : undefined
  const paths = !isOption ? (target.file ?? 'none') : kind === 'file' || kind === 'directory' ? kind : 'none'
  const choices = isOption ? (target.value.kind === 'choice' ? target.value.choices : []) : (target.choices ?? [])
  const many = isOption ? 'many' in target.value && target.value.many === true : target.many === true
  const comma = many && !(!isOption && target.positional) ? current.lastIndexOf(',') + 1 : 0
  const head = prefix + current.slice(0, comma)
  const given = current.slice(0, comma).split(',')
  const left = choices.filter((choice) => comma === 0 || !given.includes(choice))
  return {
    ...matching(
      prefix + current,
      left.map((value) => ({ value: head + value })),
    ),
    paths,
  }
}

function matching(current: string, candidates: readonly Candidate[]): Completion {
  return { candidates: candidates.filter(({ value }) => value.startsWith(current)), paths: 'none' }
}

function optionCandidates(options: readonly OptionEntry[]): Candidate[] {
  return options.map(({ name, summary }) => ({ value: `--${name}`, description: summary }))
}

function commandCandidate({ name, summary }: CommandEntry): Candidate {
  return { value: name, description: summary }
}

/** Names, then aliases. */
function taskCandidates(tasks: readonly CompletionTask[]): readonly Candidate[] {
  return [
    ...tasks.map(({ name, description }) => ({ value: name, description })),
    ...tasks.flatMap(({ aliases = [], description }) => aliases.map((value) => ({ value, description }))),
  ]
}

function operandCandidates(
  entry: CommandEntry,
  tasks: readonly CompletionTask[],
  runs: readonly string[],
): readonly Candidate[] {
  const names = taskCandidates(tasks)
  switch (entry.operand.kind) {
    case 'task':
      return names
    case 'topic':
      return [...commands.map(commandCandidate), ...names]
    case 'run':
      return runs.map((value) => ({ value }))
    case 'choice':
      return entry.operand.choices.map((value) => ({ value }))
    default:
      return []
  }
}

/** Where the first word that is no option stands, and the option whose value is still to come. */
function skipOptions(
  words: readonly string[],
  from: number,
  options: readonly OptionEntry[],
): { readonly index: number; readonly pending?: OptionEntry } {
  let index = from
  while (index < words.length) {
    const word = words[index]!
    if (word === '--') return { index: index + 1 }
    if (!looksLikeOption(word)) return { index }
    const option = options.find(({ name, short }) => word === `--${name}` || word === `-${short}`)
    index += 1
    if (option === undefined || option.value.kind === 'flag') continue
    if (index === words.length) return { index, pending: option }
    index += 1
  }
  return { index }
}

/** What `devstack __complete` prints: `:none`, `:file` or `:directory`, then one `value<tab>description` a line. */
export function formatCompletion({ candidates, paths }: Completion): string {
  const flat = (text: string) => text.replace(/[\t\r\n\0]+/g, ' ')
  const lines = candidates
    // A name that holds a line break can not be offered: the shell would see two.
    .filter(({ value }) => !/[\t\r\n\0]/.test(value))
    .map(({ value, description }) => (description ? `${value}\t${flat(description)}` : value))
  return [`:${paths}`, ...lines].join('\n')
}
