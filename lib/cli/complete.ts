/**
 * Shell completion. Fast because no config is loaded: whoever loads one leaves the names and params of its tasks in
 * `.devstack/completion.json`, and completion reads that. The file is only read by hand-written checks, since starting zod
 * would cost more than everything else here.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { AnyDefinition } from '../engine/task.ts'
import { looksLikeOption } from './args.ts'
import {
  type CommandEntry,
  commandEntry,
  commands,
  commonOptions,
  type OptionEntry,
  optionsOf,
  runOptions,
} from './grammar.ts'
import { describeParams, optionNames, type Param } from './params.ts'

export interface CompletionParam {
  /** With their dashes: `--verify` and `--no-verify`. */
  readonly names: readonly string[]
  readonly takesValue: boolean
  readonly many?: boolean
  readonly positional?: 'one' | 'rest'
  readonly choices?: readonly string[]
  /** Its value is a path; set with `.meta({ file: true })` or `'directory'`. */
  readonly file?: 'file' | 'directory'
  readonly description?: string
}

export interface CompletionTask {
  readonly name: string
  readonly description?: string
  readonly aliases?: readonly string[]
  readonly params?: readonly CompletionParam[]
}

/** Content of `.devstack/completion.json`. */
export interface CompletionCache {
  readonly format: 1
  /** The config and every other file it was made from; the cache is fresh while none of them changes. */
  readonly sources: readonly { readonly file: string; readonly mtimeMs: number; readonly size: number }[]
  /** Without private ones, in the order of the config. */
  readonly tasks: readonly CompletionTask[]
}

export interface Candidate {
  readonly value: string
  readonly description?: string
}

export interface Completion {
  readonly candidates: readonly Candidate[]
  /** The shell adds the paths it finds. */
  readonly paths: 'none' | 'file' | 'directory'
}

const cacheName = 'completion.json'

/**
 * Writes the cache into `stateDirectory`, whole or not at all. Does nothing when the one that is there is fresh. Never
 * throws for what the file system refuses: completion is a comfort, and no run should fail of it.
 */
export async function writeCompletionCache(given: {
  /** Absolute path of `.devstack/`. */
  readonly stateDirectory: string
  /** Absolute paths. */
  readonly sources: readonly string[]
  readonly tasks: readonly { readonly name: string; readonly definition: AnyDefinition }[]
}): Promise<void> {
  const path = join(given.stateDirectory, cacheName)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const sources = await Promise.all(given.sources.map(stamp))
    const before = await readCache(path)
    if (before && JSON.stringify(before.sources) === JSON.stringify(sources)) return
    const tasks = await Promise.all(given.tasks.filter(({ definition }) => !definition.private).map(describe))
    const cache: CompletionCache = { format: 1, sources, tasks }
    await mkdir(given.stateDirectory, { recursive: true })
    await writeFile(temporary, JSON.stringify(cache))
    await rename(temporary, path)
  } catch {
    await rm(temporary, { force: true }).catch(() => {})
  }
}

async function stamp(file: string): Promise<CompletionCache['sources'][number]> {
  const { mtimeMs, size } = await stat(file)
  return { file, mtimeMs, size }
}

async function describe({ name, definition }: { name: string; definition: AnyDefinition }): Promise<CompletionTask> {
  // A params schema that can not be read is the run's error to tell; the name still completes.
  const params = await describeParams(definition.params).catch(() => [])
  return {
    name,
    ...(definition.description === undefined ? {} : { description: definition.description }),
    ...(definition.aliases === undefined ? {} : { aliases: definition.aliases }),
    ...(params.length === 0 ? {} : { params: params.map(completionParam) }),
  }
}

function completionParam(param: Param): CompletionParam {
  const { shape, positional, description, choices } = param
  const names = [...optionNames(param.option, shape), ...(param.short === undefined ? [] : [`-${param.short}`])]
  const file = shape.meta.file === 'directory' ? 'directory' : shape.meta.file ? 'file' : undefined
  return {
    names,
    takesValue: optionNames(param.option, shape).length === 1,
    ...(param.many ? { many: true } : {}),
    ...(positional ? { positional } : {}),
    ...(choices.length > 0 ? { choices } : {}),
    ...(file === undefined ? {} : { file }),
    ...(description === undefined ? {} : { description }),
  }
}

/**
 * The cache of the nearest project at or above `directory`, and whether it still tells the truth; `undefined` when there is
 * none or it can not be read.
 */
export async function readCompletionCache(
  directory: string,
): Promise<{ readonly cache: CompletionCache; readonly fresh: boolean; readonly stateDirectory: string } | undefined> {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const stateDirectory = join(at, '.devstack')
    const cache = await readCache(join(stateDirectory, cacheName))
    if (cache) {
      const now = await Promise.all(cache.sources.map(({ file }) => stamp(file).catch(() => undefined)))
      const fresh = cache.sources.every(
        ({ mtimeMs, size }, index) => now[index]?.mtimeMs === mtimeMs && now[index]?.size === size,
      )
      return { cache, fresh, stateDirectory }
    }
    if (dirname(at) === at) return undefined
  }
}

async function readCache(path: string): Promise<CompletionCache | undefined> {
  try {
    const value = JSON.parse(await readFile(path, 'utf8')) as Partial<CompletionCache> | null
    if (value?.format !== 1 || !Array.isArray(value.sources) || !Array.isArray(value.tasks)) return undefined
    const isSound = value.tasks.every(
      (task: CompletionTask | null) =>
        typeof task?.name === 'string' &&
        (task.params === undefined ||
          (Array.isArray(task.params) && task.params.every((param) => Array.isArray(param?.names)))),
    )
    const hasSources = value.sources.every((source: { file?: unknown } | null) => typeof source?.file === 'string')
    return isSound && hasSources ? (value as CompletionCache) : undefined
  } catch {
    return undefined
  }
}

/** Ids of the latest runs, newest first, for `show`, `resume` and `undo`; empty when there are none. */
export async function recentRuns(stateDirectory: string, most = 20): Promise<readonly string[]> {
  const names = await readdir(join(stateDirectory, 'runs')).catch(() => [])
  return names
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => name.slice(0, -'.jsonl'.length))
    .sort()
    .reverse()
    .slice(0, most)
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

function completeTasks(
  words: readonly string[],
  current: string,
  given: { readonly tasks: readonly CompletionTask[]; readonly options: readonly OptionEntry[] },
): Completion {
  const names = given.tasks.map(({ name, description }) => ({ value: name, description }))
  const find = (word: string) => given.tasks.find((task) => task.name === word || task.aliases?.includes(word))
  let task: CompletionTask | undefined
  let filled = 0
  let pending: CompletionParam | OptionEntry | undefined
  let used: string[] = []
  for (const word of words) {
    if (pending) {
      pending = undefined
      continue
    }
    const taking = task?.params?.filter((param) => param.positional) ?? []
    const rest = taking[filled]?.positional === 'rest' && filled > 0 && used.includes('rest')
    if (rest) continue
    if (word === '--') {
      task = undefined
      continue
    }
    if (task === undefined) {
      task = find(word)
      filled = 0
      used = []
      continue
    }
    if (looksLikeOption(word)) {
      const base = word.split('=', 1)[0]!
      used.push(base)
      const param = task.params?.find((candidate) => candidate.names.includes(base))
      const option = param
        ? undefined
        : given.options.find((one) => `--${one.name}` === base || `-${one.short}` === base)
      const takes = param ? param.takesValue : option !== undefined && option.value.kind !== 'flag'
      if (takes && !word.includes('=')) pending = param ?? option
      continue
    }
    const slot = taking[filled]
    if (slot === undefined) {
      const next = find(word)
      if (next) {
        task = next
        filled = 0
        used = []
      }
    } else if (slot.positional === 'rest') {
      used.push('rest')
    } else if (!slot.many) {
      filled += 1
    }
  }
  if (pending) return completeValue(pending, current, '')
  if (task === undefined) {
    return looksLikeOption(current) ? starting(current, given.options, []) : matching(current, names)
  }
  const params = task.params ?? []
  const equals = current.startsWith('--') ? current.indexOf('=') : -1
  if (equals > 0) {
    const base = current.slice(0, equals)
    const param = params.find((candidate) => candidate.names.includes(base))
    const option = given.options.find((one) => `--${one.name}` === base)
    const target = param ?? option
    return target ? completeValue(target, current.slice(equals + 1), `${base}=`) : none
  }
  const slot = params.filter((param) => param.positional)[filled]
  if (used.includes('rest')) return slot ? completeValue(slot, current, '') : none
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

function operandCandidates(
  entry: CommandEntry,
  tasks: readonly CompletionTask[],
  runs: readonly string[],
): readonly Candidate[] {
  const names = tasks.map(({ name, description }) => ({ value: name, description }))
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

/** The script that `devstack completion <shell>` prints. */
export function completionScript(shell: 'bash' | 'zsh' | 'fish'): string {
  return { bash, zsh, fish }[shell]
}

// The devstack of the project is preferred to one on PATH, since only it knows the project's version of the options.
const findProgram = `__devstack_program() {
  local directory=$PWD
  while [ -n "$directory" ]; do
    if [ -x "$directory/node_modules/.bin/devstack" ]; then
      printf '%s' "$directory/node_modules/.bin/devstack"
      return
    fi
    directory=\${directory%/*}
  done
  printf 'devstack'
}`

const bash = `# bash completion for devstack: source <(devstack completion bash)
${findProgram}

_devstack() {
  # bash splits words at : and =, which names of tasks and options hold; here they are put together again.
  local rest=\${COMP_LINE:0:COMP_POINT} trimmed word index
  local -a words=()
  for ((index = 0; index <= COMP_CWORD; index++)); do
    trimmed=\${rest#"\${rest%%[![:space:]]*}"}
    word=\${COMP_WORDS[index]}
    ((index == COMP_CWORD)) && word=$trimmed
    if ((index > 0)) && [[ $trimmed == "$rest" ]]; then
      words[\${#words[@]}-1]+=$word
    else
      words+=("$word")
    fi
    rest=\${trimmed#"$word"}
  done
  local current=\${words[\${#words[@]}-1]}
  local paths= value prefix=
  COMPREPLY=()
  while IFS= read -r word; do
    if [[ -z $paths ]]; then
      paths=$word
      continue
    fi
    COMPREPLY+=("\${word%%$'\\t'*}")
  done < <("$(__devstack_program)" __complete -- "\${words[@]:1}" 2>/dev/null)
  # readline replaces only what follows the last : or =.
  [[ $COMP_WORDBREAKS == *:* && $current == *:* ]] && prefix=\${current%"\${current##*:}"}
  if [[ $COMP_WORDBREAKS == *=* && $current == *=* ]]; then
    value=\${current%"\${current##*=}"}
    ((\${#value} > \${#prefix})) && prefix=$value
  fi
  for index in "\${!COMPREPLY[@]}"; do
    value=\${COMPREPLY[index]#"$prefix"}
    printf -v value '%q' "$value"
    COMPREPLY[index]=$value
  done
  if [[ $paths == :file || $paths == :directory ]]; then
    local kind=-f
    [[ $paths == :directory ]] && kind=-d
    compopt -o filenames 2>/dev/null
    while IFS= read -r word; do
      COMPREPLY+=("$word")
    done < <(compgen "$kind" -- "\${current#--*=}")
  fi
}

complete -F _devstack devstack
`

const zsh = `#compdef devstack
# zsh completion for devstack: source <(devstack completion zsh), after compinit
${findProgram}

_devstack() {
  local line paths value description
  local -a values descriptions
  while IFS= read -r line; do
    if [[ -z $paths ]]; then
      paths=$line
      continue
    fi
    value=\${line%%$'\\t'*}
    values+=("$value")
    if [[ $line == *$'\\t'* ]]; then
      descriptions+=("$value -- \${line#*$'\\t'}")
    else
      descriptions+=("$value")
    fi
  done < <("$(__devstack_program)" __complete -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)
  ((\${#values})) && compadd -l -d descriptions -a values
  if [[ $paths == :file || $paths == :directory ]]; then
    compset -P '--*='
    if [[ $paths == :directory ]]; then _files -/; else _files; fi
  fi
}

if [[ \${funcstack[1]} == _devstack ]]; then
  _devstack "$@"
else
  compdef _devstack devstack
fi
`

const fish = `# fish completion for devstack: devstack completion fish | source
function __devstack_program
    set -l directory $PWD
    while test -n "$directory"
        if test -x "$directory/node_modules/.bin/devstack"
            echo "$directory/node_modules/.bin/devstack"
            return
        end
        set directory (string replace -r '/[^/]*$' '' -- $directory)
    end
    echo devstack
end

function __devstack_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ((__devstack_program) __complete -- $words[2..-1] 2>/dev/null)
    set -l paths $answer[1]
    printf '%s\\n' $answer[2..-1]
    set -l current (string replace -r '^--[^=]*=' '' -- (commandline -ct))
    switch "$paths"
        case :file
            __fish_complete_path $current
        case :directory
            __fish_complete_directories $current
    end
end

complete -c devstack -f -a '(__devstack_complete)'
`
