/** Options: words of the command line -> values by name, each read as the grammar says. */
import type { FailureMode } from '../engine/scheduler.ts'
import { parseDuration } from '../engine/task.ts'
import { suggest } from '../errors.ts'
import type { graphFormats, importNames, OptionEntry, rendererNames } from './grammar.ts'
import { usage } from './usage.ts'

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

function camel(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}
