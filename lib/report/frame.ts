/** How the tree looks: rows as lines of a given width. Pure: the same rows, time and width give the same text. */
import { formatDuration, type Paint, pad, truncate } from './format.ts'
import { type Row, type RowState, rowDetail, rowState, rowTimes } from './rows.ts'
import { firstLine, type RunView } from './view.ts'
import { oneLine, textWidth } from './width.ts'

export interface FrameOptions {
  readonly view: RunView
  /** Rows that are not over, in the order of the plan. */
  readonly open: readonly Row[]
  /** How many rows there are in all, and how many are over. */
  readonly total: number
  readonly ended: number
  readonly columns: number
  readonly rows: number
  readonly now: number
  /** The sign of work, which moves from frame to frame. */
  readonly spinner: string
  readonly paint: Paint
  /** Cells that names are aligned to; see `nameWidth`. */
  readonly nameWidth: number
}

/** More live lines than this are a wall, not a view. */
const mostLines = 20
const mostWaiting = 8

/** Cells that names get at this terminal width, when the widest of them takes `widest`. */
export function nameWidth(widest: number, columns: number): number {
  return Math.max(4, Math.min(widest, 28, Math.floor(columns * 0.4)))
}

/** The live lines: what is at work, what waits for what, and how far the run is. Each is narrower than `columns`. */
export function frame(options: FrameOptions): string[] {
  const { open, view, rows, now, paint, spinner } = options
  const busy: { row: Row; state: RowState; since: number }[] = []
  const waiting: Row[] = []
  for (const row of open) {
    const state = rowState(row)
    if (state === 'waiting') waiting.push(row)
    else busy.push({ row, state, since: rowTimes(row, now)?.startedAt ?? Number.POSITIVE_INFINITY })
  }
  busy.sort((a, b) => a.since - b.since)
  // one line for the totals, one for the cursor; and room for lines to wrap when the terminal is made narrower, since
  // what is pushed out at the top can not be taken back
  const budget = Math.max(0, Math.min(mostLines, rows - 2 - Math.floor(rows / 5)))
  const lines: string[] = []
  const shownBusy = busy.length <= budget ? busy.length : Math.max(0, budget - 1)
  for (const { row, state } of busy.slice(0, shownBusy)) {
    const times = rowTimes(row, now)
    const elapsed = times ? formatElapsed(times.worked) : ''
    const sign = state === 'running' ? paint.cyan(spinner) : state === 'failed' ? paint.red('✖') : paint.yellow('◦')
    lines.push(line(options, { sign, name: row.name, time: elapsed, detail: rowDetail(row, view) }))
  }
  if (budget > 0 && shownBusy < busy.length)
    lines.push(rest(options, spinner, `and ${busy.length - shownBusy} more at work`))
  const left = Math.min(mostWaiting, budget - lines.length)
  const shownWaiting = waiting.length <= left ? waiting.length : Math.max(0, left - 1)
  for (const row of waiting.slice(0, shownWaiting)) {
    const detail = rowDetail(row, view) || 'waits'
    lines.push(line(options, { sign: paint.dim('·'), name: row.name, time: '', detail, dim: true }))
  }
  const hidden = waiting.length - Math.max(0, shownWaiting)
  if (shownWaiting > 0 && hidden > 0) lines.push(rest(options, '·', `and ${hidden} more waiting`))
  const running = busy.filter(({ state }) => state === 'running').length
  lines.push(footer(options, { running, waiting: shownWaiting > 0 ? 0 : hidden }))
  return lines
}

interface LineParts {
  readonly sign: string
  readonly name: string
  readonly time: string
  readonly detail: string
  readonly dim?: boolean
}

const timeWidth = 6

function line(options: Pick<FrameOptions, 'columns' | 'nameWidth' | 'paint'>, parts: LineParts): string {
  const { columns, paint } = options
  const name = pad(truncate(parts.name, options.nameWidth), options.nameWidth)
  let left = columns - 1 - 2 - options.nameWidth
  if (left < 0) return truncate(`  ${parts.name}`, columns - 1)
  let text = `${parts.sign} ${parts.dim ? paint.dim(name) : name}`
  const time = pad(parts.time, timeWidth, 'right')
  // a narrow terminal has no room for an empty column
  if (left >= textWidth(time) + 2 && (parts.time !== '' || columns >= 50)) {
    text += `  ${paint.dim(time)}`
    left -= textWidth(time) + 2
  }
  const detail = oneLine(parts.detail).trim()
  if (left >= 8 && detail) text += `  ${paint.dim(truncate(detail, left - 2))}`
  return text.trimEnd()
}

/** A duration that grows under the reader's eyes: always in seconds at first, so that the unit does not jump. */
function formatElapsed(ms: number): string {
  const time = Math.max(0, ms)
  return time < 59_950 ? `${(time / 1000).toFixed(1)} s` : formatDuration(time)
}

function rest(options: FrameOptions, sign: string, text: string): string {
  return options.paint.dim(truncate(`${sign} ${text}`, options.columns - 1))
}

function footer(options: FrameOptions, counts: { readonly running: number; readonly waiting: number }): string {
  const { columns, paint, total, ended, now, view } = options
  const elapsed = formatElapsed(now - view.startedAt)
  const parts = [`${ended} of ${total}`]
  if (counts.running > 0) parts.push(`${counts.running} running`)
  if (counts.waiting > 0) parts.push(`${counts.waiting} waiting`)
  const text = [...parts, elapsed].join(', ')
  const bar = Math.min(24, columns - textWidth(text) - 5)
  if (bar < 6) return paint.dim(truncate(text, columns - 1))
  const full = total === 0 ? bar : Math.round((bar * ended) / total)
  return `${paint.cyan('━'.repeat(full))}${paint.dim(`${'─'.repeat(bar - full)}  ${text}`)}`
}

/** The line that stays in the scrollback once a row is over; it may be wider than the terminal. */
export function endedLine(row: Row, options: Pick<FrameOptions, 'columns' | 'nameWidth' | 'paint'>): string {
  const { paint } = options
  const state = rowState(row)
  const times = rowTimes(row, 0)
  const time = times ? formatDuration(times.worked) : ''
  const parts = { name: row.name, time, detail: '' }
  switch (state) {
    case 'failed': {
      const failed = row.nodes.find((node) => node.state.is === 'failed')
      const error = failed?.state.is === 'failed' ? failed.state.error : undefined
      return line(options, { ...parts, sign: paint.red('✖'), detail: error ? firstLine(error.message) : '' })
    }
    case 'ready':
      return line(options, { ...parts, sign: paint.green('✔'), detail: 'ready' })
    case 'reused':
    case 'skipped':
    case 'cancelled': {
      const found = row.nodes.findLast((node) => node.state.is === state)?.state
      const cause = found && 'cause' in found ? found.cause : ''
      const sign = state === 'cancelled' ? paint.yellow('⊘') : state === 'reused' ? paint.dim('✔') : paint.dim('○')
      return line(options, { ...parts, sign, detail: cause ? `${state}: ${cause}` : state, dim: true })
    }
    default:
      return line(options, { ...parts, sign: paint.green('✔') })
  }
}
