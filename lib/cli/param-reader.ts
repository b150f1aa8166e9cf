/** Words behind one task -> its params, coerced but not validated. */
import type { Json } from '../engine/schema.ts'
import { type DevstackError, suggest } from '../errors.ts'
import { looksLikeOption } from './options.ts'
import { badParam, isBoolean, isRecord, nameOf, optionNames, type Param } from './param.ts'
import { expectation, type Shape, scalarOf } from './shape.ts'
import { usage } from './usage.ts'

/** Collects what is typed behind one task. */
export class ParamReader {
  readonly #task: string
  readonly #params: readonly Param[]
  readonly #values = new Map<string, Json>()
  #rest = false

  constructor(task: string, params: readonly Param[]) {
    this.#task = task
    this.#params = params
  }

  /** A `rest` param has begun: options and `--` belong to it. */
  get takesAll(): boolean {
    return this.#rest
  }

  /** Takes the option at the start of `words` if it is a param of the task; gives how many words it used, 0 for none. */
  option(words: readonly string[]): number {
    const word = words[0]!
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word)
    if (!match) {
      const short = this.#params.find((param) => param.short !== undefined && word[1] === param.short)
      if (!short) return 0
      const attached = word.length > 2 ? word.slice(2).replace(/^=/, '') : undefined
      return this.#take(short, [], { typed: `-${short.short}`, attached, next: words[1] })
    }
    const [path, attached] = [match[1]!, match[2]]
    const [head, ...inner] = path.split('.')
    const param = this.#named(path) ?? (inner.length > 0 ? this.#named(head!) : undefined)
    if (param) {
      const keys = this.#named(path) ? [] : inner
      return this.#take(param, keys, { typed: `--${path}`, attached, next: words[1] })
    }
    const negated = path.startsWith('no-') ? this.#named(path.slice(3)) : undefined
    if (!negated) return 0
    if (!isBoolean(negated.shape) || attached !== undefined) {
      const message =
        attached === undefined
          ? `--${negated.option} of ${this.#task} is not on or off, so there is no --${path}.`
          : `--${path} takes no value, got "${attached}".`
      throw usage('USAGE_BAD_PARAM', message, `"devstack help ${this.#task}" shows its params.`)
    }
    this.#values.set(negated.key, false)
    return 1
  }

  /** Takes a word that is no option; `false` when no param is left for it. */
  word(text: string): boolean {
    for (const param of this.#params) {
      if (!param.positional || (!param.many && this.#values.has(param.key))) continue
      this.#rest = param.positional === 'rest'
      const value = this.#scalar(param, param.shape.items ?? param.shape, text, param.option)
      this.#values.set(param.key, param.many ? [...((this.#values.get(param.key) as Json[]) ?? []), value] : value)
      return true
    }
    return false
  }

  values(): Record<string, Json> {
    return Object.fromEntries(this.#values)
  }

  unknown(word: string): DevstackError {
    const name = word.split('=', 1)[0]!
    const hint = `"devstack help ${this.#task}" shows its params.`
    if (this.#params.length === 0) {
      return usage('USAGE_UNKNOWN_PARAM', `The task ${this.#task} takes no params, got ${name}.`, hint)
    }
    const near = suggest(
      name,
      this.#params.flatMap(({ option, shape }) => optionNames(option, shape)),
    )
    return usage('USAGE_UNKNOWN_PARAM', `The task ${this.#task} has no param ${name}.${near}`, hint)
  }

  tooMany(word: string, names: readonly string[]): DevstackError {
    const takes = this.#params.some((param) => param.positional) ? 'no further argument' : 'no argument'
    const hint = `Options look like --name value: see "devstack help ${this.#task}". A further task must be named exactly.`
    return usage(
      'USAGE_TOO_MANY_ARGUMENTS',
      `${this.#task} takes ${takes}, got "${word}".${suggest(word, names)}`,
      hint,
    )
  }

  #named(option: string): Param | undefined {
    return (
      this.#params.find((param) => param.option === option) ??
      this.#params.find((param) => param.key === option && param.key !== '')
    )
  }

  #take(
    param: Param,
    keys: readonly string[],
    given: { readonly typed: string; readonly attached: string | undefined; readonly next: string | undefined },
  ): number {
    const shape = keys.length === 0 ? param.shape : this.#inner(param, keys, given.typed)
    if (isBoolean(shape)) {
      const value = given.attached === undefined ? true : this.#scalar(param, shape, given.attached, given.typed)
      this.#store(param, keys, value)
      return 1
    }
    let text = given.attached
    if (text === undefined) {
      if (given.next === undefined || looksLikeOption(given.next)) {
        const remedy =
          given.next === undefined ? undefined : `If ${given.next} is the value, write ${given.typed}=${given.next}.`
        throw usage('USAGE_PARAM_NEEDS_VALUE', `${given.typed} of ${this.#task} needs ${expectation(shape)}.`, remedy)
      }
      text = given.next
    }
    if (shape.items) {
      const items = splitList(text).map((item) => this.#scalar(param, shape.items!, item, given.typed))
      const before = (this.#stored(param, keys) as Json[] | undefined) ?? []
      this.#store(param, keys, [...before, ...items])
    } else if (shape.entries && keys.length === 0 && !text.startsWith('{')) {
      const equals = text.indexOf('=')
      if (equals < 1) throw this.#bad(given.typed, shape, text)
      const value = this.#scalar(param, shape.entries, text.slice(equals + 1), given.typed)
      this.#store(param, [text.slice(0, equals)], value)
    } else {
      if (this.#stored(param, keys) !== undefined) {
        throw usage(
          'USAGE_PARAM_REPEATED',
          `${given.typed} of ${this.#task} takes one value, got a second: "${text}".`,
          `"devstack help ${this.#task}" shows its params.`,
        )
      }
      this.#store(param, keys, this.#scalar(param, shape, text, given.typed))
    }
    return given.attached === undefined ? 2 : 1
  }

  #inner(param: Param, keys: readonly string[], typed: string): Shape {
    let shape: Shape | undefined = param.shape
    for (const key of keys) shape = shape?.properties?.get(key) ?? shape?.entries
    if (shape === undefined) throw this.unknown(typed)
    return shape
  }

  #stored(param: Param, keys: readonly string[]): Json | undefined {
    let value: Json | undefined = this.#values.get(param.key)
    for (const key of keys) {
      value = isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined
    }
    return value
  }

  #store(param: Param, keys: readonly string[], value: Json): void {
    const put = (old: Json | undefined, path: readonly string[]): Json => {
      const [key, ...inner] = path
      if (key === undefined) return value
      const entries = new Map(isRecord(old) ? Object.entries(old) : [])
      entries.set(key, put(entries.get(key), inner))
      return Object.fromEntries(entries)
    }
    this.#values.set(param.key, put(this.#values.get(param.key), keys))
  }

  #scalar(param: Param, shape: Shape, text: string, typed: string): Json {
    const value = scalarOf(text, shape)
    if (value === undefined) throw this.#bad(typed.startsWith('-') ? typed : nameOf(param), shape, text)
    return value
  }

  #bad(typed: string, shape: Shape, text: string): DevstackError {
    return badParam(this.#task, typed, shape, text)
  }
}

/** Commas separate; `\,` is a comma of the value; nothing at all is an empty list. */
function splitList(text: string): readonly string[] {
  if (text === '') return []
  return text.split(/(?<!\\),/).map((item) => item.replaceAll('\\,', ','))
}
