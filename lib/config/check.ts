/**
 * Checks of what a module exports: its settings and its tasks. By hand, since they are on the path of every start and
 * loading zod takes longer than loading the config.
 */
import { readFileSync } from 'node:fs'
import { type AnyDefinition, parseDuration } from '../engine/task.ts'
import { DevstackError, type Place, suggest } from '../errors.ts'
import type { Config, Pack } from './define.ts'

/** Of a project's name, whoever gives it. */
export const projectNamePattern = /^[a-z0-9][a-z0-9_-]*$/

/** Says what is expected of a value when it is something else. */
type Check = (value: unknown) => string | undefined

const is =
  (expected: string, holds: (value: unknown) => boolean): Check =>
  (value) =>
    holds(value) ? undefined : expected
const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isFunction = (value: unknown): boolean => typeof value === 'function'
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((item) => typeof item === 'string')
const isDuration = (value: unknown): boolean => parseDuration(value) !== undefined
const isWhole = (value: unknown, least: number): boolean => Number.isInteger(value) && (value as number) >= least

const text = is('text', (value) => typeof value === 'string')
const texts = is('a list of texts', isTexts)
const flag = is('true or false', (value) => typeof value === 'boolean')
const method = is('a function', isFunction)
const duration = is('a duration such as 250ms, 30s, 5m or 1h', isDuration)
const schema = is(
  'a schema such as z.object({ ... })',
  (value) => Object(value) === value && '~standard' in Object(value),
)
const oneOf = (choices: readonly string[]): Check =>
  is(`one of ${choices.join(', ')}`, (value) => choices.includes(value as string))

const taskChecks: Readonly<Record<keyof AnyDefinition, Check>> = {
  description: text,
  needs: is('a record of tasks, or a function that gives one', (value) => Object(value) === value),
  params: schema,
  returns: schema,
  gate: is('a gate or a list of gates', (value) =>
    [value].flat().every((gate) => isFunction((gate as { hold?: unknown } | null | undefined)?.hold)),
  ),
  effect: oneOf(['read', 'create', 'change', 'destroy']),
  destroys: method,
  confirm: text,
  locks: is(
    'a list of names, or of { name, size } with a size from 1',
    (value) => Array.isArray(value) && value.every(isLock),
  ),
  weight: is('a whole number from 0', (value) => isWhole(value, 0)),
  timeout: duration,
  retry: is(
    'the number of further tries, or { attempts, delay, maxDelay, factor, jitter }',
    (value) => isWhole(value, 0) || (isRecord(value) && isWhole(value['attempts'], 0)),
  ),
  cwd: text,
  env: is(
    'a record of texts',
    (value) => isRecord(value) && Object.values(value).every((item) => Object(item) !== item),
  ),
  envFiles: texts,
  passEnv: texts,
  platforms: texts,
  inputs: texts,
  outputs: texts,
  cache: flag,
  private: flag,
  aliases: texts,
  source: text,
  service: flag,
  label: text,
  runLocks: is('a list of names, or a function that gives one', (value) => isTexts(value) || isFunction(value)),
  partOf: text,
  interactive: flag,
  run: method,
  observe: method,
  cleanup: method,
  undo: method,
  undoOn: oneOf(['request', 'on-failure']),
}

const cancelKeys = ['interrupt', 'terminate', 'abandon']
const configChecks: Readonly<Record<keyof Config, Check>> = {
  name: is('lower-case letters, digits, "-" or "_"', (value) => projectNamePattern.test(String(value))),
  use: is(
    'a list of packs, as haStack() or definePack() give them',
    (value) => Array.isArray(value) && value.every(isPack),
  ),
  tasks: is('a record of tasks by name', isRecord),
  include: is(
    'a record of paths by namespace',
    (value) => isRecord(value) && Object.values(value).every((path) => typeof path === 'string'),
  ),
  envFiles: texts,
  secrets: texts,
  concurrency: is('a whole number from 1', (value) => isWhole(value, 1)),
  cancel: is(
    `a record of durations: ${cancelKeys.join(', ')}`,
    (value) =>
      isRecord(value) &&
      Object.entries(value).every(
        ([key, delay]) => cancelKeys.includes(key) && (delay === undefined || isDuration(delay)),
      ),
  ),
  cacheBytes: is('a whole number of bytes from 1', (value) => isWhole(value, 1)),
}

function isLock(lock: unknown): boolean {
  if (typeof lock === 'string') return lock !== ''
  return isRecord(lock) && typeof lock['name'] === 'string' && isWhole(lock['size'], 1)
}

function isPack(value: unknown): boolean {
  const pack = value as Pack | null | undefined
  return pack?.kind === 'pack' && (pack.secrets === undefined || isTexts(pack.secrets))
}

/** The settings as they are, checked. Throws CONFIG_INVALID, which names the setting and where in `file` it stands. */
export function checkConfig(config: Config, file: string): Config {
  const fault = faultOf(config, configChecks)
  if (!fault) return config
  throw new DevstackError({
    kind: 'config',
    code: 'CONFIG_INVALID',
    message:
      fault.expected === undefined
        ? `"${fault.key}" is no setting of a config.${suggest(fault.key, Object.keys(configChecks))}`
        : `${fault.key}: ${fault.got} must be ${fault.expected}.`,
    hint: `The settings are ${Object.keys(configChecks).join(', ')}.`,
    place: placeIn(file, [fault.key]),
  })
}

/**
 * Checks the definition of a task. Throws CONFIG_INVALID, which names the task, the key and, with `file`, where it stands.
 * `origin` is for the message.
 */
export function checkTask(
  name: string,
  definition: AnyDefinition,
  { origin, file }: { readonly origin?: string; readonly file?: string } = {},
): void {
  const fault = isRecord(definition)
    ? faultOf(definition, taskChecks)
    : { key: 'definition', expected: 'a record', got: '' }
  if (!fault) return
  const { key, expected, got } = fault
  const where = origin === undefined ? '' : ` in ${origin}`
  throw new DevstackError({
    kind: 'config',
    code: 'CONFIG_INVALID',
    message:
      expected === undefined
        ? `"${key}" of the task "${name}"${where} is no key of a task.${suggest(key, Object.keys(taskChecks))}`
        : `${key} of the task "${name}"${where} must be ${expected}, got ${got}.`,
    ...(expected === undefined ? { hint: `The keys of a task are ${Object.keys(taskChecks).join(', ')}.` } : {}),
    ...(file === undefined ? {} : { place: placeIn(file, [name.slice(name.lastIndexOf(':') + 1), key]) }),
  })
}

interface Fault {
  readonly key: string
  /** Missing when there is no such key. */
  readonly expected?: string
  readonly got: string
}

function faultOf(given: object, checks: Readonly<Record<string, Check>>): Fault | undefined {
  for (const key of Object.keys(given)) {
    const value = (given as Readonly<Record<string, unknown>>)[key]
    if (!Object.hasOwn(checks, key)) return { key, got: '' }
    const expected = value === undefined ? undefined : checks[key]!(value)
    if (expected !== undefined) return { key, expected, got: shown(value) }
  }
  return undefined
}

function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  const json =
    typeof value === 'object' ? JSON.stringify(value) : typeof value === 'string' ? `"${value}"` : String(value)
  return json.length > 60 ? `${json.slice(0, 59)}…` : json
}

/** The place of the last of these words, each looked for behind the one before; the file alone when one is not there. */
function placeIn(file: string, words: readonly string[]): Place {
  let source: string
  try {
    source = readFileSync(file, 'utf8')
  } catch {
    return { file }
  }
  let at = 0
  for (const word of words) {
    const escaped = word.replaceAll(/[^\w]/g, '\\$&')
    const found = new RegExp(`(?<![\\w$.])['"]?${escaped}['"]?\\s*[:=(,}]`, 'g')
    found.lastIndex = at
    const match = found.exec(source)
    if (!match) return { file }
    at = match.index
  }
  const before = source.slice(0, at).split('\n')
  const line = before.length
  return { file, line, column: before.at(-1)!.length + 1, text: source.split('\n')[line - 1]! }
}
