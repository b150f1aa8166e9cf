/**
 * A few live lines at the bottom of a terminal, with everything above them left to the scrollback.
 *
 * Only lines that changed are written again, each update is one write inside a synchronized update (DEC mode 2026,
 * ignored where it is unknown), no line is ever wide enough to wrap: that is why nothing flickers.
 */
import type { OutputStream } from './reporter.ts'
import { textWidth } from './width.ts'

const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const beginUpdate = '\u001b[?2026h'
const endUpdate = '\u001b[?2026l'
const clearRest = '\u001b[K'
const clearBelow = '\u001b[J'

export interface Screen {
  /** Columns and rows that may be used now; 80 x 24 where the terminal does not tell. */
  size(): { readonly columns: number; readonly rows: number }
  /** Replaces the live lines; `above` are printed over them first and stay for good. Lines must fit the width. */
  draw(live: readonly string[], above?: readonly string[]): void
  /** Takes the live lines away and shows the cursor. */
  clear(): void
}

/** A screen on `stream`; `environment` gives COLUMNS and LINES where the terminal has no size. */
export function createScreen(
  stream: OutputStream,
  environment: Readonly<Record<string, string | undefined>> = {},
): Screen {
  let shown: readonly string[] = []
  let hidden = false

  const size = () => ({
    columns: Math.max(1, stream.columns || Number.parseInt(environment['COLUMNS'] ?? '', 10) || 80),
    rows: Math.max(1, stream.rows || Number.parseInt(environment['LINES'] ?? '', 10) || 24),
  })

  /** Rows the shown lines take: a terminal that got narrower has wrapped what no longer fits. */
  const height = (lines: readonly string[], columns: number) =>
    lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(textWidth(line) / columns)), 0)

  const up = (rows: number) => (rows > 0 ? `\u001b[${rows}A` : '')

  /**
   * Empties the last rows and the one of the cursor, and goes to the first of them. Row by row, since a terminal may
   * move all it shows to the scrollback when everything below its first cell is cleared at once (tmux does).
   */
  const erase = (rows: number) => `${up(rows)}\r${`${clearRest}\u001b[B`.repeat(rows)}${clearRest}${up(rows)}`

  return {
    size,
    draw(live, above = []) {
      const { columns } = size()
      const rows = height(shown, columns)
      let text = ''
      if (above.length > 0 || rows !== shown.length) {
        // a wide line wraps onto rows that still hold old text, so those are cleared first
        const clearFirst = rows !== shown.length || above.some((line) => textWidth(line) >= columns)
        const end = clearFirst ? '\n' : `${clearRest}\n`
        const lines = [...above, ...live].map((line) => line + end).join('')
        text = clearFirst ? erase(rows) + lines : `${up(rows)}\r${lines}${clearBelow}`
      } else {
        let same = 0
        while (same < shown.length && same < live.length && shown[same] === live[same]) same += 1
        if (same === shown.length && same === live.length) return
        const changed = live.slice(same).map((line, index) => {
          // an unchanged line is only stepped over
          return line === shown[same + index] ? '\n' : `${line}${clearRest}\n`
        })
        text = `${up(shown.length - same)}\r${changed.join('')}${clearBelow}`
      }
      const cursor = live.length > 0 && !hidden ? hideCursor : live.length === 0 && hidden ? showCursor : ''
      hidden = live.length > 0
      shown = [...live]
      stream.write(`${beginUpdate}${cursor}${text}${endUpdate}`)
    },
    clear() {
      const rows = height(shown, size().columns)
      if (rows === 0 && !hidden) return
      shown = []
      hidden = false
      stream.write(`${erase(rows)}${showCursor}`)
    },
  }
}
