/** Plain text, one line per fact: for pipes, CI and dumb terminals. No cursor movement, no carriage return. */
import type { RunEvent } from '../engine/events.ts'
import { count, createPaint, formatDuration, type Paint, pad } from './format.ts'
import { progressText } from './progress.ts'
import type { Sink } from './reporter.ts'
import { formatEnd } from './summary.ts'
import { apply, createView, describeWait, firstLine, type NodeView } from './view.ts'
import { oneLine, textWidth, visibleText } from './width.ts'

export interface LinesOptions {
  readonly write: (text: string) => void
  readonly paint?: Paint
  /** Also says what waits, and every answer of a gate. */
  readonly verbose?: boolean
  /** Failures and the end alone. */
  readonly quiet?: boolean
}

/** Names are aligned up to this many cells; a longer one pushes its own lines only. */
const widestName = 24
/** Answers of a gate and progress are told at most this often, in milliseconds of event time. */
const answerInterval = 1000
const colours = ['cyan', 'magenta', 'blue', 'green', 'yellow'] as const

/** A reporter that writes `name : fact` and `name | output` lines. */
export function createLinesReporter(options: LinesOptions): Sink {
  const { write, paint = createPaint(false), verbose = false, quiet = false } = options
  const view = createView()
  const told = new Map<string, { at: number; text: string }>()
  /** What the gate of a service said when it held. */
  const held = new Map<string, string>()
  let width = 8

  const say = (node: string, mark: ':' | '|', text: string) => {
    const name = paint[colourOf(node)](pad(oneLine(node), width))
    const line = oneLine(text)
    write(`${name} ${paint.dim(mark)}${line ? ` ${line}` : ''}\n`)
  }

  /** Whether this answer is news worth a line now. */
  const isNews = (key: string, text: string, at: number) => {
    const last = told.get(key)
    if (last && (last.text === text || (!verbose && at - last.at < answerInterval))) return false
    told.set(key, { at, text })
    return true
  }

  const start = () => {
    const { started } = view
    if (!started) return
    width = Math.min(widestName, Math.max(4, ...started.steps.map((step) => textWidth(step.node))))
    const targets = started.targets.map((target) => target.task).join(' ')
    const origin = started.continues
      ? `, goes on from ${started.continues}`
      : started.undoes
        ? `, undoes ${started.undoes}`
        : ''
    write(`run ${view.runId}: ${targets} (${count(started.steps.length, 'task')}${origin})\n`)
  }

  /** A step inside a row of its own (create, start): told only when it matters, or to who wants everything. */
  const isInner = (node: NodeView) => node.step?.partOf !== undefined && !node.step.service

  const fact = (event: RunEvent & { node: string }, node: NodeView) => {
    if (!verbose && isSmallTalk(event, node)) return
    for (const line of node.printed) say(event.node, '|', line)
    switch (event.type) {
      case 'node-output':
        break
      case 'node-progress': {
        const { done, total } = event.progress
        const text = progressText(node.progress!)
        if (done === total || isNews(`${event.node}\0progress`, text, event.at)) say(event.node, ':', text)
        break
      }
      case 'gate-answer':
        if (event.holds) held.set(event.node, event.answer)
        else if (isNews(`${event.node}\0${event.gate}`, event.answer, event.at))
          say(event.node, ':', `waits for ${event.gate}: ${visibleText(event.answer)}`)
        break
      case 'lock-waiting':
        say(event.node, ':', `waits for lock ${event.lock}, held by ${event.holder}`)
        break
      case 'node-waiting':
      case 'gate-waiting': {
        const text = describeWait(node)
        if (verbose && text) say(event.node, ':', text)
        break
      }
      case 'gate-held': {
        const asked = event.asked > 0 ? `, asked ${count(event.asked, 'time')}` : ''
        say(event.node, ':', `${event.gate} holds after ${formatDuration(event.waitedMs)}${asked}`)
        break
      }
      case 'node-ready': {
        const answer = held.get(event.node)
        say(event.node, ':', describeChange(event) + (answer ? `: ${visibleText(answer)}` : ''))
        break
      }
      default: {
        const text = describeChange(event)
        if (text) say(event.node, ':', text)
      }
    }
  }

  const isSmallTalk = (event: RunEvent & { node: string }, node: NodeView) => {
    // one failure cancels many: the end counts them
    if (event.type === 'node-cancelled') return event.because !== undefined
    if (event.type === 'gate-held') return node.step?.service === true
    if (event.type === 'gate-answer' && !event.holds)
      return node.startedAt !== undefined && event.at - node.startedAt < answerInterval
    if (node.step?.service) return event.type === 'node-started' && event.attempt === 1
    return isInner(node) && /^node-(started|done|reused|waiting)$/.test(event.type)
  }

  return {
    report(event) {
      const node = apply(view, event)
      if (event.type === 'run-finished') {
        const end = formatEnd(view, paint)
        write(`${quiet ? '' : '\n'}${end.join('\n')}\n`)
        return
      }
      if (event.type === 'note') {
        if (!quiet || event.level === 'warning')
          write(`${event.level === 'warning' ? paint.yellow('warning: ') : ''}${visibleText(event.text)}\n`)
        return
      }
      if (quiet) return
      if (event.type === 'run-started') start()
      else if (node) fact(event, node)
    },
  }
}

/** The change of a node's state in words. */
function describeChange(
  event: Exclude<
    RunEvent & { node: string },
    { type: 'node-output' | 'node-progress' | 'node-waiting' | `gate-${string}` | 'lock-waiting' }
  >,
): string {
  switch (event.type) {
    case 'node-started':
      return event.attempt > 1 ? `started, attempt ${event.attempt}` : 'started'
    case 'node-retry':
      return `attempt ${event.attempt} failed, next in ${formatDuration(event.delayMs)}: ${firstLine(event.error.message)}`
    case 'node-ready':
      return `ready after ${formatDuration(event.durationMs)}`
    case 'node-done':
      return `done in ${formatDuration(event.durationMs)}`
    case 'node-reused':
      return `reused: ${event.cause}`
    case 'node-skipped':
      return `skipped: ${event.cause}`
    case 'node-failed':
      return `failed after ${formatDuration(event.durationMs)}: ${firstLine(event.error.message)}`
    case 'node-cancelled':
      return `cancelled: ${event.cause}`
    case 'cleanup-failed':
      return `cleanup failed: ${firstLine(event.error.message)}`
    case 'undo-started':
      return 'undo started'
    case 'node-undone':
      return `undone in ${formatDuration(event.durationMs)}`
    case 'undo-failed':
      return `undo failed: ${firstLine(event.error.message)}`
    default: {
      const unknown: never = event
      return String((unknown as { type: string }).type)
    }
  }
}

/** The same colour for the same name in every run. */
function colourOf(name: string): (typeof colours)[number] {
  let hash = 0
  for (let at = 0; at < name.length; at += 1) hash = (hash * 31 + name.charCodeAt(at)) >>> 0
  return colours[hash % colours.length]!
}
