/** A gate autopsy as text: the same lines in the tree, in plain lines and in CI. */
import type { Autopsy } from '../engine/events.ts'
import { count, createPaint, formatDuration, type Paint } from './format.ts'
import { names } from './view.ts'
import { oneLine } from './width.ts'

/** Lines without indentation or final newline; log lines stand behind `| `. */
export function formatAutopsy(autopsy: Autopsy, paint: Paint = createPaint(false)): string[] {
  const { question, asked, waitedMs, answers, container, logs, blocked, next } = autopsy
  const lines = [`asked     ${clean(question)}, ${count(asked, 'time')} in ${formatDuration(waitedMs)}`]
  answers.forEach(({ text, times }, index) => {
    const label = index === 0 ? 'answers   ' : '          '
    lines.push(`${label}${clean(text) || '(empty)'}${times > 1 ? paint.dim(` (${times} times in a row)`) : ''}`)
  })
  if (answers.length === 0) lines.push('answers   none')
  if (container) {
    const facts = [clean(container.state)]
    if (container.exitCode !== null) facts.push(`exit code ${container.exitCode}`)
    if (container.oomKilled) facts.push('killed, out of memory')
    if (container.restarts !== null)
      facts.push(container.restarts === 0 ? 'never restarted' : `restarted ${count(container.restarts, 'time')}`)
    lines.push(`container ${clean(container.name)}: ${facts.join(', ')}`)
  }
  if (logs.length > 0) {
    lines.push(`last ${logs.length === 1 ? 'log line' : `${logs.length} log lines`}`)
    for (const log of logs) lines.push(paint.dim(`  | ${clean(log)}`))
  }
  if (blocked.length > 0) lines.push(`blocked   ${names(blocked, 8)}`)
  if (next !== '') lines.push(`further   ${paint.cyan(clean(next))}`)
  return lines
}

function clean(text: string): string {
  return oneLine(text).trimEnd()
}
