import { suggest } from '../errors.ts'
import {
  composeError,
  describe,
  isNull,
  type MapNode,
  type Node,
  type ScalarNode,
  type Spot,
  scalarText,
  short,
  toJson,
} from './tree.ts'
import { parseBytes, parseDuration, splitWords } from './units.ts'

/**
 * What reads a node into its normalized JSON form, or throws a DevstackError with the node's place. `path` is the dotted name in
 * messages: `services.web.ports`. The result's shape is checked by the zod schema of the model.
 */
export type Reader = (node: Node, path: string) => unknown

/** The error for a value of the wrong type: `services.web.image must be text, not a list`. */
export function typeError(node: Node, path: string, wanted: string, hint?: string) {
  return composeError('TYPE', `${path} must be ${wanted}, not ${describe(node)}`, {
    at: node,
    ...(hint === undefined ? {} : { hint }),
  })
}

export function unsupportedError(path: string, at: Spot, hint?: string) {
  return composeError('UNSUPPORTED', `${path} is not supported`, {
    at,
    hint: hint ?? 'Remove it: devstack refuses what it can not honour instead of ignoring it',
  })
}

/** A scalar with something in it. */
function scalar(node: Node, path: string, wanted = 'text'): ScalarNode {
  if (node.kind !== 'scalar' || node.value === null) throw typeError(node, path, wanted)
  return node
}

/** Text as it is; numbers and booleans must be quoted. */
export const text: Reader = (node, path): string => {
  const found = scalar(node, path)
  if (typeof found.value !== 'string') throw typeError(node, path, 'text', `Put it in quotes: "${found.raw}"`)
  return found.value
}

/** Text that is not empty. */
export const filled: Reader = (node, path): string => {
  const found = text(node, path) as string
  if (found.trim() === '') throw composeError('EMPTY_VALUE', `${path} is empty`, { at: node })
  return found
}

/** Text, a number or a boolean, as text. */
export const textual: Reader = (node, path): string => scalarText(scalar(node, path))

export const flag: Reader = (node, path): boolean => {
  const { value } = scalar(node, path, 'true or false')
  if (typeof value === 'boolean') return value
  const word = String(value).toLowerCase()
  if (['true', 'yes', 'on', 'y', 't', '1'].includes(word)) return true
  if (['false', 'no', 'off', 'n', 'f', '0'].includes(word)) return false
  throw typeError(node, path, 'true or false')
}

/** A number, also one that came as text out of a variable. */
export function numeric(bounds: { readonly minimum?: number; readonly integer?: boolean } = {}): Reader {
  const wanted = bounds.integer ? 'a whole number' : 'a number'
  return (node, path): number => {
    const { value } = scalar(node, path, wanted)
    const number =
      typeof value === 'number' ? value : Number(typeof value === 'string' && value.trim() ? value : Number.NaN)
    if (!Number.isFinite(number) || (bounds.integer && !Number.isSafeInteger(number)))
      throw typeError(node, path, wanted)
    if (bounds.minimum !== undefined && number < bounds.minimum)
      throw composeError('RANGE', `${path} is ${short(String(number))}, below ${bounds.minimum}`, { at: node })
    return number
  }
}

export const count = numeric({ minimum: 0, integer: true })
export const integer = numeric({ integer: true })

/** Milliseconds. */
export const duration: Reader = (node, path): number => {
  const found = scalar(node, path, 'a duration such as 1m30s')
  const ms = parseDuration(scalarText(found))
  if (ms !== undefined) return ms
  throw composeError('DURATION', `${path} is no duration: ${JSON.stringify(short(found.raw))}`, {
    at: node,
    hint: 'Write numbers with units, such as 500ms, 5s or 1m30s',
  })
}

/** Bytes; `-1` is let through where it means "no limit". */
export const bytes: Reader = (node, path): number => {
  const found = scalar(node, path, 'a size such as 64m')
  if (scalarText(found) === '-1') return -1
  const size = parseBytes(scalarText(found))
  if (size !== undefined) return size
  throw composeError('SIZE', `${path} is no size: ${JSON.stringify(short(found.raw))}`, {
    at: node,
    hint: 'Write a number with a unit, such as 512k, 64m or 2g',
  })
}

/** File mode; digits are octal, written as a number or as text. */
export const mode: Reader = (node, path): number => {
  const found = scalar(node, path, 'a file mode such as 0440')
  if (typeof found.value === 'number') return found.value
  const digits = String(found.value)
  if (!/^(0o?)?[0-7]{1,5}$/.test(digits)) throw typeError(node, path, 'a file mode such as 0440')
  return Number.parseInt(digits.replace(/^0o/, ''), 8)
}

/** One of these words. */
export function word(...words: readonly string[]): Reader {
  return (node, path): string => {
    const found = textual(node, path) as string
    if (words.includes(found)) return found
    const wanted = words.map((one) => `"${one}"`).join(', ')
    throw composeError('VALUE', `${path} can not be "${short(found)}".${suggest(found, words)}`, {
      at: node,
      hint: `It may be ${wanted}`,
    })
  }
}

/** A list; what was reset is left out. */
export function list(reader: Reader): Reader {
  return (node, path) => items(node, path).map((item, index) => reader(item, `${path}[${index}]`))
}

/** A list, or a single value instead of a list of one. */
export function many(reader: Reader): Reader {
  return (node, path) => (node.kind === 'list' ? list(reader)(node, path) : [reader(node, path)])
}

export function items(node: Node, path: string): readonly Node[] {
  if (node.kind !== 'list') throw typeError(node, path, 'a list')
  return node.items.filter((item) => item.tag !== 'reset')
}

/** A list in which a later equal element is dropped. */
export function unique(reader: Reader): Reader {
  return (node, path) => [...new Set(reader(node, path) as unknown[])]
}

/** A map from free names; empty values are read as empty maps. */
export function record(reader: Reader): Reader {
  return (node, path) => {
    const map = mapping(node, path)
    const pairs: [string, unknown][] = []
    for (const [key, entry] of map.entries) {
      if (entry.value.tag !== 'reset') pairs.push([key, reader(entry.value, `${path}.${key}`)])
    }
    return Object.fromEntries(pairs)
  }
}

function mapping(node: Node, path: string): MapNode {
  if (node.kind !== 'map') throw typeError(node, path, 'a map')
  return node
}

/** `KEY: value` or `- KEY=value`, as a record of texts. `missing` gives the value of a key that has none; undefined leaves it out. */
export function pairs(missing: (key: string, node: Node) => string | undefined = () => ''): Reader {
  return (node, path) => {
    const found = new Map<string, string>()
    const set = (key: string, value: string | undefined) => {
      if (value === undefined) found.delete(key)
      else found.set(key, value)
    }
    if (node.kind === 'list') {
      for (const [index, item] of items(node, path).entries()) {
        const line = scalarText(scalar(item, `${path}[${index}]`, 'KEY=value'))
        const equals = line.indexOf('=')
        const key = (equals === -1 ? line : line.slice(0, equals)).trim()
        if (key === '') throw composeError('KEY', `${path}[${index}] has no name before "="`, { at: item })
        set(key, equals === -1 ? missing(key, item) : line.slice(equals + 1))
      }
    } else {
      if (node.kind !== 'map') throw typeError(node, path, 'a map, or a list of KEY=value')
      for (const [key, { value }] of node.entries) {
        if (value.tag === 'reset') continue
        set(key, isNull(value) ? missing(key, value) : scalarText(scalar(value, `${path}.${key}`)))
      }
    }
    found.delete('__proto__')
    return Object.fromEntries(found)
  }
}

/** A command as a list of words; text is split as a shell would, an empty one clears the image's own. */
export const command: Reader = (node, path) => {
  if (node.kind === 'list') return list(textual)(node, path)
  const words = splitWords(textual(node, path) as string)
  if (words) return words
  throw composeError('COMMAND', `${path} has a quote that is not closed`, {
    at: node,
    hint: 'Write it as a list of words',
  })
}

export interface Fields {
  readonly [key: string]: Reader | Refused
}

/** A key of the spec that can not be honoured; `unless` lets harmless values pass. */
export interface Refused {
  readonly refused: true
  readonly hint?: string
  readonly unless?: (node: Node) => boolean
}

export function refuse(hint?: string, unless?: (node: Node) => boolean): Refused {
  return { refused: true, ...(hint === undefined ? {} : { hint }), ...(unless ? { unless } : {}) }
}

/** Reads and drops: tooling's own keys, which say nothing about the container. */
export const ignored: Reader = () => undefined

/**
 * A map with known keys. `x-` keys are kept under `extensions`; null and reset values count as absent; other keys are errors that name
 * the nearest known one.
 */
export function fields(table: Fields): (node: Node, path: string) => Record<string, unknown> {
  return (node, path) => {
    const map = mapping(node, path)
    const found: [string, unknown][] = []
    const extensions: [string, unknown][] = []
    const prefix = path === '' ? '' : `${path}.`
    for (const [key, entry] of map.entries) {
      const { value } = entry
      if (key.startsWith('x-')) {
        if (value.tag !== 'reset') extensions.push([key, toJson(value)])
        continue
      }
      const reader = Object.hasOwn(table, key) ? table[key] : undefined
      if (reader === undefined) throw unknownKey(key, entry, path, table)
      if (value.tag === 'reset' || isNull(value)) continue
      if (typeof reader !== 'function') {
        if (reader.unless?.(value)) continue
        throw unsupportedError(`${prefix}${key}`, entry, reader.hint)
      }
      const made = reader(value, `${prefix}${key}`)
      if (made !== undefined) found.push([key, made])
    }
    if (extensions.length > 0) found.push(['extensions', Object.fromEntries(extensions)])
    return Object.fromEntries(found)
  }
}

function unknownKey(key: string, at: Spot, path: string, table: Fields) {
  const where = path === '' ? 'a compose file' : path
  return composeError('UNKNOWN_KEY', `"${short(key)}" is no key of ${where}.${suggest(key, Object.keys(table))}`, {
    at,
    hint: 'Own keys start with x-',
  })
}
