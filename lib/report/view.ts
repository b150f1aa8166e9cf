/**
 * What a run looks like right now, folded from its events: the one model behind the tree, the summary, the step
 * summary and the reports. Pure: no clock, no stream; every time comes from an event.
 */
import type { ErrorFact, Hold, RunEvent, Step } from '../engine/events.ts'
import { createLineBuffer, type LineBuffer } from './output.ts'
import { follow, type Pace } from './progress.ts'
import { visibleText } from './width.ts'

export type NodeState =
  | { readonly is: 'waiting'; readonly hold?: Hold }
  | { readonly is: 'running'; readonly attempt: number }
  | { readonly is: 'retrying'; readonly attempt: number; readonly error: ErrorFact }
  | { readonly is: 'undoing' }
  | { readonly is: 'ready' | 'done' | 'undone'; readonly durationMs: number }
  | { readonly is: 'reused' | 'skipped'; readonly cause: string }
  | { readonly is: 'failed'; readonly durationMs: number; readonly error: ErrorFact }
  | { readonly is: 'cancelled'; readonly cause: string; readonly because?: string }

const tailLength = 20
// most nodes never print, wait at a gate or fail, so what they have none of is shared
const nothing: readonly never[] = []
const none: ReadonlyMap<never, never> = new Map<never, never>()

function without(gates: NodeView['gates'], gate: string): NodeView['gates'] {
  return new Map([...gates].filter(([name]) => name !== gate))
}

export interface NodeView {
  readonly id: string
  readonly step: Step | undefined
  state: NodeState
  startedAt: number | undefined
  endedAt: number | undefined
  /** Name and holder while another holds a lock it wants. */
  lock: { readonly name: string; readonly holder: string } | undefined
  /** Gates not yet held, with their last answer. */
  gates: ReadonlyMap<string, string>
  progress: Pace | undefined
  /** Its last line of output, also an unfinished one. */
  lastLine: string
  /** The lines that the latest event completed. */
  printed: readonly string[]
  buffers: ReadonlyMap<string, LineBuffer>
  /** The last lines it printed, at most 20. */
  tail: readonly string[]
  attempts: number
  /** Errors of cleanup and undo. */
  aftermath: readonly ErrorFact[]
}

export interface RunView {
  runId: string
  started: Extract<RunEvent, { type: 'run-started' }> | undefined
  finished: Extract<RunEvent, { type: 'run-finished' }> | undefined
  startedAt: number
  /** How many nodes are at work, which takes a slot: those that wait at a gate are not. */
  working: number
  /** In the order of the plan, then of appearance. */
  readonly nodes: Map<string, NodeView>
  readonly notes: { readonly level: 'info' | 'warning'; readonly text: string }[]
}

export function createView(): RunView {
  return { runId: '', started: undefined, finished: undefined, startedAt: 0, working: 0, nodes: new Map(), notes: [] }
}

/** Whether nothing more happens to a node in this state, but for undo. */
export function isFinal(state: NodeState): boolean {
  return state.is !== 'waiting' && state.is !== 'running' && state.is !== 'retrying' && state.is !== 'undoing'
}

/** Takes one event into the view; gives the node it is about. */
export function apply(view: RunView, event: RunEvent): NodeView | undefined {
  if (event.node === undefined) {
    applyRun(view, event)
    return undefined
  }
  const node = view.nodes.get(event.node) ?? addNode(view, event.node)
  const before = isWorking(node)
  node.printed = nothing
  applyNode(node, event)
  view.working += Number(isWorking(node)) - Number(before)
  return node
}

function isWorking({ state, gates }: NodeView): boolean {
  return (state.is === 'running' || state.is === 'retrying') && gates.size === 0
}

function applyNode(node: NodeView, event: Extract<RunEvent, { node: string }>): void {
  switch (event.type) {
    case 'node-waiting':
      node.state = { is: 'waiting', hold: event.hold }
      break
    case 'node-started':
      node.state = { is: 'running', attempt: event.attempt }
      node.attempts = event.attempt
      node.startedAt ??= event.at
      node.lock = undefined
      break
    case 'node-output':
      takeOutput(node, event.stream, event.text)
      break
    case 'node-progress':
      node.progress = follow(node.progress, event.progress, event.at)
      break
    case 'node-retry':
      flushOutput(node)
      node.state = { is: 'retrying', attempt: event.attempt, error: event.error }
      node.gates = none
      break
    case 'gate-waiting':
      node.gates = new Map([...node.gates, [event.gate, node.gates.get(event.gate) ?? '']])
      break
    case 'gate-answer':
      // the gate that answered last is the one to show, so it goes to the end
      node.gates = new Map([...without(node.gates, event.gate), [event.gate, event.answer]])
      break
    case 'gate-held':
      node.gates = without(node.gates, event.gate)
      break
    case 'lock-waiting':
      node.lock = { name: event.lock, holder: event.holder }
      break
    case 'node-ready':
    case 'node-done':
      end(node, event.at, { is: event.type === 'node-ready' ? 'ready' : 'done', durationMs: event.durationMs })
      break
    case 'node-reused':
    case 'node-skipped':
      end(node, event.at, { is: event.type === 'node-reused' ? 'reused' : 'skipped', cause: event.cause })
      break
    case 'node-failed':
      end(node, event.at, { is: 'failed', durationMs: event.durationMs, error: event.error })
      break
    case 'node-cancelled':
      end(node, event.at, { is: 'cancelled', cause: event.cause, because: event.because })
      break
    case 'cleanup-failed':
    case 'undo-failed':
      node.aftermath = [...node.aftermath, event.error]
      if (event.type === 'undo-failed') end(node, event.at, { is: 'failed', durationMs: 0, error: event.error })
      break
    case 'undo-started':
      node.state = { is: 'undoing' }
      node.startedAt = event.at
      break
    case 'node-undone':
      end(node, event.at, { is: 'undone', durationMs: event.durationMs })
      break
    default:
      exhausted(event)
  }
}

function applyRun(view: RunView, event: Extract<RunEvent, { node?: undefined }>): void {
  switch (event.type) {
    case 'run-started':
      view.runId = event.runId
      view.started = event
      view.startedAt = event.at
      for (const step of event.steps) addNode(view, step.node, step)
      break
    case 'note':
      view.notes.push({ level: event.level, text: event.text })
      break
    case 'run-finished':
      view.runId ||= event.runId
      view.finished = event
      break
    default:
      exhausted(event)
  }
}

/** Fails to compile where a kind of event is forgotten; does nothing with an event of a newer version. */
export function exhausted(_event: never): void {}

function addNode(view: RunView, id: string, step?: Step): NodeView {
  const node: NodeView = {
    id,
    step,
    state: { is: 'waiting' },
    startedAt: undefined,
    endedAt: undefined,
    lock: undefined,
    gates: none,
    progress: undefined,
    lastLine: '',
    printed: nothing,
    buffers: none,
    tail: nothing,
    attempts: 0,
    aftermath: nothing,
  }
  view.nodes.set(id, node)
  return node
}

function end(node: NodeView, at: number, state: NodeState): void {
  flushOutput(node)
  node.state = state
  node.endedAt = at
  node.gates = none
  node.lock = undefined
}

function takeOutput(node: NodeView, stream: string, text: string): void {
  let buffer = node.buffers.get(stream)
  if (!buffer) {
    buffer = createLineBuffer()
    node.buffers = new Map([...node.buffers, [stream, buffer]])
  }
  keepLines(node, buffer.push(text))
  const open = buffer.open()
  if (open.trim() !== '') node.lastLine = open
}

/** Ends unfinished lines. */
function flushOutput(node: NodeView): void {
  for (const buffer of node.buffers.values()) keepLines(node, buffer.end())
  node.buffers = none
}

function keepLines(node: NodeView, lines: readonly string[]): void {
  if (lines.length === 0) return
  node.printed = node.printed.length === 0 ? lines : [...node.printed, ...lines]
  const told = lines.slice(-tailLength).filter((line) => line.trim() !== '')
  if (told.length === 0) return
  node.lastLine = told.at(-1)!
  node.tail = [...node.tail, ...told].slice(-tailLength)
}

/** Milliseconds a node worked, if it did. */
export function durationOf(node: NodeView): number | undefined {
  return 'durationMs' in node.state ? node.state.durationMs : undefined
}

/** What a node that is not at work waits for: `waits for etcd1, etcd2`; nothing where it waits for nothing known. */
export function describeWait(node: NodeView): string {
  const gate = [...node.gates].at(-1)
  if (gate) return `waits for ${gate[0]}${gate[1] ? `: ${gate[1]}` : ''}`
  if (node.lock) return `waits for lock ${node.lock.name}, held by ${node.lock.holder}`
  return node.state.is === 'waiting' && node.state.hold ? describeHold(node.state.hold) : ''
}

export function describeHold(hold: Hold): string {
  switch (hold.for) {
    case 'needs':
      return `waits for ${names(hold.nodes)}`
    case 'lock':
      return `waits for lock ${hold.lock}${hold.holders.length ? `, held by ${names(hold.holders)}` : ''}`
    case 'slot':
      return 'waits for a free slot'
  }
}

/** Up to `limit` names, then how many more. */
export function names(all: readonly string[], limit = 4): string {
  if (all.length <= limit) return all.join(', ')
  return `${all.slice(0, limit).join(', ')} and ${all.length - limit} more`
}

/** The first line of a text, without control characters. */
export function firstLine(text: string): string {
  return visibleText(text).split('\n')[0] ?? ''
}
