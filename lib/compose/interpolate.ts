import { composeError, type Entry, listAt, mapAt, type Node, type ScalarNode, short } from './tree.ts'

/** What interpolating a text needs; `index` counts from the text's first character. */
export interface Interpolation {
  readonly lookup: (name: string) => string | undefined
  /** A variable without a default is not set. */
  readonly unset?: (name: string, index: number) => void
  /** Must throw. */
  readonly fail: (problem: InterpolationProblem) => never
}

export interface InterpolationProblem {
  readonly kind: 'syntax' | 'required'
  readonly message: string
  readonly index: number
  readonly variable?: string
}

const namePattern = /[A-Za-z_][A-Za-z0-9_]*/y
const operatorPattern = /:?[-?+]/y
const nestingLimit = 50
/** Variables made of variables grow fast: ten of ten, nine times over, is a gigabyte. */
const lengthLimit = 4 * 1024 * 1024

/**
 * A text with its variables replaced: `$A`, `${A}`, `${A:-b}`, `${A-b}`, `${A:?message}`, `${A?message}`, `${A:+b}`, `${A+b}`, where
 * b and message may hold variables again; `$$` is a dollar sign. With a colon, an empty variable counts as unset. What is not chosen
 * is not evaluated. Semantics: compose-spec, chapter "Interpolation".
 */
export function interpolate(text: string, options: Interpolation): string {
  if (!text.includes('$')) return text
  let at = 0

  function template(until: '}' | undefined, active: boolean, depth: number): string {
    let out = ''
    if (depth > nestingLimit) options.fail({ kind: 'syntax', message: 'variables are nested too deeply', index: at })
    while (at < text.length) {
      const char = text[at]!
      if (char === until) return out
      if (char !== '$') {
        out += char
        at += 1
      } else if (text[at + 1] === '$') {
        out += '$'
        at += 2
      } else {
        out += variable(active, depth)
        if (out.length > lengthLimit) options.fail({ kind: 'syntax', message: 'the value grows too long', index: 0 })
      }
    }
    return out
  }

  function name(start: number): string {
    namePattern.lastIndex = at
    const found = namePattern.exec(text)?.[0]
    if (found === undefined) {
      options.fail({ kind: 'syntax', message: `"${short(text.slice(start))}" names no variable`, index: start })
    }
    at += found!.length
    return found!
  }

  function plain(found: string, start: number, active: boolean): string {
    const value = options.lookup(found)
    if (value === undefined && active) options.unset?.(found, start)
    return value ?? ''
  }

  function variable(active: boolean, depth: number): string {
    const start = at
    at += 1
    if (text[at] !== '{') return plain(name(start), start, active)
    at += 1
    const found = name(start)
    if (text[at] === '}') {
      at += 1
      return plain(found, start, active)
    }
    operatorPattern.lastIndex = at
    const operator = operatorPattern.exec(text)?.[0]
    if (operator === undefined) {
      const message = at < text.length ? `"${short(text.slice(start))}" is no form of a variable` : 'a "}" is missing'
      options.fail({ kind: 'syntax', message, index: start })
    }
    at += operator!.length
    const value = options.lookup(found)
    const present = value !== undefined && (operator!.length === 1 || value !== '')
    const wanted = operator!.endsWith('+') ? present : !present
    const rest = template('}', active && wanted, depth + 1)
    if (text[at] !== '}') options.fail({ kind: 'syntax', message: 'a "}" is missing', index: start })
    at += 1
    if (operator!.endsWith('+')) return present ? rest : ''
    if (present) return value!
    if (operator!.endsWith('-') || !active) return rest
    const empty = value === '' ? 'is empty' : 'is not set'
    const why = rest === '' ? '' : `: ${rest}`
    return options.fail({
      kind: 'required',
      message: `the required variable ${found} ${empty}${why}`,
      index: start,
      variable: found,
    })
  }

  return template(undefined, true, 0)
}

/** Every text of a tree interpolated with its own file's environment; keys are left as they are. `unset` gets each variable that is not set. */
export function interpolateTree(node: Node, unset: (name: string, at: ScalarNode) => void): Node {
  return interpolateNode(node, unset, new Map())
}

/** `done`: what an anchor stands for is one node under many parents, and is interpolated once. */
function interpolateNode(node: Node, unset: (name: string, at: ScalarNode) => void, done: Map<Node, Node>): Node {
  const known = done.get(node)
  if (known) return known
  const made = interpolated(node, unset, done)
  if (node.kind !== 'scalar') done.set(node, made)
  return made
}

function interpolated(node: Node, unset: (name: string, at: ScalarNode) => void, done: Map<Node, Node>): Node {
  if (node.kind === 'list') {
    let changed = false
    const items = node.items.map((item) => {
      const made = interpolateNode(item, unset, done)
      changed ||= made !== item
      return made
    })
    return changed ? listAt(node, items) : node
  }
  if (node.kind === 'map') {
    let changed = false
    const entries = new Map<string, Entry>()
    for (const [key, entry] of node.entries) {
      const value = interpolateNode(entry.value, unset, done)
      changed ||= value !== entry.value
      entries.set(key, value === entry.value ? entry : { ...entry, value })
    }
    return changed ? mapAt(node, entries) : node
  }
  if (typeof node.value !== 'string' || !node.value.includes('$')) return node
  const { environment } = node.source
  const text = interpolate(node.value, {
    lookup: (name) => (Object.hasOwn(environment, name) ? environment[name] : undefined),
    unset: (name) => unset(name, node),
    fail: (problem) => {
      throw interpolationError(node, problem)
    },
  })
  return { ...node, value: text, raw: text }
}

function interpolationError(node: ScalarNode, problem: InterpolationProblem) {
  // Only for a text on one line does a position in the value tell one in the file.
  const index = node.source.text.indexOf(String(node.value), node.offset)
  const near = index !== -1 && index - node.offset <= 1 ? index + problem.index : node.offset
  const at = { source: node.source, offset: near }
  const message = problem.message[0]!.toUpperCase() + problem.message.slice(1)
  return problem.kind === 'required'
    ? composeError('VARIABLE_REQUIRED', message, { at, hint: `Set ${problem.variable} in the environment or in .env` })
    : composeError('INTERPOLATION', message, { at, hint: 'Write $$ for a dollar sign that is meant as one' })
}
