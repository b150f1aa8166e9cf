/** JUnit XML, as CI systems read it: one suite a namespace, one case a task. */
import { formatPlace } from '../errors.ts'
import { formatAutopsy } from './autopsy.ts'
import { writeReport } from './file.ts'
import type { Sink } from './reporter.ts'
import { apply, createView, durationOf, type NodeView, type RunView } from './view.ts'
import { visibleText } from './width.ts'
import { escapeAttribute, escapeXml } from './xml.ts'

/** Writes the report to `file` on `close()`. */
export function createJunitReporter(options: { readonly file: string }): Sink {
  const view = createView()
  return {
    report: (event) => void apply(view, event),
    close: () => writeReport(options.file, formatJunit(view), 'The JUnit report'),
  }
}

/** The whole XML document. Cancelled and skipped tasks are `skipped`; a task that never ended is an `error`. */
export function formatJunit(view: RunView): string {
  const suites = new Map<string, NodeView[]>()
  for (const node of view.nodes.values()) {
    const colon = node.id.lastIndexOf(':')
    const suite = colon > 0 ? node.id.slice(0, colon) : 'devstack'
    const nodes = suites.get(suite)
    if (nodes) nodes.push(node)
    else suites.set(suite, [node])
  }
  const total = (view.finished?.durationMs ?? 0) / 1000
  const name = view.started?.targets.map((target) => target.task).join(' ') || 'devstack'
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="${escapeAttribute(name)}" ${counts([...view.nodes.values()])} time="${total.toFixed(3)}">`,
  ]
  for (const [suite, nodes] of suites) {
    const time = nodes.reduce((sum, node) => sum + (durationOf(node) ?? 0), 0) / 1000
    const stamp = new Date(view.startedAt).toISOString().slice(0, 19)
    lines.push(
      `  <testsuite name="${escapeAttribute(suite)}" ${counts(nodes)} time="${time.toFixed(3)}" timestamp="${stamp}">`,
    )
    for (const node of nodes) lines.push(...testCase(node, suite))
    lines.push('  </testsuite>')
  }
  lines.push('</testsuites>', '')
  return lines.join('\n')
}

function counts(nodes: readonly NodeView[]): string {
  const number = (...states: string[]) => nodes.filter((node) => states.includes(node.state.is)).length
  const errors = number('waiting', 'running', 'retrying', 'undoing')
  return `tests="${nodes.length}" failures="${number('failed')}" errors="${errors}" skipped="${number('skipped', 'cancelled')}"`
}

function testCase(node: NodeView, suite: string): string[] {
  const time = ((durationOf(node) ?? 0) / 1000).toFixed(3)
  const open = `    <testcase name="${escapeAttribute(node.id)}" classname="${escapeAttribute(suite)}" time="${time}"`
  const inner: string[] = []
  const { state } = node
  switch (state.is) {
    case 'failed': {
      const { error } = state
      const text = [
        visibleText(error.message),
        ...(error.place ? [`at ${formatPlace(error.place)}`] : []),
        ...(error.details ?? []).map(visibleText),
        ...(error.autopsy ? formatAutopsy(error.autopsy) : []),
        ...(error.hint ? [visibleText(error.hint)] : []),
      ].join('\n')
      inner.push(
        `      <failure message="${escapeAttribute(visibleText(error.message))}" type="${escapeAttribute(error.code)}">${escapeXml(text)}</failure>`,
      )
      break
    }
    case 'skipped':
    case 'cancelled':
      inner.push(`      <skipped message="${escapeAttribute(state.cause)}"/>`)
      break
    case 'waiting':
    case 'running':
    case 'retrying':
    case 'undoing':
      inner.push('      <error message="The run ended before this task did." type="UNFINISHED"/>')
      break
    case 'ready':
    case 'done':
    case 'undone':
    case 'reused':
      break
  }
  if (node.tail.length > 0) inner.push(`      <system-out>${escapeXml(node.tail.join('\n'))}</system-out>`)
  return inner.length === 0 ? [`${open}/>`] : [`${open}>`, ...inner, '    </testcase>']
}
