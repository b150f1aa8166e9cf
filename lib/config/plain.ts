/** YAML and JSON configs: text -> tasks, with the place of what is wrong. */
import { isMap, isNode, parseDocument } from 'yaml'
import type { ZodType, z } from 'zod'
import { named, type Task } from '../engine/task.ts'
import { DevstackError, messageOf, type Place, suggest } from '../errors.ts'
import { type Config, command, task } from './define.ts'
import { type PlainConfig, type PlainTask, plainConfigSchema, plainTaskSchema } from './schema.ts'

/** A config read from YAML or JSON (which is YAML too). Throws CONFIG_SYNTAX or CONFIG_INVALID with file, line and column. */
export function parsePlainConfig(text: string, file: string): PlainResult {
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: true })
  const problem = document.errors[0]
  if (problem) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_SYNTAX',
      message: `The config can not be read: ${problem.message.replace(/\.$/, '')}.`,
      place: placeAt(text, file, problem.pos[0]),
    })
  }
  return checked(document.toJS({ maxAliasCount: 100 }) ?? {}, (path) =>
    placeAt(text, file, offsetOf(document.contents, path)),
  )
}

/** The config under `devstack` of a package.json; an empty one when there is none. Throws as `parsePlainConfig` does. */
export function parsePackageConfig(text: string, file: string): PlainResult {
  return checked(parsePackage(text, file).devstack ?? {}, (path) => {
    const { contents } = parseDocument(text, { prettyErrors: false, uniqueKeys: false })
    return placeAt(text, file, offsetOf(contents, ['devstack', ...path]))
  })
}

/** A package.json as it is. Throws CONFIG_SYNTAX with file, line and column. */
export function parsePackage(text: string, file: string): { readonly devstack?: unknown } {
  try {
    return JSON.parse(text)
  } catch (thrown) {
    // not every message of V8 tells the position
    const position = / at position (\d+)/.exec(messageOf(thrown))?.[1]
    const offset = position ?? parseDocument(text, { prettyErrors: false }).errors[0]?.pos[0] ?? text.length
    const reason = messageOf(thrown).split(/ in JSON at position| while parsing/)[0]
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_SYNTAX',
      message: `package.json can not be read: ${reason}.`,
      place: placeAt(text, file, Number(offset)),
      cause: thrown,
    })
  }
}

interface PlainResult {
  readonly config: Config
  readonly compose: readonly string[]
}

function placeAt(text: string, file: string, offset: number): Place {
  const before = text.slice(0, offset).split('\n')
  const line = before.length
  return { file, line, column: before.at(-1)!.length + 1, text: text.split('\n')[line - 1] ?? '' }
}

type Path = readonly (string | number)[]

function checked(value: unknown, placeOf: (path: Path) => Place): PlainResult {
  const valid = <T>(schema: ZodType<T>, of: unknown, at: Path): T => {
    const parsed = schema.safeParse(of)
    if (parsed.success) return parsed.data
    throw invalid(parsed.error.issues[0]!, at, placeOf)
  }
  const plain: PlainConfig = valid(plainConfigSchema, value, [])
  const { tasks = {}, compose, $schema: _, ...settings } = plain
  const definitions = Object.entries(tasks)
  // the one key that a record of zod leaves out
  const given = (value as { tasks?: object }).tasks
  if (given && Object.hasOwn(given, '__proto__')) {
    const task = Object.getOwnPropertyDescriptor(given, '__proto__')!.value
    definitions.push(['__proto__', valid(plainTaskSchema, task, ['tasks', '__proto__'])])
  }
  const config: Config = {
    ...(settings as Omit<Config, 'tasks'>),
    tasks: Object.fromEntries(definitions.map(([name, definition]) => [name, plainTask(definition)])),
  }
  return { config, compose: compose === undefined ? [] : typeof compose === 'string' ? [compose] : compose }
}

function invalid(issue: z.core.$ZodIssue, at: Path, placeOf: (path: Path) => Place): DevstackError {
  let path: Path = [...at, ...(issue.path as (string | number)[])]
  let message = issue.message
  if (issue.code === 'unrecognized_keys') {
    const known =
      path.length === 0 ? plainConfigSchema : path[0] === 'tasks' && path.length === 2 ? plainTaskSchema : undefined
    const [key] = issue.keys as [string]
    path = [...path, key]
    message = `there is no such key.${known ? suggest(key, Object.keys(known.shape)) : ''}`
  }
  const where = path.join('.') || 'The config'
  const what = message.replace(/(?<![.?])$/, '.')
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_INVALID',
    message: `${where}: ${what}`,
    place: placeOf(path),
    hint: '"devstack init --schema" prints what a config may hold.',
  })
}

/** Where in the text the node at `path` begins; of the deepest one there is. */
function offsetOf(root: unknown, path: Path): number {
  let node: unknown = root
  let offset = isNode(root) && root.range ? root.range[0] : 0
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String(isNode(item.key) ? item.key.toJSON() : item.key) === String(part))
      if (!pair) break
      if (isNode(pair.key) && pair.key.range) offset = pair.key.range[0]
      node = pair.value
    } else if (isNode(node) && 'get' in node) {
      node = (node as { get(key: unknown, keepScalar: boolean): unknown }).get(part, true)
      if (isNode(node) && node.range) offset = node.range[0]
    } else break
  }
  return offset
}

function plainTask(plain: PlainTask): Task {
  const { run, needs, ...rest } = plain
  const list =
    needs === undefined ? [] : Array.isArray(needs) ? needs.map((name) => [name, name] as const) : Object.entries(needs)
  return task({
    ...(rest as object),
    needs: Object.fromEntries(list.map(([key, name]) => [key, named(name)])),
    ...(run === undefined ? { weight: 0, effect: 'read' as const } : command(run)),
  })
}
