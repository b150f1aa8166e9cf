/** A run as Markdown for a step summary: the graph, the durations, the failures. */
import { count, formatDuration } from './format.ts'
import { formatGraph } from './graph.ts'
import { durationOf, firstLine, type NodeView, type RunView } from './view.ts'

/** GitHub shows at most 1 MiB a step and draws Mermaid graphs of moderate size alone. */
const drawnNodes = 60
const listedNodes = 500

const signs: Readonly<Record<string, string>> = {
  failed: '❌',
  cancelled: '🚫',
  done: '✅',
  ready: '✅',
  undone: '↩️',
  reused: '♻️',
  skipped: '⏭️',
}

export function formatMarkdown(view: RunView): string {
  const { started, finished } = view
  const steps = started?.steps ?? []
  const targets = started?.targets.map((target) => target.task).join(' ') ?? ''
  const state = finished?.state ?? 'unfinished'
  const total = finished ? ` in ${formatDuration(finished.durationMs)}` : ''
  const lines = [`### devstack ${code(targets)}: ${state}${total}`, '']
  if (finished && finished.criticalPath.length > 1)
    lines.push(
      `Critical path ${formatDuration(finished.criticalMs)}: ${finished.criticalPath.map(code).join(' → ')}`,
      '',
    )
  const nodes = [...view.nodes.values()]
  if (steps.length > 1 && steps.length <= drawnNodes) {
    lines.push('```mermaid', formatGraph(steps, 'mermaid', { states: stateNames(nodes) }), '```', '')
  }
  lines.push('| | task | state | time |', '|---|---|---|---:|')
  const sorted = nodes.toSorted((a, b) => order(a) - order(b) || (durationOf(b) ?? 0) - (durationOf(a) ?? 0))
  for (const node of sorted.slice(0, listedNodes)) lines.push(row(node))
  if (nodes.length > listedNodes) lines.push('', `and ${count(nodes.length - listedNodes, 'more task')}`)
  for (const node of sorted) {
    if (node.state.is !== 'failed') continue
    const { error } = node.state
    lines.push(
      '',
      `#### ${code(node.id)}`,
      '',
      fence([error.message, ...(error.hint ? [`→ ${error.hint}`] : []), ...node.tail]),
    )
  }
  return lines.join('\n')
}

function row(node: NodeView): string {
  const { state } = node
  const cause = state.is === 'failed' ? firstLine(state.error.message) : 'cause' in state ? state.cause : ''
  const time = durationOf(node)
  const text = cause ? `${state.is}: ${escapeMarkdown(cause)}` : state.is
  return `| ${signs[state.is] ?? ''} | ${code(node.id)} | ${text} | ${time === undefined ? '' : formatDuration(time)} |`
}

function order(node: NodeView): number {
  return node.state.is === 'failed' ? 0 : node.state.is === 'cancelled' ? 2 : 1
}

function stateNames(nodes: readonly NodeView[]): ReadonlyMap<string, string> {
  return new Map(nodes.map((node) => [node.id, node.state.is]))
}

/** Text in a table cell or paragraph that can not become markup. */
export function escapeMarkdown(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replace(/[\\`*_{}[\]|#~@!]/g, '\\$&')
}

/** Inline code, also of a text with backticks or pipes (a pipe would end the table cell). */
function code(text: string): string {
  const flat = text.replace(/\s+/g, ' ').trim() || ' '
  const longest = Math.max(0, ...(flat.match(/`+/g) ?? []).map((run) => run.length))
  const ticks = '`'.repeat(longest + 1)
  const space = flat.startsWith('`') || flat.endsWith('`') ? ' ' : ''
  return `${ticks}${space}${flat.replaceAll('|', '\\|')}${space}${ticks}`
}

function fence(lines: readonly string[]): string {
  const text = lines.join('\n')
  const longest = Math.max(2, ...(text.match(/`+/g) ?? []).map((run) => run.length))
  const ticks = '`'.repeat(longest + 1)
  return `${ticks}text\n${text}\n${ticks}`
}
