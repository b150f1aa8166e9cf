/** Expands variables of a Makefile as far as this can be done without make. */

export interface Variable {
  readonly value: string
  /** Set with `?=`: the environment wins. */
  readonly overridable?: boolean
  /** Why its value is not known. */
  readonly opaque?: string
}
export type Variables = ReadonlyMap<string, Variable>

export interface Expansion {
  readonly text: string
  /** Why the text is not what make would make of it. */
  readonly reason?: string
  /** The text holds shell syntax that stands for a value. */
  readonly needsShell?: boolean
}

const deepest = 30
/** Longer text is a mistake, or an attack by variables that double each other. */
const longest = 100_000

/**
 * Expands `$(NAME)`, `${NAME}` and `$X`. In a recipe, `$$` becomes `$`, a variable that the environment may set becomes
 * `${NAME:-value}`, and `$(shell ...)` becomes `$(...)`.
 */
export function expand(text: string, variables: Variables, where: 'recipe' | 'rule' = 'rule'): Expansion {
  const state = { reason: undefined as string | undefined, needsShell: false, length: 0 }
  const result = walk(text, variables, where, state, 0)
  return {
    text: result,
    ...(state.reason === undefined ? {} : { reason: state.reason }),
    ...(state.needsShell ? { needsShell: true } : {}),
  }
}

interface State {
  reason: string | undefined
  needsShell: boolean
  length: number
}

function walk(text: string, variables: Variables, where: 'recipe' | 'rule', state: State, depth: number): string {
  let out = ''
  let index = 0
  while (index < text.length && state.length < longest) {
    const dollar = text.indexOf('$', index)
    if (dollar < 0 || dollar === text.length - 1) {
      out += text.slice(index)
      break
    }
    out += text.slice(index, dollar)
    const next = text[dollar + 1]!
    if (next === '$') {
      out += '$'
      index = dollar + 2
      continue
    }
    const end = next === '(' || next === '{' ? closing(text, dollar + 1) : dollar + 1
    if (end < 0) {
      state.reason ??= 'a bracket is not closed'
      return out + text.slice(dollar)
    }
    const name = next === '(' || next === '{' ? text.slice(dollar + 2, end) : next
    // Single quotes keep the shell from replacing anything, so what it should fill in can not stand there.
    const isQuoted = where === 'recipe' && (out.match(/'/g)?.length ?? 0) % 2 === 1
    out += replacement(name.trim(), variables, where, state, depth, isQuoted)
    index = end + 1
  }
  state.length += out.length
  if (state.length >= longest) state.reason ??= 'its variables grow without end'
  return out
}

function replacement(
  name: string,
  variables: Variables,
  where: 'recipe' | 'rule',
  state: State,
  depth: number,
  isQuoted: boolean,
): string {
  if (depth > deepest) {
    state.reason ??= `$(${name}) refers to itself`
    return ''
  }
  const shell = /^shell\s+(.*)$/s.exec(name)
  if (shell) {
    if (where === 'rule' || isQuoted) state.reason ??= '$(shell ...) stands where make must run it'
    state.needsShell = true
    return `$(${walk(shell[1]!, variables, where, state, depth + 1)})`
  }
  if (name === 'MAKE') return 'make'
  // Rules are relative to the folder of the Makefile, which is where its tasks run.
  if (name === 'CURDIR' && where === 'rule') return '.'
  const variable = variables.get(name)
  if (variable === undefined) {
    if (!/^[A-Za-z_]\w*$/.test(name)) {
      state.reason ??= `it uses $(${name.length > 30 ? `${name.slice(0, 30)}...` : name})`
      return ''
    }
    // make takes what it does not know from the environment; so does the shell.
    if (where === 'rule' || isQuoted) {
      state.reason ??= `$(${name}) is set from outside`
      return ''
    }
    state.needsShell = true
    return name === 'CURDIR' ? '$PWD' : `\${${name}:-}`
  }
  if (variable.opaque !== undefined) {
    state.reason ??= variable.opaque
    return ''
  }
  const value = walk(variable.value, variables, where, state, depth + 1)
  if (!variable.overridable || where === 'rule' || isQuoted || /["'`\\}]/.test(value)) return value
  state.needsShell = true
  return `\${${name}:-${value}}`
}

/** The index of the bracket that closes the one at `open`; -1 when there is none. */
function closing(text: string, open: number): number {
  const [begin, end] = text[open] === '(' ? ['(', ')'] : ['{', '}']
  let depth = 0
  for (let index = open; index < text.length; index += 1) {
    if (text[index] === begin) depth += 1
    else if (text[index] === end) {
      depth -= 1
      if (depth === 0) return index
    }
  }
  return -1
}
