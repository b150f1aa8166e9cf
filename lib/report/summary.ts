/** What is printed once, when a run is over: each failure with its last lines and remedy, then the totals. */
import type { ErrorFact } from '../engine/events.ts'
import { formatPlace } from '../errors.ts'
import { formatAutopsy } from './autopsy.ts'
import { count, createPaint, formatDuration, type Paint, quoteWord } from './format.ts'
import { type NodeView, names, type RunView } from './view.ts'
import { oneLine, visibleText } from './width.ts'

const shownTail = 10
const shownFailures = 20

/** The whole end of a run as lines; empty as long as the run is not finished. */
export function formatEnd(view: RunView, paint: Paint = createPaint(false)): string[] {
  if (!view.finished) return []
  const failures = formatFailures(view, paint)
  const summary = formatSummary(view, paint)
  return failures.length > 0 ? [...failures, '', ...summary] : summary
}

/** Each failed node once: message, place, autopsy or last output, remedy. What two of them say alike is said once. */
function formatFailures(view: RunView, paint: Paint = createPaint(false)): string[] {
  const lines: string[] = []
  const failed = [...view.nodes.values()].filter((node) => node.state.is === 'failed' || node.aftermath.length > 0)
  const told = new Map<string, string>()
  for (const node of failed.slice(0, shownFailures)) {
    const reason = bareReason(node)
    const same = reason === undefined ? undefined : told.get(reason)
    if (same !== undefined) {
      lines.push(`${paint.red('✖')} ${paint.bold(node.id)} failed like ${same}`)
      continue
    }
    if (reason !== undefined) told.set(reason, node.id)
    if (lines.length > 0) lines.push('')
    lines.push(...formatFailure(node, paint))
  }
  if (failed.length > shownFailures) lines.push('', `and ${count(failed.length - shownFailures, 'more failed task')}`)
  return lines
}

/** What a failure says, when that is all there is to say about it: for instance that no engine answers. */
function bareReason({ state, aftermath, attempts, tail }: NodeView): string | undefined {
  if (state.is !== 'failed' || aftermath.length > 0 || tail.length > 0 || attempts > 1) return undefined
  const { code, message, hint, details, autopsy, place, stack } = state.error
  return autopsy || place || stack ? undefined : JSON.stringify([code, message, hint, details])
}

function formatFailure(node: NodeView, paint: Paint): string[] {
  const lines: string[] = []
  if (node.state.is === 'failed') {
    const { error } = node.state
    const tries = node.attempts > 1 ? ` at attempt ${node.attempts}` : ''
    lines.push(`${paint.red('✖')} ${paint.bold(node.id)} failed${tries}: ${headline(error)}`)
    lines.push(...body(error, paint))
    if (!error.autopsy && node.tail.length > 0 && !tellsOutput(error, node)) {
      const tail = node.tail.slice(-shownTail)
      lines.push(`  its last ${tail.length === 1 ? 'line' : `${tail.length} lines`} of output`)
      lines.push(...tail.map((line) => paint.dim(`    | ${line}`)))
    }
    lines.push(...remedy(error, paint))
  }
  for (const error of node.aftermath) {
    if (node.state.is === 'failed' && node.state.error === error) continue
    lines.push(`${paint.yellow('!')} ${paint.bold(node.id)}: cleaning up failed: ${headline(error)}`)
    lines.push(...body(error, paint), ...remedy(error, paint))
  }
  return lines
}

/** Whether the error itself holds what the task printed last. */
function tellsOutput(error: ErrorFact, node: NodeView): boolean {
  const last = node.tail.at(-1)
  return (
    last !== undefined &&
    visibleText((error.details ?? []).join('\n'))
      .split('\n')
      .some((line) => line.trim() === last.trim())
  )
}

function headline(error: ErrorFact): string {
  return visibleText(error.message).split('\n')[0] ?? ''
}

function body(error: ErrorFact, paint: Paint): string[] {
  const lines = visibleText(error.message)
    .split('\n')
    .slice(1)
    .map((line) => `  ${line}`)
  const { place } = error
  if (place) {
    lines.push(`  at ${paint.cyan(formatPlace(place))}`)
    if (place.text !== undefined) lines.push(paint.dim(`    ${visibleText(place.text)}`))
  }
  for (const detail of error.details ?? []) {
    lines.push(
      ...visibleText(detail)
        .split('\n')
        .map((line) => `  ${line}`),
    )
  }
  if (error.autopsy) lines.push(...formatAutopsy(error.autopsy, paint).map((line) => `  ${line}`))
  if (error.stack !== undefined) {
    const frames = error.stack.split('\n').filter((line) => line.trimStart().startsWith('at '))
    lines.push(...frames.slice(0, 5).map((line) => paint.dim(`    ${line.trim()}`)))
  }
  return lines
}

function remedy(error: ErrorFact, paint: Paint): string[] {
  return error.hint ? [`  ${paint.yellow('→')} ${visibleText(error.hint)}`] : []
}

const words = { succeeded: 'succeeded', failed: 'failed', cancelled: 'cancelled' } as const

/** Totals, time beside the critical path, and what to do next. */
function formatSummary(view: RunView, paint: Paint = createPaint(false)): string[] {
  const { finished } = view
  if (!finished) return []
  const mark = { succeeded: paint.green('✔'), failed: paint.red('✖'), cancelled: paint.yellow('⊘') }[finished.state]
  const { summary } = finished
  const parts = (['failed', 'cancelled', 'done', 'reused', 'skipped'] as const)
    .filter((part) => summary[part] > 0)
    .map((part) => `${summary[part]} ${part}`)
  const total = formatDuration(finished.durationMs)
  const lines = [
    `${mark} ${paint.bold(words[finished.state])} in ${total}: ${parts.length > 0 ? parts.join(', ') : 'nothing to do'}`,
  ]
  if (finished.criticalPath.length > 1) {
    lines.push(paint.dim(`  critical path ${formatDuration(finished.criticalMs)}: ${path(finished.criticalPath)}`))
  }
  if (finished.state !== 'succeeded') {
    const where = locating(view)
    const undoes = view.started?.undoes
    if (summary.failed > 0) lines.push(`  more:   ${paint.cyan(`devstack show ${where}${finished.runId}`)}`)
    const next = undoes === undefined ? `resume ${where}${finished.runId}` : `undo ${where}${undoes}`
    lines.push(`  go on:  ${paint.cyan(`devstack ${next}`)}`)
    const left = containersLeft(view)
    if (left.length > 0) {
      const what = `${count(left.length, 'container')} (${names(left)})`
      const them = left.length === 1 ? 'it' : 'them'
      const [up, down] = [paint.cyan('devstack run up'), paint.cyan('devstack run down')]
      lines.push(`  left:   ${what}: ${up} goes on with ${them}, ${down} removes ${them}`)
    }
  }
  return lines
}

/** The options that lead to the run's config, for commands to copy. */
function locating({ started }: RunView): string {
  const { config, cwd } = started?.located ?? {}
  return `${cwd === undefined ? '' : `-C ${quoteWord(cwd)} `}${config === undefined ? '' : `--config ${quoteWord(config)} `}`
}

/** Services whose containers a run made or found, when not all of the run's services got ready; a stack that is up is not left over. */
function containersLeft(view: RunView): string[] {
  const nodes = [...view.nodes.values()]
  const services = nodes.filter(({ step }) => step?.service && step.partOf !== undefined)
  if (services.every(({ state }) => state.is === 'ready' || state.is === 'reused')) return []
  const made = nodes.filter(
    ({ step, state }) => step?.effect === 'create' && !step.service && (state.is === 'done' || state.is === 'reused'),
  )
  const rows = new Set(made.map(({ step }) => step?.partOf))
  return services.map(({ step }) => step!.partOf!).filter((row) => rows.has(row))
}

function path(nodes: readonly string[]): string {
  if (nodes.length <= 6) return nodes.join(' → ')
  return `${nodes.slice(0, 3).join(' → ')} → … → ${nodes.slice(-2).join(' → ')}`
}

/** Nodes that never ran because of one failed node, as one line: `3 cancelled because migrate failed: a, b, c`. */
export function describeCancelled(nodes: readonly string[], because: string | undefined, cause: string): string {
  const why = because === undefined ? oneLine(cause) : `because ${because} failed`
  return nodes.length === 1 ? `cancelled: ${nodes[0]}, ${why}` : `${nodes.length} cancelled, ${why}: ${names(nodes)}`
}
