import type { YAMLMap, Node as YamlNode } from 'yaml'
import {
  composeError,
  type Entry,
  type MapNode,
  type MergeTag,
  type Node,
  placeOf,
  type Source,
  type Spot,
} from './tree.ts'

/** More nodes than this after aliases are followed: refused, whatever the file's own size. */
const nodeLimit = 200_000
const depthLimit = 100

type Yaml = typeof import('yaml')
let yamlModule: Yaml | undefined

/** The yaml library, loaded when first needed. */
async function loadYaml(): Promise<Yaml> {
  yamlModule ??= await import('yaml')
  return yamlModule
}

/**
 * The documents of a YAML text as trees, `<<` merge keys resolved and aliases followed. YAML 1.2 core schema, and `0440` is octal
 * as in every Compose implementation. Anything but maps, lists and scalars with text keys is refused.
 */
export async function parseYaml(source: Source): Promise<readonly Node[]> {
  const yaml = await loadYaml()
  let documents: ReturnType<Yaml['parseAllDocuments']>
  try {
    documents = yaml.parseAllDocuments(source.text, {
      uniqueKeys: false,
      prettyErrors: false,
      keepSourceTokens: false,
      logLevel: 'silent',
      stringKeys: false,
    })
  } catch (error) {
    // The parser recurses on nested collections: too many of them overflow its stack.
    if (!(error instanceof RangeError)) throw error
    throw tooDeep(source, 0, error)
  }
  if (!Array.isArray(documents)) return []
  const nodes: Node[] = []
  for (const document of documents) {
    const error = document.errors[0]
    if (error?.code === 'RESOURCE_EXHAUSTION') throw tooDeep(source, error.pos[0])
    if (error) throw syntaxError(source, error.pos[0], error.code, error.message)
    if (document.contents) nodes.push(new Converter(yaml, source).convert(document.contents, 0))
  }
  return nodes
}

function tooDeep(source: Source, offset: number, cause?: unknown) {
  return composeError('TOO_DEEP', `${source.file} can not be parsed: it is nested too deeply`, {
    at: { source, offset },
    cause,
  })
}

function syntaxError(source: Source, offset: number, code: string, message: string) {
  const lineStart = source.text.lastIndexOf('\n', offset - 1) + 1
  const indent = /^[ \t]*/.exec(source.text.slice(lineStart, lineStart + 1000))?.[0] ?? ''
  const tab = indent.indexOf('\t')
  if (code === 'TAB_AS_INDENT' || tab !== -1) {
    return composeError('TAB', 'A tab can not indent YAML', {
      at: { source, offset: tab === -1 ? offset : lineStart + tab },
      hint: 'Indent with spaces instead',
    })
  }
  const text = message.replace(/\s+/g, ' ').trim()
  const end = source.text.indexOf('\n', offset)
  const line = source.text.slice(lineStart, end === -1 ? undefined : end)
  return composeError('YAML', `This is no valid YAML: ${text}`, {
    at: { source, offset },
    ...(/\{.*\$\{/.test(line) ? { hint: 'Inside { } and [ ], put a value with ${...} in quotes' } : {}),
  })
}

const coreTags = new Set(
  ['map', 'seq', 'str', 'int', 'float', 'bool', 'null'].map((name) => `tag:yaml.org,2002:${name}`),
)

class Converter {
  private readonly yaml: Yaml
  private readonly source: Source
  private readonly anchors = new Map<string, { readonly node: Node; readonly size: number } | 'open'>()
  /** Nodes made so far, each alias counted with everything it stands for. */
  private size = 0

  constructor(yaml: Yaml, source: Source) {
    this.yaml = yaml
    this.source = source
  }

  convert(node: YamlNode, depth: number): Node {
    const { yaml, source } = this
    const offset = node.range?.[0] ?? 0
    const spot: Spot = { source, offset }
    if (depth > depthLimit) throw composeError('TOO_DEEP', `More than ${depthLimit} levels of nesting`, { at: spot })
    if (yaml.isAlias(node)) return this.alias(node.source, spot)
    const { anchor } = node as { anchor?: string }
    const before = this.size
    if (anchor) this.anchors.set(anchor, 'open')
    this.grow(1, spot)
    const tag = this.tagOf(node, spot)
    const made = this.collect(node, spot, depth)
    const tagged = tag ? { ...made, tag } : made
    if (anchor) this.anchors.set(anchor, { node: tagged, size: this.size - before })
    return tagged
  }

  private collect(node: YamlNode, spot: Spot, depth: number): Node {
    const { yaml, source } = this
    if (yaml.isScalar(node)) {
      const raw = node.source ?? ''
      return { kind: 'scalar', ...spot, value: scalarValue(node.value, raw, node.type), raw }
    }
    if (yaml.isSeq(node)) {
      const items = node.items.map((item) => this.convertAny(item, spot, depth + 1))
      return { kind: 'list', ...spot, items }
    }
    if (yaml.isMap(node)) return this.map(node, spot, depth)
    throw composeError('YAML', 'Only maps, lists and scalars may stand here', { at: { source, offset: spot.offset } })
  }

  private convertAny(item: unknown, spot: Spot, depth: number): Node {
    if (this.yaml.isNode(item)) return this.convert(item, depth)
    if (this.yaml.isPair(item)) {
      // `- a: b` inside a flow list is a pair, not a map.
      const entries = new Map<string, Entry>()
      this.pair(item, entries, spot, depth)
      return { kind: 'map', ...spot, entries }
    }
    return { kind: 'scalar', ...spot, value: null, raw: '' }
  }

  private map(node: YAMLMap, spot: Spot, depth: number): MapNode {
    const entries = new Map<string, Entry>()
    const merges: Node[] = []
    for (const pair of node.items) {
      const merged = this.pair(pair, entries, spot, depth + 1)
      if (merged) merges.push(merged)
    }
    for (const merge of merges) this.mergeInto(entries, merge)
    return { kind: 'map', ...spot, entries }
  }

  /** Adds one key; gives the value of a `<<` merge key instead. */
  private pair(pair: { key: unknown; value: unknown }, entries: Map<string, Entry>, spot: Spot, depth: number) {
    const { yaml, source } = this
    const { key } = pair
    const keyOffset = (yaml.isNode(key) ? key.range?.[0] : undefined) ?? spot.offset
    const at = { source, offset: keyOffset }
    const keyNode = yaml.isAlias(key) ? this.alias(key.source, at) : undefined
    if (!yaml.isScalar(key) && keyNode?.kind !== 'scalar')
      throw composeError('YAML', 'A key must be plain text', { at })
    const text = yaml.isScalar(key)
      ? keyText(key.value, key.source)
      : keyText((keyNode as { value: unknown }).value, '')
    const value = yaml.isNode(pair.value)
      ? this.convert(pair.value, depth)
      : ({ kind: 'scalar', ...at, value: null, raw: '' } as const)
    if (text === '<<' && yaml.isScalar(key) && (key.type === 'PLAIN' || key.type === undefined)) return value
    if (text === '__proto__' || text === '')
      throw composeError('KEY', `${JSON.stringify(text)} can not be a key`, { at })
    const earlier = entries.get(text)
    if (earlier) {
      const { line } = placeOf(earlier)
      throw composeError('DUPLICATE_KEY', `The key "${text}" is written twice: first in line ${line}`, {
        at,
        hint: 'Keep one of the two',
      })
    }
    entries.set(text, { ...at, value })
    return undefined
  }

  /** `<<`: keys that are already there win; of several maps the first one wins. */
  private mergeInto(entries: Map<string, Entry>, merge: Node): void {
    if (merge.kind === 'list') {
      for (const item of merge.items) {
        if (item.kind !== 'map') throw composeError('YAML', 'The merge key << takes maps only', { at: item })
        this.mergeInto(entries, item)
      }
      return
    }
    if (merge.kind !== 'map') {
      if (merge.value === null) return
      throw composeError('YAML', 'The merge key << takes a map, or a list of maps', { at: merge })
    }
    for (const [key, entry] of merge.entries) if (!entries.has(key)) entries.set(key, entry)
  }

  private alias(name: string, spot: Spot): Node {
    const found = this.anchors.get(name)
    if (found === undefined) throw composeError('ALIAS', `No anchor "&${name}" stands above this alias`, { at: spot })
    if (found === 'open') throw composeError('ALIAS', `The alias "*${name}" stands inside what it means`, { at: spot })
    this.grow(found.size, spot)
    return found.node
  }

  private grow(by: number, at: Spot): void {
    this.size += by
    if (this.size > nodeLimit) {
      throw composeError('ALIAS_LIMIT', `This file grows beyond ${nodeLimit} nodes once its aliases are followed`, {
        at,
        hint: 'Use fewer aliases of aliases',
      })
    }
  }

  private tagOf(node: YamlNode, at: Spot): MergeTag | undefined {
    const { tag } = node as { tag?: string }
    if (!tag || coreTags.has(tag)) return undefined
    if (tag === '!reset') return 'reset'
    if (tag === '!override') return 'override'
    throw composeError('YAML', `The tag ${tag} means nothing in a compose file`, {
      at,
      hint: '!reset and !override are the two that do',
    })
  }
}

function keyText(value: unknown, source: string | undefined): string {
  if (typeof value === 'string') return value
  return source || (value === null ? '' : String(value))
}

function scalarValue(value: unknown, raw: string, type: string | undefined): string | number | boolean | null {
  if (typeof value === 'number' && type === 'PLAIN' && /^[-+]?0[0-7]+$/.test(raw))
    return Number.parseInt(raw.replace(/^\+/, ''), 8)
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value
  return raw
}
