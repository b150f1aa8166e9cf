/**
 * The inline tree: finished rows go to the scrollback, what is at work or waits is drawn below them.
 *
 * listr2 holds the rows and their life; it is a view of the events and never starts anything. Its own renderer redraws
 * everything, holds standard output back and, through its helpers, listens for signals; so the drawing is ours
 * (frame.ts, screen.ts) and listr2 is told to leave signals alone. It is loaded once a run proves long enough to draw.
 */
import type { RunEvent } from '../engine/events.ts'
import { createPaint, type Environment, type Paint } from './format.ts'
import { endedLine, frame, nameWidth } from './frame.ts'
import type { OutputStream, Sink } from './reporter.ts'
import { createRows, isEnded, type Row, rowOf, rowState, rowTimes } from './rows.ts'
import { createScreen } from './screen.ts'
import { describeCancelled, formatEnd } from './summary.ts'
import { apply, createView } from './view.ts'
import { textWidth, visibleText } from './width.ts'

export interface TreeOptions {
  readonly stream: OutputStream
  readonly environment?: Environment
  readonly paint?: Paint
  /** Milliseconds since the epoch; default the clock. */
  readonly now?: () => number
  /** Milliseconds before the first drawing; a run that is over by then leaves its result alone. Default 80. */
  readonly patience?: number
}

/** Milliseconds between two frames. */
const frameInterval = 100
/** With more rows than this, rows that ended well in less than a second are counted, not listed. */
const listedRows = 40
const worthListing = 1000
/** More rows than this are nothing to look at, and listr2 would only spend time on them. */
const heldRows = 200
const wholeRun = '\0run'

/** A reporter that draws on a terminal. Give it `close()` or `restore()`, or the cursor stays hidden. */
export function createTreeReporter(options: TreeOptions): Sink {
  const { stream, environment = {}, paint = createPaint(false), now = Date.now, patience = 80 } = options
  const screen = createScreen(stream, environment)
  const view = createView()
  const open = new Map<string, Row>()
  let rows = new Map<string, Row>()
  const settle = new Map<string, () => void>()
  const cancelled = new Map<string, { because: string | undefined; cause: string; names: string[] }>()
  let above: string[] = []
  let unlisted = 0
  let widest = 0
  let suspended = 0
  let life: Promise<unknown> | undefined
  let spinner = () => '⠿'
  let patienceTimer: NodeJS.Timeout | undefined
  let soon: NodeJS.Timeout | undefined
  let frames: NodeJS.Timeout | undefined
  let alive = false

  const draw = () => {
    clearTimeout(soon)
    soon = undefined
    // a terminal that does not keep up gets fewer frames, not a queue of them
    if (suspended > 0 || (stream.writableNeedDrain && !view.finished)) return
    const { columns, rows: height } = screen.size()
    const width = nameWidth(widest, columns)
    const live = alive
      ? frame({
          view,
          open: [...open.values()],
          total: rows.size,
          ended: rows.size - open.size,
          columns,
          rows: height,
          now: now(),
          spinner: spinner(),
          paint,
          nameWidth: width,
        })
      : []
    const lines = above
    above = []
    if (alive || lines.length > 0) screen.draw(live, lines)
  }
  const refresh = () => {
    if (alive) soon ??= setTimeout(draw, frameInterval / 2).unref()
  }

  /** Lets listr2 hold a row for each of ours, which settles when the events say so. */
  const start = async () => {
    const { Listr, ListrEventType, Spinner } = await import('listr2')
    if (view.finished || alive) return
    const wheel = new Spinner()
    class TreeRenderer {
      static nonTTY = true
      static rendererOptions: never
      static rendererTaskOptions: never
      readonly events: { on(event: unknown, listener: () => void): void }
      constructor(_tasks: unknown, _options: unknown, events: TreeRenderer['events']) {
        this.events = events
      }
      render() {
        alive = true
        spinner = () => wheel.fetch()
        this.events.on(ListrEventType.SHOULD_REFRESH_RENDER, refresh)
        frames = setInterval(() => {
          wheel.spin()
          draw()
        }, frameInterval).unref()
        draw()
      }
      end() {
        stop()
      }
    }
    const list = new Listr(
      // the last one lives as long as the run, so that the drawing does as well
      [...[...open.keys()].slice(0, heldRows), wholeRun].map((title) => ({
        title,
        task: () => new Promise<void>((resolve) => settle.set(title, resolve)),
      })),
      {
        concurrent: true,
        exitOnError: false,
        registerSignalListeners: false,
        // the class is complete; its static options have no members to be typed
        renderer: TreeRenderer as never,
      },
    )
    life = list.run()
    await life
  }

  const stop = () => {
    alive = false
    clearTimeout(patienceTimer)
    clearTimeout(soon)
    clearInterval(frames)
    soon = undefined
  }

  const begin = () => {
    rows = createRows(view)
    for (const row of rows.values()) {
      open.set(row.name, row)
      widest = Math.max(widest, textWidth(row.name))
    }
    patienceTimer = setTimeout(() => {
      // without listr2 nothing is drawn while the run goes on, and everything is said at its end
      start().catch(() => stop())
    }, patience).unref()
    stream.on?.('resize', refresh)
  }

  /** Moves a row that is over to the scrollback, or counts it. */
  const leave = (row: Row) => {
    if (!open.delete(row.name)) return
    settle.get(row.name)?.()
    settle.delete(row.name)
    const state = rowState(row)
    if (state === 'cancelled') {
      const found = row.nodes.findLast((node) => node.state.is === 'cancelled')?.state
      if (found?.is !== 'cancelled') return
      const key = found.because ?? `\0${found.cause}`
      const group = cancelled.get(key) ?? { because: found.because, cause: found.cause, names: [] }
      group.names.push(row.name)
      cancelled.set(key, group)
      return
    }
    const took = rowTimes(row, 0)?.worked ?? 0
    if (rows.size > listedRows && state !== 'failed' && state !== 'ready' && took < worthListing) unlisted += 1
    else {
      const { columns } = screen.size()
      above.push(endedLine(row, { columns, paint, nameWidth: nameWidth(widest, columns) }))
    }
  }

  const finish = () => {
    stop()
    for (const resolve of settle.values()) resolve()
    for (const { because, cause, names } of cancelled.values())
      above.push(`${paint.yellow('⊘')} ${paint.dim(describeCancelled(names, because, cause))}`)
    if (unlisted > 0) above.push(paint.dim(`  ${unlisted} that ended in less than a second are not listed`))
    above.push('', ...formatEnd(view, paint))
    draw()
  }

  const take = (event: RunEvent) => {
    const node = apply(view, event)
    if (event.type === 'run-started') begin()
    else if (event.type === 'run-finished') finish()
    else if (event.type === 'note') {
      const sign = event.level === 'warning' ? paint.yellow('!') : paint.dim('i')
      // a table or another text of several lines stands as it is
      const lines = visibleText(event.text).split('\n')
      above.push(...(lines.length > 1 ? ['', ...lines, ''] : [`${sign} ${lines[0]}`]))
    } else if (node) {
      const row = rowOf(rows, node)
      if (isEnded(row)) leave(row)
      else open.set(row.name, row)
    }
  }

  const end = () => {
    stop()
    stream.off?.('resize', refresh)
    for (const resolve of settle.values()) resolve()
    suspended = 0
    draw()
    screen.clear()
  }

  return {
    report(event) {
      take(event)
      if (above.length > 0 && !alive && suspended === 0 && !view.started) draw()
      else refresh()
    },
    suspend() {
      suspended += 1
      screen.clear()
      let resumed = false
      return () => {
        if (resumed) return
        resumed = true
        suspended = Math.max(0, suspended - 1)
        draw()
      }
    },
    restore: end,
    async close() {
      end()
      await life?.catch(() => {})
    },
  }
}
