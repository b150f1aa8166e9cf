import { DevstackError, type Place } from '../errors.ts'

/**
 * A YAML file as a tree that remembers where each node stands, and for whom its relative paths and variables count. Merging,
 * extending and including only rearrange nodes, so a message can always name the line a person wrote.
 */

/** One file that was read. */
export interface Source {
  /** As shown in messages. */
  readonly file: string
  /** Absolute path. */
  readonly path: string
  readonly text: string
  /** Absolute folder that relative paths of this file count from. */
  readonly directory: string
  /** Variables that interpolation and `environment:` entries without a value look up. */
  readonly environment: Readonly<Record<string, string>>
}

/** What a merge does with the node: `reset` removes what it meets, `override` replaces it instead of merging. */
export type MergeTag = 'reset' | 'override'

interface Located {
  readonly source: Source
  readonly offset: number
  readonly tag?: MergeTag
}

export interface ScalarNode extends Located {
  readonly kind: 'scalar'
  readonly value: string | number | boolean | null
  /** As it stands in the file, without quotes: `0440` is not 440 to everyone. */
  readonly raw: string
}

export interface ListNode extends Located {
  readonly kind: 'list'
  readonly items: readonly Node[]
}

export interface Entry {
  readonly source: Source
  /** Where the key stands. */
  readonly offset: number
  readonly value: Node
}

export interface MapNode extends Located {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Entry>
}

export type Node = ScalarNode | ListNode | MapNode

/** Anything with a position: a node or an entry (whose position is its key's). */
export type Spot = { readonly source: Source; readonly offset: number }

const lineStarts = new WeakMap<Source, readonly number[]>()

function linesOf(source: Source): readonly number[] {
  const known = lineStarts.get(source)
  if (known) return known
  const starts = [0]
  for (let next = source.text.indexOf('\n'); next !== -1; next = source.text.indexOf('\n', next + 1))
    starts.push(next + 1)
  lineStarts.set(source, starts)
  return starts
}

/** Line, column (both from 1) and the line's text at an offset. */
function placeAt(source: Source, offset: number): Place {
  const { text } = source
  const at = Math.min(Math.max(offset, 0), text.length)
  const starts = linesOf(source)
  let low = 0
  let high = starts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (starts[middle]! <= at) low = middle
    else high = middle - 1
  }
  const start = starts[low]!
  const end = low + 1 < starts.length ? starts[low + 1]! - 1 : text.length
  const whole = text.slice(start, Math.min(end, start + 400)).replace(/\r$/, '')
  return { file: source.file, line: low + 1, column: at - start + 1, text: whole }
}

/** Place of a node or an entry. */
export function placeOf(spot: Spot): Place {
  return placeAt(spot.source, spot.offset)
}

/** An error of kind `compose`; `at` gives it its place. */
export function composeError(
  code: string,
  message: string,
  options: { readonly at?: Spot; readonly place?: Place; readonly hint?: string; readonly cause?: unknown } = {},
): DevstackError {
  const place = options.place ?? (options.at ? placeOf(options.at) : undefined)
  return new DevstackError({
    kind: 'compose',
    code: `COMPOSE_${code}`,
    message,
    ...(place ? { place } : {}),
    ...(options.hint === undefined ? {} : { hint: options.hint }),
    ...(options.cause === undefined ? {} : { cause: options.cause }),
  })
}

/** `a list`, `a map`, `the text "x"`, `nothing`: what a node is, in words. */
export function describe(node: Node): string {
  if (node.kind === 'list') return 'a list'
  if (node.kind === 'map') return 'a map'
  if (node.value === null) return 'nothing'
  if (typeof node.value === 'string') return `the text ${JSON.stringify(short(node.value))}`
  return typeof node.value === 'number' ? `the number ${node.raw}` : `the boolean ${node.value}`
}

/** At most 60 characters of a value, for a message. */
export function short(value: string): string {
  return value.length > 60 ? `${value.slice(0, 57)}...` : value
}

export function isNull(node: Node): boolean {
  return node.kind === 'scalar' && node.value === null
}

/** The text of a scalar: numbers and booleans as an engine of the Compose family prints them, null as ''. */
export function scalarText(node: ScalarNode): string {
  const { value } = node
  if (typeof value === 'number' && (!Number.isFinite(value) || Math.abs(value) > Number.MAX_SAFE_INTEGER))
    return node.raw
  return node.value === null ? '' : String(node.value)
}

/** The node with this text instead, at the same place. */
export function scalarAt(spot: Spot, value: string | number | boolean | null): ScalarNode {
  return { kind: 'scalar', source: spot.source, offset: spot.offset, value, raw: String(value ?? '') }
}

/** A map with these entries, at the same place. */
export function mapAt(node: Node, entries: ReadonlyMap<string, Entry>): MapNode {
  return { kind: 'map', source: node.source, offset: node.offset, entries, ...(node.tag ? { tag: node.tag } : {}) }
}

/** A list with these items, at the same place. */
export function listAt(node: Node, items: readonly Node[]): ListNode {
  return { kind: 'list', source: node.source, offset: node.offset, items, ...(node.tag ? { tag: node.tag } : {}) }
}

/** The entry's value below a map, or undefined when there is no such key, it is null or it was reset. */
export function child(node: Node | undefined, key: string): Node | undefined {
  if (node?.kind !== 'map') return undefined
  const value = node.entries.get(key)?.value
  return value === undefined || isNull(value) || value.tag === 'reset' ? undefined : value
}

/** JSON value of a tree, for `x-` extensions; what was reset is left out. */
export function toJson(node: Node): unknown {
  if (node.kind === 'scalar')
    return typeof node.value === 'number' && !Number.isFinite(node.value) ? node.raw : node.value
  if (node.kind === 'list') return node.items.filter((item) => item.tag !== 'reset').map(toJson)
  return Object.fromEntries(
    [...node.entries]
      .filter(([, entry]) => entry.value.tag !== 'reset')
      .map(([key, entry]) => [key, toJson(entry.value)]),
  )
}
