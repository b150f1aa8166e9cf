/** How many terminal cells a text takes, and cutting a text to so many. */
import { stripVTControlCharacters } from 'node:util'

let segmenter: Intl.Segmenter | undefined
const plain = /^[\x20-\x7e]*$/
// All three read tables of Unicode that plain text never needs, so they wait.
// East Asian Wide and Fullwidth blocks (Unicode TR 11), without the emoji that the property below tells
const wide = (): RegExp =>
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{17000}-\u{18aff}\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]/u
const emoji = (): RegExp => /\p{Emoji_Presentation}|\ufe0f/u
const invisible = (): RegExp => /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]+$/u

/** Cells that `text` takes on a terminal; escape sequences and control characters take none. */
export function textWidth(text: string): number {
  if (plain.test(text)) return text.length
  const visible = stripVTControlCharacters(text)
  if (plain.test(visible)) return visible.length
  let width = 0
  for (const { segment } of graphemes(visible)) width += cells(segment)
  return width
}

/** Making a segmenter reads tables that plain text never needs. */
function graphemes(text: string): Iterable<Intl.SegmentData> {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  return segmenter.segment(text)
}

function cells(grapheme: string): number {
  if (invisible().test(grapheme)) return 0
  return emoji().test(grapheme) || wide().test(grapheme) ? 2 : 1
}

/** `text` (without escape sequences) cut to at most `width` cells, an ellipsis at the end where something is missing. */
export function truncate(text: string, width: number): string {
  if (width <= 0) return ''
  // what is far beyond the width is not even measured: a line may hold megabytes
  const short = text.length > width * 8 + 16 ? text.slice(0, width * 8 + 16) : text
  if (short === text && textWidth(text) <= width) return text
  if (plain.test(short)) return `${short.slice(0, width - 1)}…`
  let result = ''
  let used = 0
  for (const { segment } of graphemes(short)) {
    const next = cells(segment)
    if (used + next > width - 1) break
    result += segment
    used += next
  }
  return `${result}…`
}

/** `text` filled with spaces up to `width` cells; never cut. */
export function pad(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const fill = ' '.repeat(Math.max(0, width - textWidth(text)))
  return align === 'left' ? text + fill : fill + text
}

// C0 and C1 without tab and line feed, and the sequences that would move the cursor or recolour the terminal
const controls = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/g

/** `text` without escape sequences and control characters; tabs become spaces; line feeds stay. */
export function visibleText(text: string): string {
  if (plain.test(text)) return text
  return stripVTControlCharacters(text).replace(/\r\n?/g, '\n').replaceAll('\t', '  ').replace(controls, '')
}

/** The same on one line: runs of line feeds become a space. */
export function oneLine(text: string): string {
  return plain.test(text) ? text : visibleText(text).replace(/\s*\n\s*/g, ' ')
}
