/**
 * Params of a task <-> words of the command line. Works from the JSON Schema that a params schema gives of itself (Standard
 * JSON Schema, standardschema.dev), so it does not matter which copy of zod made it; the schema itself has the last word.
 * Words are taken literally: nothing in them is expanded, split at blanks or run.
 */
import type { Names } from '../engine/graph.ts'
import type { Json, Schema, SchemaIssue, Task } from '../engine/task.ts'
import { DevstackError, suggest } from '../errors.ts'
import { collect, type FoundOption, type Invocation, looksLikeOption, type Options, takeOption } from './args.ts'
import { commandEntry, optionsOf } from './grammar.ts'
import { expectation, readShape, type Shape, scalarOf } from './shape.ts'

/** One param as the command line knows it. */
export interface Param {
  /** Key in the params object. */
  readonly key: string
  /** As typed, without the dashes: `toVersion` is `to-version`. */
  readonly option: string
  readonly short?: string
  readonly shape: Shape
  /** A list: give the option again, or separate values by commas. */
  readonly many: boolean
  /** `rest`: takes every word from there on, options too. */
  readonly positional: false | 'one' | 'rest'
  readonly required: boolean
  readonly default?: Json
  readonly description?: string
  readonly choices: readonly string[]
}

export interface TaskTarget {
  readonly name: string
  readonly task: Task
  /** What was typed, coerced and JSON-safe; what a journal stores. */
  readonly input: Readonly<Record<string, Json>>
  /** What the schema made of it, defaults filled in. */
  readonly params: Readonly<Record<string, unknown>>
}

/**
 * The params of a schema in the order of their declaration. Empty for `undefined`. Throws PARAMS_NOT_AN_OBJECT for a
 * schema that is not one of an object, since the command line could not name its parts.
 */
export async function describeParams(schema: Schema | undefined): Promise<readonly Param[]> {
  if (schema === undefined) return []
  const root = readShape(await jsonSchemaOf(schema))
  if (!root.properties) {
    throw new DevstackError({
      kind: 'config',
      code: 'PARAMS_NOT_AN_OBJECT',
      message: 'The params of a task must be an object schema.',
      hint: 'Write params: z.object({ ... }).',
    })
  }
  const params: Param[] = []
  const taken = new Set<string>()
  for (const [key, shape] of root.properties) {
    const dashed = kebab(key)
    const option = taken.has(dashed) ? key : dashed
    taken.add(option)
    const { positional, short } = shape.meta
    params.push({
      key,
      option,
      ...(typeof short === 'string' && /^[a-z0-9]$/i.test(short) ? { short } : {}),
      shape,
      many: shape.items !== undefined,
      positional: positional === 'rest' ? 'rest' : positional ? 'one' : false,
      required: root.required.has(key),
      ...(shape.default === undefined ? {} : { default: shape.default }),
      ...(shape.description === undefined ? {} : { description: shape.description }),
      choices: (shape.items ?? shape).choices.map(String),
    })
  }
  return params
}

/** Version 4.2 and later of zod say it themselves; for older ones our own zod reads it off. */
async function jsonSchemaOf(schema: Schema): Promise<unknown> {
  const standard = schema['~standard'] as Schema['~standard'] & {
    readonly jsonSchema?: { input(options: object): unknown }
  }
  try {
    if (standard.jsonSchema) {
      return standard.jsonSchema.input({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } })
    }
    const { z } = await import('zod')
    return z.toJSONSchema(schema as never, { io: 'input', unrepresentable: 'any' })
  } catch (cause) {
    throw new DevstackError({
      kind: 'config',
      code: 'PARAMS_UNREADABLE',
      message: `The params of a task can not be read from a schema of "${standard.vendor}".`,
      hint: 'Write params: z.object({ ... }) with zod 4.',
      cause,
    })
  }
}

/**
 * Reads the words behind the command as tasks with their params, coerces and validates them. devstack's own options among
 * them are added to `options` unless the task has a param of that name. With `--help` among them nothing is validated.
 */
export async function readTargets(
  invocation: Invocation,
  names: Pick<Names, 'taskNamed' | 'all'>,
): Promise<{ readonly options: Options; readonly targets: readonly TaskTarget[] }> {
  const { words } = invocation
  const entry = commandEntry(invocation.command)
  const allowed = entry === undefined ? [] : optionsOf(entry)
  const found: FoundOption[] = []
  const typed: { name: string; task: Task; params: readonly Param[]; input: Record<string, Json> }[] = []
  let index = 0
  while (index < words.length) {
    const name = words[index]!
    const task = findTask(name, names)
    const params = await describeParams(task.definition.params)
    const reader = new ParamReader(name, params)
    index += 1
    while (index < words.length) {
      const word = words[index]!
      if (word === '--' && !reader.takesAll) break
      if (!reader.takesAll && looksLikeOption(word)) {
        const used = reader.option(words.slice(index, index + 2))
        if (used > 0) {
          index += used
          continue
        }
        const own = takeOption(words.slice(index, index + 2), allowed)
        if (own === undefined) throw reader.unknown(word)
        found.push(...own.found)
        index += own.used
        continue
      }
      if (!reader.word(word)) {
        if (names.taskNamed(word) !== undefined) break
        throw reader.tooMany(word, names.all())
      }
      index += 1
    }
    typed.push({ name, task, params, input: reader.values() })
    if (words[index] === '--') {
      index += 1
      if (index === words.length) {
        throw usage('TASK_MISSING', 'After -- there must be a task.', 'Leave the -- out, or name the next task.')
      }
    }
  }
  const options = { ...invocation.options, ...collect(found) }
  const targets: TaskTarget[] = []
  for (const { name, task, params, input } of typed) {
    const schema: Schema | undefined = task.definition.params
    const valid = options.help || !schema ? input : await validateParams({ task: name, schema, params, input })
    targets.push({ name, task, input, params: valid as Readonly<Record<string, unknown>> })
  }
  return { options, targets }
}

function findTask(name: string, names: Pick<Names, 'taskNamed' | 'all'>): Task {
  const task = names.taskNamed(name)
  if (task === undefined) {
    const hint = looksLikeOption(name) ? 'Name a task first.' : '"devstack list" lists the tasks.'
    throw usage('UNKNOWN_TASK', `There is no task "${name}".${suggest(name, names.all())}`, hint)
  }
  if (task.definition.private) {
    throw usage('TASK_PRIVATE', `The task "${name}" is private.`, 'It runs when another task needs it; run that one.')
  }
  return task
}

/** Collects what is typed behind one task. */
class ParamReader {
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
      throw usage('BAD_PARAM', message, `"devstack help ${this.#task}" shows its params.`)
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
      return usage('UNKNOWN_PARAM', `The task ${this.#task} takes no params, got ${name}.`, hint)
    }
    const near = suggest(
      name,
      this.#params.flatMap(({ option, shape }) => optionNames(option, shape)),
    )
    return usage('UNKNOWN_PARAM', `The task ${this.#task} has no param ${name}.${near}`, hint)
  }

  tooMany(word: string, names: readonly string[]): DevstackError {
    const takes = this.#params.some((param) => param.positional) ? 'no further argument' : 'no argument'
    const hint = `Options look like --name value: see "devstack help ${this.#task}". A further task must be named exactly.`
    return usage('TOO_MANY_ARGUMENTS', `${this.#task} takes ${takes}, got "${word}".${suggest(word, names)}`, hint)
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
        throw usage('PARAM_NEEDS_VALUE', `${given.typed} of ${this.#task} needs ${expectation(shape)}.`, remedy)
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

function badParam(task: string, typed: string, shape: Shape, text: string): DevstackError {
  const near = shape.open ? '' : suggest(text, shape.choices.map(String))
  const message = `${typed} of ${task} needs ${expectation(shape)}, got ${JSON.stringify(text)}.${near}`
  return usage('BAD_PARAM', message, `"devstack help ${task}" shows its params.`)
}

/**
 * Lets the schema validate and complete what was typed. Throws PARAM_MISSING or BAD_PARAM, which name the param as it is
 * typed; further issues stand in `details`.
 */
export async function validateParams(given: {
  readonly task: string
  readonly schema: Schema
  readonly params: readonly Param[]
  readonly input: Readonly<Record<string, Json>>
}): Promise<unknown> {
  const { task, schema, params, input } = given
  const result = await schema['~standard'].validate(input)
  if (!result.issues) return result.value
  const [first, ...others] = result.issues.map((issue) => issueError(issue, { task, params, input }))
  if (others.length === 0) throw first!
  throw new DevstackError({
    kind: 'usage',
    code: first!.code,
    message: first!.message,
    hint: first!.hint,
    details: others.map((error) => error.message),
  })
}

function issueError(
  issue: SchemaIssue,
  {
    task,
    params,
    input,
  }: { readonly task: string; readonly params: readonly Param[]; readonly input: Readonly<Record<string, Json>> },
): DevstackError {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
  const hint = `"devstack help ${task}" shows its params.`
  const param = params.find((candidate) => candidate.key === path[0])
  if (param === undefined) {
    const where = path.length === 0 ? '' : ` (${path.join('.')})`
    return usage('BAD_PARAM', `The params of ${task} do not fit${where}: ${issue.message}`, hint)
  }
  const value = path.reduce<Json | undefined>(
    (at, key) => (Array.isArray(at) ? at[Number(key)] : isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined),
    input as Json,
  )
  const inner = path.slice(1).filter((key) => !/^\d+$/.test(key))
  const typed = inner.length === 0 ? nameOf(param) : `--${[param.option, ...inner].join('.')}`
  if (value === undefined) {
    const what = param.description ? ` (${param.description})` : ''
    return usage('PARAM_MISSING', `${task} needs ${typed}${what}: ${expectation(param.shape)}.`, hint)
  }
  const shape = param.shape.items ?? param.shape
  const generic = /^(invalid|too (small|big)|expected|unrecognized)/i.test(issue.message)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (generic && inner.length === 0 && path.length <= 2) return badParam(task, typed, shape, text)
  return usage('BAD_PARAM', `${typed} of ${task}: ${issue.message}, got ${JSON.stringify(text)}.`, hint)
}

/**
 * The words that `readTargets` reads as `input` again: for examples and for the command a person can repeat. Each word is
 * one argument; quote them for a shell with `quoteWord`.
 */
export function formatParams(params: readonly Param[], input: Readonly<Record<string, Json>>): readonly string[] {
  const options: string[] = []
  const words: string[] = []
  for (const param of params) {
    const value = Object.hasOwn(input, param.key) ? input[param.key] : undefined
    if (value === undefined) continue
    if (param.many && Array.isArray(value)) {
      // A word that looks like an option could not stand alone, so the whole list is written as options.
      const plain = param.positional === 'rest' || !value.some((item) => typeof item !== 'string' || !isWord(item))
      if (param.positional && plain) words.push(...value.map(String))
      else if (value.length === 0) options.push(`--${param.option}=`)
      else options.push(...value.map((item) => `--${param.option}=${scalarText(item).replaceAll(',', '\\,')}`))
    } else if (typeof value === 'boolean' && isBoolean(param.shape)) {
      options.push(value ? `--${param.option}` : `--no-${param.option}`)
    } else {
      options.push(`--${param.option}=${scalarText(value)}`)
    }
  }
  return [...options, ...words]
}

function isWord(text: string): boolean {
  return text !== '' && !looksLikeOption(text)
}

function scalarText(value: Json): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** A word as a POSIX shell reads it back literally. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

/** Commas separate; `\,` is a comma of the value; nothing at all is an empty list. */
export function splitList(text: string): readonly string[] {
  if (text === '') return []
  return text.split(/(?<!\\),/).map((item) => item.replaceAll('\\,', ','))
}

/** How a param is written in a message: `--to`, or `<file>` when it stands alone. */
export function nameOf(param: Param): string {
  return param.positional ? `<${param.option}>` : `--${param.option}`
}

function isBoolean(shape: Shape): boolean {
  return shape.types.includes('boolean') && shape.types.every((type) => type === 'boolean' || type === 'null')
}

/** The options a param is typed with. */
export function optionNames(option: string, shape: Shape): readonly string[] {
  return isBoolean(shape) ? [`--${option}`, `--no-${option}`] : [`--${option}`]
}

function isRecord(value: unknown): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kebab(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/[\s_=]+/g, '-')
    .toLowerCase()
}

function usage(code: string, message: string, hint?: string): DevstackError {
  return new DevstackError({ kind: 'usage', code, message, hint })
}
