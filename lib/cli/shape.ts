/** What a params schema accepts, as far as the command line must know it; read from its JSON Schema (draft 2020-12). */
import type { Json } from '../engine/schema.ts'

export interface Shape {
  /** JSON types that fit, the preferred one first; empty: any. */
  readonly types: readonly string[]
  /** Values that are named one by one. */
  readonly choices: readonly (string | number | boolean)[]
  /** Also accepts values that are none of `choices`. */
  readonly open: boolean
  /** Of a list. */
  readonly items?: Shape
  /** Of an object with known keys. */
  readonly properties?: ReadonlyMap<string, Shape>
  readonly required: ReadonlySet<string>
  /** Of an object with free keys. */
  readonly entries?: Shape
  readonly least?: number
  /** `least` itself is too little. */
  readonly above?: true
  readonly most?: number
  readonly format?: string
  readonly pattern?: string
  readonly shortest?: number
  readonly default?: Json
  readonly examples: readonly Json[]
  readonly description?: string
  /** Keys of ours, set through zod's `.meta()`: `positional`, `short`, `file`. */
  readonly meta: { readonly positional?: unknown; readonly short?: unknown; readonly file?: unknown }
}

type Node = Readonly<Record<string, unknown>>

/** Reads a JSON Schema. Local references are followed, to a bounded depth; unions and intersections are merged. */
export function readShape(schema: unknown): Shape {
  return read(isNode(schema) ? schema : {}, isNode(schema) ? schema : {}, 0)
}

function read(node: Node, root: Node, depth: number): Shape {
  const reference = node['$ref']
  if (typeof reference === 'string' && depth < 20) {
    const target = reference
      .replace(/^#\/?/, '')
      .split('/')
      .filter((part) => part !== '')
      .reduce<unknown>((at, part) => (isNode(at) ? at[part] : undefined), root)
    const { $ref: _, ...own } = node
    return read({ ...(isNode(target) ? target : {}), ...own }, root, depth + 1)
  }
  const below = (value: unknown) => read(isNode(value) ? value : {}, root, depth + 1)
  const own = shapeOf(node, depth < 20 ? below : () => anything)
  const union = nodes(node['anyOf'] ?? node['oneOf']).filter((alternative) => alternative['type'] !== 'null')
  const alternatives = depth < 20 ? union.map(below) : []
  const parts = depth < 20 ? nodes(node['allOf']).map(below) : []
  if (alternatives.length === 0 && parts.length === 0) return own
  const all = [...alternatives, ...parts]
  // Closed alternatives are matched by their choices; the types of the open ones say what else fits.
  const open = all.filter((shape) => shape.open)
  const types = [...new Set((open.length > 0 ? open : all).flatMap((shape) => shape.types))]
  const properties = new Map<string, Shape>()
  for (const shape of all) {
    for (const [key, value] of shape.properties ?? []) {
      const before = properties.get(key)
      properties.set(key, before ? either(before, value) : value)
    }
  }
  const required = new Set(
    [...properties.keys()].filter((key) =>
      parts.length > 0 ? parts.some((part) => part.required.has(key)) : all.every((part) => part.required.has(key)),
    ),
  )
  const items = all.find((shape) => shape.items)?.items
  const entries = all.find((shape) => shape.entries)?.entries
  return {
    ...own,
    types: all.some((shape) => shape.types.length === 0) ? [] : types,
    choices: all.flatMap((shape) => shape.choices),
    open: open.length > 0,
    required,
    ...(items ? { items } : {}),
    ...(properties.size > 0 ? { properties } : {}),
    ...(entries ? { entries } : {}),
  }
}

const anything: Shape = { types: [], choices: [], open: true, required: new Set(), examples: [], meta: {} }

function either(a: Shape, b: Shape): Shape {
  return {
    ...a,
    types: a.types.length === 0 || b.types.length === 0 ? [] : [...new Set([...a.types, ...b.types])],
    choices: [...new Set([...a.choices, ...b.choices])],
    open: a.open || b.open,
  }
}

function shapeOf(node: Node, below: (value: unknown) => Shape): Shape {
  const { type, minimum, maximum, format, pattern, minLength, description } = node
  const named = 'const' in node ? [node['const']] : Array.isArray(node['enum']) ? node['enum'] : undefined
  const choices = (named ?? []).filter((value) => ['string', 'number', 'boolean'].includes(typeof value))
  let types = typeof type === 'string' ? [type] : Array.isArray(type) ? type.map(String) : []
  if (types.length === 0 && choices.length > 0) types = [...new Set(choices.map((value) => typeof value))]
  // zod's coerced booleans may come without a type; their default tells.
  if (types.length === 0 && typeof node['default'] === 'boolean') types = ['boolean']
  const isList = types.includes('array')
  const properties = isNode(node['properties']) ? Object.entries(node['properties']) : undefined
  const additional = node['additionalProperties']
  const exclusiveLeast = node['exclusiveMinimum']
  const least = number(minimum) ?? (types.includes('integer') ? plusOne(exclusiveLeast) : number(exclusiveLeast))
  return {
    types,
    choices,
    open: named === undefined,
    required: new Set(Array.isArray(node['required']) ? node['required'].map(String) : []),
    ...(isList ? { items: below(node['items']) } : {}),
    ...(properties || types.includes('object')
      ? { properties: new Map((properties ?? []).map(([key, value]) => [key, below(value)])) }
      : {}),
    ...(isNode(additional) ? { entries: below(additional) } : {}),
    ...(bounded(least) ? { least } : {}),
    ...(bounded(least) && least === exclusiveLeast && number(minimum) === undefined ? { above: true as const } : {}),
    ...(bounded(number(maximum)) ? { most: number(maximum) } : {}),
    ...(typeof format === 'string' ? { format } : {}),
    ...(typeof pattern === 'string' ? { pattern } : {}),
    ...(number(minLength) ? { shortest: number(minLength) } : {}),
    ...('default' in node ? { default: node['default'] as Json } : {}),
    ...(typeof description === 'string' ? { description } : {}),
    examples: Array.isArray(node['examples']) ? (node['examples'] as Json[]) : [],
    meta: { positional: node['positional'], short: node['short'], file: node['file'] },
  }
}

/** The value a word stands for, or `undefined` when it fits none of the types. Never throws. */
export function scalarOf(text: string, shape: Shape): Json | undefined {
  const choice = shape.choices.find((value) => String(value) === text)
  if (choice !== undefined) return choice
  if (!shape.open) return undefined
  if (shape.types.length === 0) return text
  for (const type of shape.types) {
    const value = asType(text, type)
    if (value !== undefined) return value
  }
  return undefined
}

function asType(text: string, type: string): Json | undefined {
  switch (type) {
    case 'string':
      return text
    case 'number':
    case 'integer': {
      const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN
      return Number.isFinite(value) && (type === 'number' || Number.isInteger(value)) ? value : undefined
    }
    case 'boolean':
      return /^(true|yes|on)$/i.test(text) ? true : /^(false|no|off)$/i.test(text) ? false : undefined
    case 'object':
    case 'array': {
      const opening = type === 'object' ? '{' : '['
      if (!text.startsWith(opening)) return undefined
      try {
        return JSON.parse(text) as Json
      } catch {
        return undefined
      }
    }
    default:
      return undefined
  }
}

const formats: Readonly<Record<string, string>> = {
  uri: 'a URL',
  email: 'an email address',
  uuid: 'a UUID',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  date: 'a date like 2026-03-31',
  time: 'a time like 13:45:00',
  'date-time': 'a time like 2026-03-31T13:45:00Z',
}

/** What is expected, to stand behind "needs": `a whole number from 1 to 9`, `one of text, json`. */
export function expectation(shape: Shape): string {
  const named = shape.choices.length > 0 ? `one of ${shape.choices.join(', ')}` : undefined
  if (!shape.open) return named ?? 'nothing'
  const open = shape.types.filter((type) => type !== 'null').map((type) => expectedType(type, shape))
  const words = [...new Set(open)]
  if (named) return `${named} or ${words.join(' or ') || 'a value'}`
  return words.join(' or ') || 'a value'
}

function expectedType(type: string, shape: Shape): string {
  switch (type) {
    case 'string':
      if (shape.format && formats[shape.format]) return formats[shape.format]!
      if (shape.pattern) return `text like /${shape.pattern}/`
      return shape.shortest && shape.shortest > 1 ? `text of ${shape.shortest} characters or more` : 'text'
    case 'integer':
    case 'number':
      return `a ${type === 'integer' ? 'whole ' : ''}number${range(shape)}`
    case 'boolean':
      return 'true or false'
    case 'array':
      return shape.items && !shape.items.open
        ? `some of ${shape.items.choices.join(', ')}`
        : `a list of values (${shape.items ? expectation(shape.items) : 'any'})`
    default:
      return shape.entries ? 'key=value' : 'JSON like {"key": "value"}'
  }
}

function range({ least, above, most }: Shape): string {
  const from = least === undefined ? '' : `${above ? 'above' : 'from'} ${least}`
  if (least !== undefined && most !== undefined) return above ? ` ${from} up to ${most}` : ` ${from} to ${most}`
  if (least !== undefined) return ` ${from}`
  return most === undefined ? '' : ` up to ${most}`
}

/** zod writes the bounds of safe integers into every integer; nobody wants to read them. */
function bounded(value: number | undefined): value is number {
  return value !== undefined && Math.abs(value) < Number.MAX_SAFE_INTEGER
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

function plusOne(value: unknown): number | undefined {
  return typeof value === 'number' ? value + 1 : undefined
}

function nodes(value: unknown): readonly Node[] {
  return Array.isArray(value) ? value.filter(isNode) : []
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
