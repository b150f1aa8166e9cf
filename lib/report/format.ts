/** Text for people: durations, sizes, rates, tables and colours. No state, no clock, no stream. */
import { isatty } from 'node:tty'
import { pad, textWidth, truncate } from './width.ts'

export { pad, textWidth, truncate } from './width.ts'

/** Milliseconds as `85 ms`, `1.2 s`, `12.3 s`, `2 min 05 s` or `1 h 02 min`. Negative and non-finite count as 0. */
export function formatDuration(ms: number): string {
  const time = Number.isFinite(ms) && ms > 0 ? ms : 0
  if (Math.round(time) < 1000) return `${Math.round(time)} ms`
  if (time < 59_950) return `${(time / 1000).toFixed(1)} s`
  const seconds = Math.round(time / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** Bytes as `512 B`, `1.5 KiB`, `20 MiB`: powers of 1024 (IEC 80000-13), one decimal below 10. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return '? B'
  const sign = bytes < 0 ? '-' : ''
  let size = Math.abs(bytes)
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let unit = 0
  while (unit < units.length - 1 && Number(size.toFixed(size < 10 ? 1 : 0)) >= 1024) {
    size /= 1024
    unit += 1
  }
  const digits = unit === 0 ? String(Math.round(size)) : size < 9.95 ? size.toFixed(1) : String(Math.round(size))
  return `${sign}${digits} ${units[unit]}`
}

/** Amount over time, for instance `12.5 MiB/s` or `830 rows/s`; `unit` names what is counted, default bytes. */
export function formatRate(amount: number, ms: number, unit = 'bytes'): string {
  const perSecond = ms > 0 ? (amount / ms) * 1000 : 0
  if (unit === 'bytes') return `${formatBytes(perSecond)}/s`
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} ${unit}/s`
}

/** `1 task`, `2 tasks`. */
export function count(amount: number, singular: string, plural = `${singular}s`): string {
  return `${amount} ${amount === 1 ? singular : plural}`
}

/** A word as a POSIX shell reads it back literally. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

const codes = {
  bold: [1, 22],
  dim: [2, 22],
  underline: [4, 24],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  gray: [90, 39],
} as const
export type Colour = keyof typeof codes
export type Paint = Readonly<Record<Colour, (text: string) => string>>

/** Whether colours are wanted. FORCE_COLOR (not `0`/`false`) wins, then NO_COLOR (no-color.org), TERM=dumb, the terminal. */
export function coloursWanted(options: { isTTY: boolean; environment: Environment }): boolean {
  const { environment, isTTY } = options
  const force = environment['FORCE_COLOR']
  if (force !== undefined) return force !== '0' && force !== 'false'
  if (environment['NO_COLOR']) return false
  return isTTY && environment['TERM'] !== 'dumb'
}
export type Environment = Readonly<Record<string, string | undefined>>

/** Colour functions that colour, or that give their text back as it is. */
export function createPaint(colours: boolean): Paint {
  const entries = Object.entries(codes).map(([name, [open, close]]) => {
    const start = `\u001b[${open}m`
    const end = `\u001b[${close}m`
    // a nested colour ends with our own closing code, so ours is opened again behind it
    return [name, (text: string) => (colours && text ? start + text.replaceAll(end, end + start) + end : text)]
  })
  return Object.fromEntries(entries) as Paint
}

/** Colours for a task's own output: decided at each call from NO_COLOR, FORCE_COLOR and whether stdout is a terminal. */
export const paint: Paint = Object.fromEntries(
  (Object.keys(codes) as Colour[]).map((name) => [
    name,
    (text: string) => createPaint(coloursWanted({ isTTY: isatty(1), environment: process.env }))[name](text),
  ]),
) as Paint

export interface Column<R> {
  readonly title: string
  readonly value: (row: R) => string | number | undefined
  readonly align?: 'left' | 'right'
  /** Colours a cell after it is aligned; gets the filled text. */
  readonly paint?: (text: string, row: R) => string
  /** Narrowest width it may be cut to when the table is too wide; default: the title's width. */
  readonly min?: number
}

export interface TableOptions<R> {
  readonly columns: readonly Column<R>[]
  /** Cells available; wider tables have their widest columns cut. Default: no limit. */
  readonly width?: number
  /** Default true. */
  readonly header?: boolean
  readonly paint?: Paint
}

/** Rows as aligned columns two spaces apart, without a final newline; an empty string when there are no rows. */
export function table<R>(rows: readonly R[], options: TableOptions<R>): string {
  if (rows.length === 0) return ''
  const { columns, header = true } = options
  const colours = options.paint ?? createPaint(false)
  const cells = rows.map((row) => columns.map((column) => String(column.value(row) ?? '').replace(/\s*\n\s*/g, ' ')))
  const widths = columns.map((column, at) =>
    Math.max(header ? textWidth(column.title) : 0, ...cells.map((row) => textWidth(row[at]!))),
  )
  if (options.width !== undefined) shrink(widths, columns, options.width)
  const line = (texts: readonly string[], style: (text: string, at: number) => string) =>
    texts
      .map((text, at) => {
        const cut = truncate(text, widths[at]!)
        const last = at === texts.length - 1 && columns[at]!.align !== 'right'
        return style(last ? cut : pad(cut, widths[at]!, columns[at]!.align), at)
      })
      .join('  ')
      .trimEnd()
  const lines = rows.map((row, index) => line(cells[index]!, (text, at) => columns[at]!.paint?.(text, row) ?? text))
  if (header)
    lines.unshift(
      line(
        columns.map((column) => column.title),
        (text) => colours.bold(text),
      ),
    )
  return lines.join('\n')
}

/** Takes cells from the widest column until the table fits or every column is at its minimum. */
function shrink<R>(widths: number[], columns: readonly Column<R>[], width: number): void {
  let excess = widths.reduce((sum, next) => sum + next, 2 * (widths.length - 1)) - width
  const minimum = columns.map((column) => column.min ?? Math.max(3, textWidth(column.title)))
  while (excess > 0) {
    let widest = -1
    for (let at = 0; at < widths.length; at += 1) {
      if (widths[at]! > minimum[at]! && (widest < 0 || widths[at]! > widths[widest]!)) widest = at
    }
    if (widest < 0) return
    widths[widest]! -= 1
    excess -= 1
  }
}
