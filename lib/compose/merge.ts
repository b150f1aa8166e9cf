import { composeError, describe, type Entry, isNull, listAt, mapAt, type Node, scalarAt } from './tree.ts'

/**
 * Two trees of compose files as one, the second over the first. Rules: compose-spec, chapter "Merge Compose files". Lists are only
 * appended here; where the spec says that elements have a key (a mount's target, say), the reader drops the earlier ones.
 */
export function mergeNodes(base: Node, over: Node, path: readonly string[] = []): Node {
  if (over.tag === 'reset' || over.tag === 'override') return over
  // What is put over a removed node must go on removing what may still come below.
  if (base.tag === 'reset') return { ...over, tag: 'override' }
  if (isNull(over)) return base
  if (isNull(base)) return over
  const rule = ruleOf(path)
  if (rule === 'replace') return over
  const left = shaped(base, rule)
  const right = shaped(over, rule)
  if (left.kind === 'scalar' && right.kind === 'scalar') return { ...right, ...keptTag(left) }
  if (left.kind === 'list' && right.kind === 'list')
    return { ...listAt(right, [...left.items, ...right.items]), ...keptTag(left) }
  if (left.kind === 'map' && right.kind === 'map') {
    if (path.at(-1) === 'logging' && differs(left, right, 'driver')) return over
    const entries = new Map<string, Entry>(left.entries)
    for (const [key, entry] of right.entries) {
      const earlier = entries.get(key)
      entries.set(key, earlier ? { ...entry, value: mergeNodes(earlier.value, entry.value, [...path, key]) } : entry)
    }
    return { ...mapAt(right, entries), ...keptTag(left) }
  }
  if (path.length > 3 && path[3] === 'ulimits') return over
  throw composeError(
    'MERGE',
    `${path.join('.') || 'This file'} is ${describe(right)} and can not be merged with ${describe(left)}`,
    {
      at: right,
      hint: 'Write !override before the value to replace the earlier one',
    },
  )
}

function keptTag(base: Node): { tag?: 'override' } {
  return base.tag === 'override' ? { tag: 'override' } : {}
}

type Rule = 'replace' | 'pairs' | 'names' | 'dependencies' | 'list' | 'context' | 'file' | 'hosts' | 'deep'

const serviceRules: Readonly<Record<string, Rule>> = {
  command: 'replace',
  entrypoint: 'replace',
  'healthcheck.test': 'replace',
  environment: 'pairs',
  labels: 'pairs',
  annotations: 'pairs',
  sysctls: 'pairs',
  'build.args': 'pairs',
  'build.labels': 'pairs',
  'deploy.labels': 'pairs',
  extra_hosts: 'hosts',
  'build.extra_hosts': 'hosts',
  networks: 'names',
  depends_on: 'dependencies',
  build: 'context',
  env_file: 'list',
  label_file: 'list',
  dns: 'list',
  dns_search: 'list',
  tmpfs: 'list',
}

function ruleOf(path: readonly string[]): Rule {
  const [section, , ...rest] = path
  if (section === 'services' && rest.length > 0) {
    if (rest[0] === 'ulimits' && rest.length === 2) return 'replace'
    return serviceRules[rest.join('.')] ?? 'deep'
  }
  if (rest.length === 1 && rest[0] === 'labels' && section !== undefined) return 'pairs'
  return 'deep'
}

/** The node in the form in which two of its kind can be merged. */
function shaped(node: Node, rule: Rule): Node {
  if (rule === 'pairs' && node.kind === 'list') return pairsOf(node.items, node)
  if ((rule === 'names' || rule === 'dependencies') && node.kind === 'list') {
    const entries = new Map<string, Entry>()
    for (const item of node.items) {
      if (item.kind !== 'scalar' || typeof item.value !== 'string') return node
      const value =
        rule === 'names'
          ? scalarAt(item, null)
          : mapAt(item, new Map([['condition', { ...spotOf(item), value: scalarAt(item, 'service_started') }]]))
      entries.set(item.value, { ...spotOf(item), value })
    }
    return mapAt(node, entries)
  }
  if (rule === 'list' && node.kind !== 'list') return listAt(node, [{ ...node, tag: undefined }])
  if (rule === 'context' && node.kind === 'scalar')
    return mapAt(node, new Map([['context', { ...spotOf(node), value: node }]]))
  if (rule === 'hosts' && node.kind === 'map') {
    const items = [...node.entries].flatMap(([host, { value }]) =>
      (value.kind === 'list' ? value.items : [value]).map((address) =>
        scalarAt(address, `${host}=${address.kind === 'scalar' ? String(address.value ?? '') : ''}`),
      ),
    )
    return listAt(node, items)
  }
  return node
}

/** `- KEY=value` lines as a map; a line without `=` has no value. */
function pairsOf(items: readonly Node[], node: Node): Node {
  const entries = new Map<string, Entry>()
  for (const item of items) {
    if (item.kind !== 'scalar' || item.value === null) return node
    const text = String(item.value)
    const equals = text.indexOf('=')
    const key = equals === -1 ? text : text.slice(0, equals)
    entries.set(key, { ...spotOf(item), value: scalarAt(item, equals === -1 ? null : text.slice(equals + 1)) })
  }
  return mapAt(node, entries)
}

function spotOf(node: Node) {
  return { source: node.source, offset: node.offset }
}

function differs(a: Node, b: Node, key: string): boolean {
  const textOf = (node: Node) => {
    const value = node.kind === 'map' ? node.entries.get(key)?.value : undefined
    return value?.kind === 'scalar' ? value.value : undefined
  }
  return textOf(b) !== undefined && textOf(a) !== textOf(b)
}
