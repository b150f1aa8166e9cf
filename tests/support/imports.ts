/** The imports of a TypeScript file, read by a small lexer that knows comments, strings, templates and regular expressions. */

export interface Import {
  /** As written: `./task.ts`, `zod`, `node:fs`. */
  readonly specifier: string
  /** `type` when nothing of it is left at run time, `dynamic` for `import()`. */
  readonly kind: 'value' | 'type' | 'dynamic'
  /** From 1. */
  readonly line: number
}

type Token = { readonly kind: 'word' | 'sign' | 'string' | 'other'; readonly text: string; readonly line: number }

/** All static imports, re-exports and `import()` calls with a literal, in order. `import('x')` in a type counts as `dynamic`. */
export function readImports(source: string): readonly Import[] {
  const tokens = tokenize(source)
  const found: Import[] = []
  for (const [index, token] of tokens.entries()) {
    if (token.kind !== 'word' || tokens[index - 1]?.text === '.') continue
    if (token.text === 'import' && tokens[index + 1]?.text === '(') {
      const specifier = tokens[index + 2]
      if (specifier?.kind === 'string') found.push({ specifier: specifier.text, kind: 'dynamic', line: token.line })
    } else if (token.text === 'import' || token.text === 'export') {
      const statement = readStatement(tokens, index)
      if (statement) found.push({ ...statement, line: token.line })
    }
  }
  return found
}

/** `import 'x'`, `import … from 'x'`, `export … from 'x'`; undefined for an export of something declared here. */
function readStatement(tokens: readonly Token[], start: number): Omit<Import, 'line'> | undefined {
  const first = tokens[start + 1]
  if (first?.kind === 'string') return { specifier: first.text, kind: 'value' }
  const isType = first?.text === 'type' && !['from', ',', '='].includes(tokens[start + 2]?.text ?? '')
  let index = start + (isType ? 2 : 1)
  let names = 0
  let typeNames = 0
  if (tokens[start]!.text === 'export' && tokens[index]?.text !== '{' && tokens[index]?.text !== '*') return undefined
  for (; index < tokens.length; index += 1) {
    const token = tokens[index]!
    if (token.text === 'from' && tokens[index + 1]?.kind === 'string') {
      const allTypes = isType || (names > 0 && names === typeNames)
      return { specifier: tokens[index + 1]!.text, kind: allTypes ? 'type' : 'value' }
    }
    if (token.kind === 'word' && ['{', ',', 'import'].includes(tokens[index - 1]!.text)) {
      names += 1
      if (isTypeName(tokens, index)) typeNames += 1
    } else if (token.kind !== 'word' && !['{', '}', ',', '*'].includes(token.text)) return undefined
  }
  return undefined
}

/** `type` before a name between braces, not a name of its own. */
function isTypeName(tokens: readonly Token[], index: number): boolean {
  const next = tokens[index + 1]
  return tokens[index]!.text === 'type' && next?.kind === 'word' && !['as', 'from'].includes(next.text)
}

// after one of these a slash begins a regular expression
const operandFollows = /^(?:[({[,;=:?!&|+\-*%<>~^]|=>|return|typeof|case|in|of|await|yield|void|delete|else|do)$/
const patterns = {
  space: /\s+/y,
  comment: /\/\/[^\n]*|\/\*[\s\S]*?\*\//y,
  string: /'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"/y,
  regex: /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y,
  word: /[\p{ID_Start}$_#@][\p{ID_Continue}$]*/uy,
  number: /\d[\w.]*/y,
  arrow: /=>/y,
} as const

function tokenize(source: string): readonly Token[] {
  const tokens: Token[] = []
  // depth of braces at which each open template's expression ends
  const templates: number[] = []
  let at = 0
  let depth = 0
  let line = 1
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(source)?.[0]
  }
  const take = (text: string, kind?: Token['kind'], value = text) => {
    if (kind) tokens.push({ kind, text: value, line })
    at += text.length
    line += text.split('\n').length - 1
  }
  const takeTemplate = () => {
    const part = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{)/y
    const text = match(part) ?? source.slice(at)
    take(text, 'other')
    if (text.endsWith('${')) {
      templates.push(depth)
      depth += 1
    }
  }
  while (at < source.length) {
    const skipped = match(patterns.space) ?? match(patterns.comment)
    if (skipped !== undefined) {
      take(skipped)
      continue
    }
    const string = match(patterns.string)
    if (string !== undefined) {
      take(string, 'string', string.slice(1, -1))
      continue
    }
    if (source[at] === '`') {
      take('`')
      takeTemplate()
      continue
    }
    const last = tokens.at(-1)
    if (source[at] === '/' && (last === undefined || (last.kind !== 'string' && operandFollows.test(last.text)))) {
      const regex = match(patterns.regex)
      if (regex !== undefined) {
        take(regex, 'other')
        continue
      }
    }
    const word = match(patterns.word)
    if (word !== undefined) {
      take(word, 'word')
      continue
    }
    const sign = match(patterns.number) ?? match(patterns.arrow) ?? source[at]!
    if (sign === '{') depth += 1
    if (sign === '}') depth -= 1
    take(sign, 'sign')
    if (sign === '}' && templates.at(-1) === depth) {
      templates.pop()
      takeTemplate()
    }
  }
  return tokens
}
