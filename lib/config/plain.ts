/** YAML and JSON configs: text -> tasks, with the place of what is wrong. */
import { isMap, isNode, LineCounter, parseDocument } from 'yaml'
import { named, type Task } from '../engine/task.ts'
import { DevstackError, type Place } from '../errors.ts'
import { type Config, command, task } from './define.ts'
import { type PlainConfig, type PlainTask, plainConfigSchema } from './schema.ts'

/** A config read from YAML or JSON (which is YAML too). Throws CONFIG_SYNTAX or CONFIG_INVALID with file, line and column. */
export function parsePlainConfig(
  text: string,
  file: string,
): { readonly config: Config; readonly compose: readonly string[] } {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false, uniqueKeys: true })
  const placeAt = (offset: number): Place => {
    const { line, col } = counter.linePos(offset)
    return { file, line, column: col, text: text.split('\n')[line - 1] ?? '' }
  }
  const problem = document.errors[0]
  if (problem) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_SYNTAX',
      message: `The config can not be read: ${problem.message.replace(/\.$/, '')}.`,
      place: placeAt(problem.pos[0]),
    })
  }
  const parsed = plainConfigSchema.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {})
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    let path = [...issue.path] as (string | number)[]
    if (issue.code === 'unrecognized_keys') path = [...path, issue.keys[0]!]
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_INVALID',
      message: `${path.join('.') || 'The config'}: ${issue.message}.`,
      place: placeAt(offsetOf(document.contents, path)),
      hint: 'docs/reference/config.md lists what a config may hold.',
    })
  }
  const plain: PlainConfig = parsed.data
  const { tasks, compose, $schema: _, ...settings } = plain
  const config: Config = {
    ...(settings as Omit<Config, 'tasks'>),
    tasks: Object.fromEntries(Object.entries(tasks ?? {}).map(([name, definition]) => [name, plainTask(definition)])),
  }
  return { config, compose: compose === undefined ? [] : typeof compose === 'string' ? [compose] : compose }
}

/** Where in the text the node at `path` begins; of the deepest one there is. */
function offsetOf(root: unknown, path: readonly (string | number)[]): number {
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
