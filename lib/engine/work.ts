/** What happens with one node once it may start: decision, tries, value, gates, cleanup. */
import { DevstackError } from '../errors.ts'
import { attempts, type Bounds, bounded, delayed } from './attempt.ts'
import { errorFact, type NodeEvent } from './events.ts'
import type { Graph, GraphNode } from './graph.ts'
import { type AnyContext, contextOf, type Host } from './host.ts'
import type { Outcome } from './scheduler.ts'
import type { Json } from './schema.ts'
import { type Gate, milliseconds } from './task.ts'

/** How a node ended, and the event that tells it. */
export interface End {
  readonly outcome: Outcome
  readonly event: Extract<
    NodeEvent,
    { type: 'node-done' | 'node-ready' | 'node-reused' | 'node-skipped' | 'node-failed' | 'node-cancelled' }
  >
  /** What flows on, after a success. */
  readonly value?: unknown
  readonly error?: DevstackError
}

export interface WorkOptions {
  readonly graph: Graph
  readonly runId: string
  /** Of the nodes that have succeeded; read only. */
  readonly values: ReadonlyMap<string, unknown>
  readonly graceMs: number
  /** Aborts when running tasks are to stop. */
  readonly working: AbortSignal
  /** Aborts when what merely waits is to stop: no later than `working`. */
  readonly waiting: AbortSignal
  /** Gives the slot of a node back that from now on only waits. */
  readonly yieldSlot: (node: string) => void
}

export class Work {
  readonly #host: Host
  readonly #options: WorkOptions

  constructor(host: Host, options: WorkOptions) {
    this.#host = host
    this.#options = options
  }

  /** Does what the host decides. Rejects only where deciding fails. */
  async perform(node: GraphNode, begun: number): Promise<End> {
    const context = this.#context(node, this.#signalOf(node))
    const verdict = await this.#host.decide(node, context)
    const { cause } = verdict
    if (verdict.decision === 'skip') return { outcome: 'succeeded', event: { type: 'node-skipped', cause } }
    if (verdict.decision === 'reuse') {
      const { value } = verdict
      return { outcome: 'succeeded', value, event: { type: 'node-reused', value: (value ?? null) as Json, cause } }
    }
    let end: End
    try {
      const value = await this.#value(node, context)
      const durationMs = this.#host.now() - begun
      await this.#host.commit(node, context, value, durationMs)
      end = done(node, value, durationMs, verdict.fingerprint)
    } catch (thrown) {
      end = this.failed(node, thrown, begun)
    }
    await this.#tidy(node, context, end.outcome)
    return end
  }

  /** The end of a node that threw: cancelled when it was told to stop, failed otherwise. */
  failed(node: GraphNode, thrown: unknown, begun: number): End {
    const { working, waiting } = this.#options
    const told = working.aborted || (waiting.aborted && isAbort(thrown))
    const deaf = thrown instanceof DevstackError && thrown.code === 'TASK_DID_NOT_STOP'
    if (told && !deaf) {
      const { message } = (working.reason ?? waiting.reason) as DevstackError
      return { outcome: 'cancelled', event: { type: 'node-cancelled', cause: message } }
    }
    const error = this.#host.failure(node, thrown)
    const durationMs = this.#host.now() - begun
    return { outcome: 'failed', error, event: { type: 'node-failed', error: errorFact(error), durationMs } }
  }

  /** What the node's work returns, once its gates hold on it. */
  async #value(node: GraphNode, context: AnyContext): Promise<unknown> {
    const returned = await this.#tries(node, context)
    if (node.edge) return returned
    const value = await this.#host.value(node, returned)
    if (node.definition.gate) {
      this.#options.yieldSlot(node.id)
      await this.#hold(node, value, this.#options.waiting)
    }
    return value
  }

  /** The first try that succeeds. */
  #tries(node: GraphNode, context: AnyContext): unknown {
    const { retry, timeout } = node.definition
    const bounds = {
      what: `Task "${node.id}"`,
      signal: context.signal,
      limitMs: timeout === undefined ? undefined : milliseconds(timeout),
      ...this.#patience,
    }
    const once = (attempt: number): unknown =>
      bounded(bounds, (signal) =>
        this.#once(node, attempt === 1 && signal === context.signal ? context : this.#context(node, signal, attempt)),
      )
    if (retry === undefined) return once(1)
    const tidied = async (attempt: number): Promise<unknown> => {
      try {
        return await once(attempt)
      } catch (thrown) {
        await this.#host.release(node, context, 'failed')
        throw thrown
      }
    }
    return attempts(retry, context.signal, tidied, (attempt, delayMs, thrown) => {
      const error = errorFact(this.#host.failure(node, thrown))
      this.#host.emitNode(node.id, { type: 'node-retry', attempt, delayMs, error })
    })
  }

  /** The work of an edge is to wait for its gates. */
  #once(node: GraphNode, context: AnyContext): unknown {
    if (node.edge) return this.#hold(node, context.needs['value'], context.signal)
    this.#host.emitNode(node.id, { type: 'node-started', attempt: context.attempt })
    return node.definition.run?.(context)
  }

  /** Waits until every gate of the node holds on the value; gives the value. */
  async #hold(node: GraphNode, value: unknown, signal: AbortSignal): Promise<unknown> {
    const host = this.#host
    for (const gate of [node.definition.gate ?? []].flat() as readonly Gate<unknown>[]) {
      const { description } = gate
      const begun = host.now()
      host.emitNode(node.id, { type: 'gate-waiting', gate: description })
      const context = Object.assign(this.#context(node, signal), {
        node: node.id,
        blocked: blockedBy(this.#options.graph, node.id),
        answer: (answer: string, holds?: true) =>
          host.emitNode(node.id, { type: 'gate-answer', gate: description, answer, ...(holds && { holds }) }),
      })
      const bounds = { what: `Gate "${description}" of "${node.id}"`, signal, limitMs: undefined, ...this.#patience }
      const held = await bounded(bounds, () => gate.hold(value, context))
      const waitedMs = host.now() - begun
      host.emitNode(node.id, { type: 'gate-held', gate: description, waitedMs, asked: held?.asked ?? 1 })
    }
    return value
  }

  /** Ends what the node left running, then its cleanup; failures of it are told and change nothing. */
  async #tidy(node: GraphNode, context: AnyContext, outcome: Outcome): Promise<void> {
    await this.#host.release(node, context, outcome)
    const { cleanup, timeout } = node.definition
    if (!cleanup) return
    const what = `The cleanup of task "${node.id}"`
    const { working, graceMs } = this.#options
    // a signal of its own: after a cancellation the task's has aborted, and cleaning up has only begun
    const late = delayed(working, graceMs, tooLate(what, graceMs))
    const limitMs = timeout === undefined ? undefined : milliseconds(timeout)
    const bounds = { what, signal: late.signal, limitMs, graceMs: 1000, onStall: this.#host.onStall }
    let ended: Outcome = 'failed'
    try {
      await bounded(bounds, (signal) => cleanup(this.#context(node, signal)))
      ended = 'succeeded'
    } catch (thrown) {
      const error = this.#host.failure(node, late.signal.aborted ? late.signal.reason : thrown)
      this.#host.emitNode(node.id, { type: 'cleanup-failed', error: errorFact(error) })
    }
    late.end()
    await this.#host.release(node, context, ended)
  }

  get #patience(): Pick<Bounds, 'graceMs' | 'onStall'> {
    return { graceMs: this.#options.graceMs, onStall: this.#host.onStall }
  }

  #signalOf(node: GraphNode): AbortSignal {
    return node.edge ? this.#options.waiting : this.#options.working
  }

  #context(node: GraphNode, signal: AbortSignal, attempt = 1): AnyContext {
    const { runId, values } = this.#options
    return contextOf(node, this.#host, { runId, values, signal, attempt })
  }
}

function tooLate(what: string, ms: number): DevstackError {
  return new DevstackError({
    kind: 'timeout',
    code: 'TIMEOUT',
    message: `${what} took longer than the ${ms} ms that a task has to end in after a cancellation.`,
    hint: 'The delays of `cancel` in the config add up to them.',
    exitCode: 1,
  })
}

function done(node: GraphNode, value: unknown, durationMs: number, fingerprint: string | undefined): End {
  // an edge passes on what its task has told already
  const fact = { value: node.edge ? null : ((value ?? null) as Json), durationMs }
  return {
    outcome: 'succeeded',
    value,
    event: node.definition.service
      ? { type: 'node-ready', ...fact }
      : { type: 'node-done', ...fact, ...(fingerprint === undefined ? {} : { fingerprint }) },
  }
}

/** Everything that can not start before the node, nearest first; at most 20. */
function blockedBy(graph: Graph, node: string): readonly string[] {
  const blocked = new Set(graph.dependents.get(node))
  for (const id of blocked) {
    for (const dependent of graph.dependents.get(id)!) if (blocked.size < 20) blocked.add(dependent)
  }
  return [...blocked].slice(0, 20)
}

function isAbort(thrown: unknown): boolean {
  return (
    (thrown instanceof DevstackError && thrown.kind === 'cancelled') ||
    (thrown instanceof Error && thrown.name === 'AbortError')
  )
}
