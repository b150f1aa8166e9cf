/** A terminal small enough for tests: knows the few sequences that devstack writes, and throws at any other. */
import { textWidth } from '../../lib/report/width.ts'

export interface TerminalModel {
  write(text: string): void
  /** Scrollback and screen as text, without empty lines at the end. */
  text(): string
  /** Whether the cursor is to be seen. */
  readonly cursorShown: boolean
  /** How often something was written. */
  readonly writes: number
}

export function createTerminalModel(columns: number, rows: number): TerminalModel {
  const lines: string[][] = [[]]
  let row = 0
  let column = 0
  let cursorShown = true
  let writes = 0
  const top = () => Math.max(0, lines.length - rows)

  const put = (character: string) => {
    const width = textWidth(character)
    if (column + width > columns) {
      down()
      column = 0
    }
    const line = lines[row]!
    while (line.length < column) line.push(' ')
    line[column] = character
    if (width === 2) line[column + 1] = ''
    column += width
  }
  const down = () => {
    row += 1
    if (row === lines.length) lines.push([])
  }
  const control = (parameters: string, final: string) => {
    if (final === 'm') return
    if (parameters.startsWith('?')) {
      if (parameters === '?25') cursorShown = final === 'h'
      else if (parameters !== '?2026') throw new Error(`unknown mode ${parameters}${final}`)
    } else if (final === 'A') row = Math.max(top(), row - Number(parameters || 1))
    else if (final === 'B') row = Math.min(lines.length - 1, row + Number(parameters || 1))
    else if (final === 'K') lines[row]!.length = Math.min(lines[row]!.length, column)
    else if (final === 'J') {
      lines[row]!.length = Math.min(lines[row]!.length, column)
      // the rows stay, so that what scrolled out does not come back
      for (let below = row + 1; below < lines.length; below += 1) lines[below] = []
    } else throw new Error(`unknown sequence CSI ${parameters}${final}`)
  }

  return {
    write(text) {
      writes += 1
      const token = /\u001b\[([?\d;]*)([A-Za-z])|\r|\n|./gsu
      for (const [whole, parameters, final] of text.matchAll(token)) {
        if (final !== undefined) control(parameters!, final)
        else if (whole === '\n') {
          down()
          column = 0
        } else if (whole === '\r') column = 0
        else put(whole)
      }
    },
    text: () =>
      lines
        .map((line) => line.join('').trimEnd())
        .join('\n')
        .trimEnd(),
    get cursorShown() {
      return cursorShown
    },
    get writes() {
      return writes
    },
  }
}
