/** What a run touches: turns the engine's `Host` into processes, locks, files and events. */
import type { Ambient } from '../context.ts'
import type { NodeEvent, RunEvent, RunOnlyEvent } from '../engine/events.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { AnyContext, Host, Verdict } from '../engine/host.ts'
import type { RedactingStream } from '../report/redact.ts'
import { failureOf, isProcessOutput } from './failure.ts'
import { Rows } from './rows.ts'
import type { Session } from './session.ts'
import { onStall, settling } from './stall.ts'
import { type Surroundings, taskContext } from './task-context.ts'
import { Tries } from './tries.ts'
import { validated } from './value.ts'

export interface HostOptions {
  readonly session: Session
  readonly runId: string
  readonly traceId: string
  readonly report: (event: RunEvent) => void
  /** Whether the work of a node is still in place. */
  readonly decide: (node: GraphNode, context: AnyContext & Ambient) => Verdict | Promise<Verdict>
  readonly commit: (
    node: GraphNode,
    context: AnyContext & Ambient,
    value: unknown,
    durationMs: number,
  ) => Promise<void> | undefined
  readonly lock?: Host['lock']
  readonly cost?: (node: GraphNode) => number | undefined
}

/** The engine's host, and the events that are of no node. */
export interface SessionHost extends Host {
  emit(event: RunOnlyEvent): void
}

/** A host that knows what its tasks have started. */
export interface ProcessHost extends SessionHost {
  /** Ends what nodes that have succeeded left running, but for the spared ones: for after a cancellation. */
  endLeft(spared: ReadonlySet<string>): Promise<void>
}

/** The host of one run. */
export function createHost(options: HostOptions): ProcessHost {
  const { session, runId } = options
  const stamp = (event: object): RunEvent =>
    session.redactor.redactEvent({ at: Date.now(), runId, ...event } as RunEvent)
  // a secret may be split across two chunks of output, so each stream holds back what may still become one
  const streams = new Map<string, RedactingStream>()
  const output = (node: string, stream: 'stdout' | 'stderr', text: string): void => {
    if (text !== '') options.report({ at: Date.now(), runId, node, type: 'node-output', stream, text })
  }
  const flushOutput = (node: string): void => {
    for (const stream of ['stdout', 'stderr'] as const) {
      const held = streams.get(`${stream} ${node}`)
      if (!held) continue
      streams.delete(`${stream} ${node}`)
      output(node, stream, held.end())
    }
  }
  const emitNode = (node: string, event: NodeEvent): void => {
    if (event.type === 'node-output' && event.stream !== 'log') {
      const key = `${event.stream} ${node}`
      let stream = streams.get(key)
      if (!stream) {
        stream = session.redactor.stream()
        streams.set(key, stream)
      }
      output(node, event.stream, stream.write(event.text))
      return
    }
    rows.take(node, event)
    if (streams.size > 0) flushOutput(node)
    options.report(stamp({ node, ...event }))
  }
  const tries = new Tries(session, runId)
  const rows = new Rows()
  const emit = (event: RunOnlyEvent): void => options.report(stamp(event))
  const around: Surroundings = { ...options, emit, emitNode, tries, rows }
  return {
    now: Date.now,
    emit,
    emitNode,
    context: (node, base) => {
      rows.name(node.id, node.definition.partOf)
      return taskContext(node, base, around)
    },
    onStall,
    decide: (node, context) => {
      const verdict = options.decide(node, context as AnyContext & Ambient)
      return verdict instanceof Promise ? settling(`The look at task "${node.id}"`, verdict) : verdict
    },
    commit: (node, context, value, durationMs) =>
      options.commit(node, context as AnyContext & Ambient, value, durationMs),
    endLeft: (spared) => tries.endLeft(spared),
    release: (node, _context, outcome) => tries.end(node.id, outcome === 'succeeded'),
    value: ({ id, definition }, returned) => {
      // a finished command is nothing
      const value = isProcessOutput(returned) ? undefined : returned
      return value === undefined && !definition.returns ? undefined : validated(id, definition.returns, value)
    },
    failure: (node, thrown) => failureOf(node, thrown, session.loaded),
    ...(options.lock ? { lock: options.lock } : {}),
    ...(options.cost ? { cost: options.cost } : {}),
  }
}
