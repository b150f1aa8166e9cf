/** SQL text as far as it takes to tell statements apart: comments, strings and bodies of functions are skipped. */
import { readFileSync } from 'node:fs'
import { DevstackError } from '../../lib/index.ts'

export interface Statement {
  /** Its first three words in upper case: `COMMIT`, `START TRANSACTION`, `CREATE TABLE A`. */
  readonly start: string
  /** Where the first word begins, in UTF-16 units from 0. */
  readonly at: number
}

const token =
  /--[^\n]*|\/\*|'|"(?:[^"]|"")*"|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|;/gu

/** The statements of a text, in their order. */
export function statementsOf(text: string): readonly Statement[] {
  const statements: { words: string[]; at: number }[] = []
  let current: { words: string[]; at: number } | undefined
  // BEGIN ATOMIC ... END of an SQL function holds statements of its own, and CASE ends with END as well
  let depth = 0
  let last = ''
  token.lastIndex = 0
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [found, tag] = match
    const before = text[match.index - 1] ?? ''
    if (found.startsWith('--')) continue
    if (found === '/*') token.lastIndex = endOfComment(text, token.lastIndex)
    else if (found === "'")
      token.lastIndex = endOfString(text, token.lastIndex, /[eE]/.test(before) && isEscape(text, match.index))
    else if (found.startsWith('$')) {
      const end = text.indexOf(`$${tag ?? ''}$`, token.lastIndex)
      token.lastIndex = end < 0 ? text.length : end + found.length
    } else if (found === ';') {
      if (depth === 0) current = undefined
    } else if (!found.startsWith('"')) {
      const word = found.toUpperCase()
      if (word === 'ATOMIC' && last === 'BEGIN' && current?.words[0] === 'CREATE') depth = 1
      else if (depth > 0 && word === 'CASE') depth += 1
      else if (depth > 0 && word === 'END') depth -= 1
      last = word
      if (!current) {
        current = { words: [], at: match.index }
        statements.push(current)
      }
      if (current.words.length < 3) current.words.push(word)
    }
  }
  return statements.map(({ words, at }) => ({ start: words.join(' '), at }))
}

/** `/*` may stand in `/*`. */
function endOfComment(text: string, from: number): number {
  const edge = /\/\*|\*\//g
  edge.lastIndex = from
  for (let depth = 1; depth > 0; ) {
    const match = edge.exec(text)
    if (!match) return text.length
    depth += match[0] === '/*' ? 1 : -1
  }
  return edge.lastIndex
}

function endOfString(text: string, from: number, escapes: boolean): number {
  for (let at = from; at < text.length; at += 1) {
    if (escapes && text[at] === '\\') at += 1
    else if (text[at] === "'") {
      if (text[at + 1] !== "'") return at + 1
      at += 1
    }
  }
  return text.length
}

/** The E before a quote is a prefix, and not the end of a name. */
function isEscape(text: string, quote: number): boolean {
  return !/[\w$]/.test(text[quote - 2] ?? '')
}

/** SAVEPOINT and what goes back to one are at home in a transaction. */
const control =
  /^(?:BEGIN|COMMIT|END|ABORT|ROLLBACK(?! (?:WORK |TRANSACTION )?TO\b)|START TRANSACTION|PREPARE TRANSACTION)\b/

/**
 * Refuses SQL files that begin or end transactions, since each is run inside one, which they would take apart. Throws
 * SQL_OWN_TRANSACTION with the place of the first.
 */
export function refuseTransactions(files: readonly string[]): void {
  for (const file of files) {
    const text = readFileSync(file, 'utf8')
    const found = statementsOf(text).find(({ start }) => control.test(start))
    if (!found) continue
    const { start, at } = found
    const before = text.slice(0, at).split('\n')
    const line = before.length
    throw new DevstackError({
      kind: 'config',
      code: 'SQL_OWN_TRANSACTION',
      message: `${file} says ${/^\w+( TRANSACTION)?/.exec(start)![0]}, and it is run in a transaction that is not its own.`,
      hint: 'Take BEGIN, COMMIT and ROLLBACK out of it: all of it is applied, or nothing.',
      place: { file, line, column: before.at(-1)!.length + 1, text: text.split('\n')[line - 1] ?? '' },
    })
  }
}
