/** The page of error codes, read from the places in the code that make the errors. */
import { endOfBraces, readLiteral, skipSpace, startOfBraces } from './literals.ts'

export interface ErrorEntry {
  readonly code: string
  /** As templates; `…` stands for what differs. Empty when the text is made elsewhere. */
  readonly message: string
  readonly hint: string
}

/** Every error that a source file makes: `{ code: 'X', message, hint }`, or a call such as `usage('X', message, hint)`. */
export function readErrors(source: string): readonly ErrorEntry[] {
  const entries: ErrorEntry[] = []
  for (const match of source.matchAll(/\bcode: '([A-Z][A-Z0-9_]+)'/g)) {
    const open = startOfBraces(source, match.index)
    const block = source.slice(open, endOfBraces(source, open))
    entries.push({ code: match[1]!, message: property(block, 'message'), hint: property(block, 'hint') })
  }
  for (const match of source.matchAll(/\b(\w+)\(\s*'([A-Z][A-Z0-9_]+)',/g)) {
    const at = match.index + match[0].length
    const message = readLiteral(source, at)
    if (message === undefined || !message.includes(' ')) continue
    const rest = source.slice(at, endOfCall(source, match.index + match[1]!.length))
    // the compose reader's errors share a prefix that it adds itself
    const code = match[1] === 'composeError' ? `COMPOSE_${match[2]}` : match[2]!
    entries.push({ code, message, hint: property(rest, 'hint') || secondLiteral(rest) })
  }
  return entries
}

function property(block: string, name: string): string {
  const match = new RegExp(`\\b${name}:`).exec(block)
  return match ? (readLiteral(block, match.index + match[0].length) ?? '') : ''
}

function secondLiteral(args: string): string {
  const first = /^\s*(?:'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)\s*,/.exec(args)
  return first ? (readLiteral(args, skipSpace(args, first[0].length)) ?? '') : ''
}

function endOfCall(source: string, open: number): number {
  let depth = 0
  for (let position = open; position < source.length; position += 1) {
    if (source[position] === '(') depth += 1
    if (source[position] === ')') {
      depth -= 1
      if (depth === 0) return position
    }
  }
  return source.length
}

/** Markdown: one row for each code and each message it comes with. */
export function errorsPage(entries: readonly ErrorEntry[]): string {
  const rows = new Map<string, ErrorEntry>()
  for (const entry of entries) {
    const key = `${entry.code} ${entry.message}`
    if ((rows.get(key)?.hint ?? '') === '') rows.set(key, entry)
  }
  const codes = new Map<string, ErrorEntry[]>()
  for (const entry of rows.values()) codes.set(entry.code, [...(codes.get(entry.code) ?? []), entry])
  const lines = [
    '# Error codes',
    '',
    'Every error that devstack shows on purpose has a code that stays the same, for scripts and for searching: it is the',
    '`code` of an error in `--json` output and in a journal. `…` stands for the name of the thing at fault.',
    '',
    'Exit codes: 0 success; 1 a task, gate or service failed; 2 bad usage, configuration or input; 3 a deadline passed;',
    '130 interrupted.',
    '',
    '| code | says | remedy |',
    '| --- | --- | --- |',
  ]
  for (const code of [...codes.keys()].sort()) {
    const all = codes.get(code)!
    const told = all.filter((entry) => entry.message !== '')
    for (const { message, hint } of told.length > 0 ? told : all.slice(0, 1))
      lines.push(`| \`${code}\` | ${cell(message)} | ${cell(hint)} |`)
  }
  return `${lines.join('\n')}\n`
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll(/\s+/g, ' ').trim()
}
