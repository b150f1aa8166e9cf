/** The rows of the tree: one a node, or one for all the steps that are part of the same thing. Pure. */
import { progressBar } from './progress.ts'
import { describeHold, describeWait, isFinal, type NodeState, type NodeView, names, type RunView } from './view.ts'

export interface Row {
  readonly name: string
  readonly nodes: NodeView[]
}

export type RowState = 'waiting' | 'held' | 'running' | 'ready' | 'done' | 'reused' | 'skipped' | 'failed' | 'cancelled'

/** Rows in the order of the plan. */
export function createRows(view: RunView): Map<string, Row> {
  const rows = new Map<string, Row>()
  for (const node of view.nodes.values()) rowOf(rows, node)
  return rows
}

/** The row of a node, made where there is none yet. */
export function rowOf(rows: Map<string, Row>, node: NodeView): Row {
  const name = node.step?.partOf ?? node.id
  let row = rows.get(name)
  if (!row) {
    row = { name, nodes: [] }
    rows.set(name, row)
  }
  if (!row.nodes.includes(node)) row.nodes.push(node)
  return row
}

/**
 * The state of a row: failed as soon as a part failed, running while one works, held while it has begun and now only
 * waits, waiting while none has begun, else what its last part ended as.
 */
export function rowState(row: Row): RowState {
  let started = false
  let waiting = false
  let held = false
  let last: NodeState | undefined
  for (const node of row.nodes) {
    const { state } = node
    if (state.is === 'failed') return 'failed'
    if (!isFinal(state)) {
      if (state.is === 'waiting') {
        waiting = true
        if (node.lock || node.gates.size > 0) held = true
      } else if (node.gates.size > 0 || node.lock || state.is === 'retrying') held = true
      else started = true
    } else if (rank(state) >= rank(last)) last = state
  }
  if (started) return 'running'
  if (held) return 'held'
  // between two parts the row is under way, though this very moment nothing of it works
  if (waiting) return last && rank(last) >= rank({ is: 'done', durationMs: 0 }) ? 'held' : 'waiting'
  if (!last) return 'waiting'
  return last.is === 'undone' ? 'done' : (last.is as RowState)
}

/** Which final state speaks for a row of several parts: the one that says most. */
function rank(state: NodeState | undefined): number {
  if (!state) return -1
  return ['skipped', 'reused', 'done', 'undone', 'ready', 'cancelled', 'failed'].indexOf(state.is)
}

export function isEnded(row: Row): boolean {
  return row.nodes.every((node) => isFinal(node.state))
}

/**
 * Milliseconds that any part of it was at work until `now`, and when the first began; undefined where none did. Time in
 * which all its parts only waited for other rows does not count.
 */
export function rowTimes(row: Row, now: number): { readonly startedAt: number; readonly worked: number } | undefined {
  const spans = row.nodes
    .filter((node) => node.startedAt !== undefined)
    .map((node) => [node.startedAt!, node.endedAt ?? Math.max(now, node.startedAt!)] as const)
    .sort((a, b) => a[0] - b[0])
  if (spans.length === 0) return undefined
  let worked = 0
  let until = 0
  for (const [from, to] of spans) {
    worked += Math.max(0, to - Math.max(from, until))
    until = Math.max(until, to)
  }
  return { startedAt: spans[0]![0], worked }
}

/** What a row that is not over has to say: what it waits for, how far it is, or what it printed last. */
export function rowDetail(row: Row, view: RunView): string {
  const active =
    row.nodes.findLast((node) => node.state.is !== 'waiting' && !isFinal(node.state)) ??
    row.nodes.find((node) => !isFinal(node.state))
  if (!active) return ''
  // before anything of it began, which part waits is no news
  const part = rowState(row) === 'waiting' ? '' : partLabel(row, active)
  const text = nodeDetail(active, view, row)
  return part && text ? `${part}: ${text}` : part || text
}

function nodeDetail(node: NodeView, view: RunView, row: Row): string {
  if (node.gates.size > 0 || node.lock) return describeWait(node)
  const { state } = node
  if (state.is === 'waiting') {
    const { hold } = state
    if (hold && hold.for !== 'needs') return describeWait(node)
    // as long as nobody says what holds it, it is what it needs
    const open = waitedFor(hold?.nodes ?? node.step?.needs ?? [], view).filter((name) => name !== row.name)
    if (open.length > 0) return `waits for ${names(open)}`
    // no event tells of each node that finds no slot: there may be thousands
    return view.started && view.working >= view.started.concurrency ? describeHold({ for: 'slot' }) : ''
  }
  if (state.is === 'retrying') return `attempt ${state.attempt} failed: ${state.error.message.split('\n')[0]}`
  const attempt = state.is === 'running' && state.attempt > 1 ? `attempt ${state.attempt}` : ''
  return [attempt, node.progress ? progressBar(node.progress) : node.lastLine].filter(Boolean).join(', ')
}

function waitedFor(nodes: readonly string[], view: RunView): string[] {
  const open = new Set<string>()
  for (const id of nodes) {
    const node = view.nodes.get(id)
    if (!node || !isFinal(node.state)) open.add(node?.step?.partOf ?? id)
  }
  return [...open]
}

/** `create` for the node `etcd1:create` in the row `etcd1`; nothing where the node is the row. */
function partLabel(row: Row, node: NodeView): string {
  if (node.id === row.name) return ''
  return node.id.startsWith(row.name) ? node.id.slice(row.name.length).replace(/^[^\p{L}\p{N}]+/u, '') : node.id
}
