/**
 * The only asynchronous loop: starts what the scheduler offers, and turns every end into an event. What a run touches
 * (processes, files, locks, the clock, the container engine) comes in through `Host`.
 */
import { DevstackError, toDevstackError } from '../errors.ts'
import { attempts, deadline, stoppedWithin } from './attempt.ts'
import { criticalPath } from './critical-path.ts'
import { errorFact, type Summary } from './events.ts'
import type { Graph, GraphNode } from './graph.ts'
import type { AnyContext, Host, Verdict } from './host.ts'
import { paced } from './progress.ts'
import { type Cancelled, type FailureMode, type Outcome, Scheduler } from './scheduler.ts'
import { type Gate, type Json, milliseconds } from './task.ts'
import { undo } from './undo.ts'
import { validated } from './value.ts'

export interface RunOptions {
  readonly runId: string
  readonly concurrency: number
  readonly mode: FailureMode
  readonly signal: AbortSignal
  /** How long a task may take to end after it was cancelled; then the run goes on without it. Default 15 s. */
  readonly graceMs?: number
}

export interface RunResult {
  readonly state: 'succeeded' | 'failed' | 'cancelled'
  readonly values: ReadonlyMap<string, unknown>
  /** Nodes that ran to success in this run, in the order of their completion. */
  readonly completed: readonly string[]
  /** The first failure. */
  readonly error?: DevstackError
  readonly summary: Summary
  readonly durationMs: number
}

/** Runs the graph to its end. Never rejects for what a task does; a rejection is a bug or a broken host. */
export async function run(graph: Graph, options: RunOptions, host: Host): Promise<RunResult> {
  const started = host.now()
  const runner = new Runner(graph, options, host)
  const ended = await runner.run()
  if (ended.state === 'failed') await compensate(graph, ended, options, host)
  const durationMs = host.now() - started
  const { nodes, durationMs: criticalMs } = criticalPath(graph, runner.durations)
  const { state, summary } = ended
  host.emit({ type: 'run-finished', state, durationMs, summary, criticalPath: nodes, criticalMs })
  return { ...ended, durationMs }
}

type Ended = Omit<RunResult, 'durationMs'>

/** A failed run takes back by itself what asks for it (`undoOn: 'on-failure'`). */
async function compensate(graph: Graph, ended: Ended, options: RunOptions, host: Host): Promise<void> {
  const completed = ended.completed.filter((id) => graph.nodes.get(id)!.definition.undoOn === 'on-failure')
  if (completed.length > 0) await undo(graph, { ...options, completed, values: ended.values }, host)
}

class Runner {
  readonly #graph: Graph
  readonly #options: RunOptions
  readonly #host: Host
  readonly #scheduler: Scheduler
  readonly #values = new Map<string, unknown>()
  readonly #completed: string[] = []
  readonly durations = new Map<string, number>()
  readonly #abort = new AbortController()
  /** Aborts what merely waits (gates, locks), also when running tasks may finish. */
  readonly #abortWaiting = new AbortController()
  readonly #counts = { done: 0, reused: 0, skipped: 0, failed: 0, cancelled: 0 }
  #error: DevstackError | undefined
  #finish: () => void = () => {}

  constructor(graph: Graph, options: RunOptions, host: Host) {
    this.#graph = graph
    this.#options = options
    this.#host = host
    const nodes = graph.order.map((id) => graph.nodes.get(id)!)
    const costs = nodes.map((node) => host.cost?.(node))
    const known = costs.filter((cost) => cost !== undefined).sort((a, b) => a - b)
    // an unmeasured task counts like the median of the measured ones; with none measured, depth decides
    const typical = known[known.length >> 1] ?? 1
    this.#scheduler = new Scheduler(
      nodes.map((node, index) => ({
        id: node.id,
        needs: node.needs,
        weight: node.definition.weight ?? 1,
        locks: (node.definition.locks ?? []).map((lock: string | { name: string; size: number }) =>
          typeof lock === 'string' ? { name: lock, size: 1 } : lock,
        ),
        cost: node.edge ? 0 : (costs[index] ?? typical),
      })),
      options,
    )
  }

  async run(): Promise<Ended> {
    const { signal } = this.#options
    const onAbort = (): void => this.#cancel()
    await new Promise<void>((resolve) => {
      this.#finish = resolve
      if (signal.aborted) onAbort()
      else signal.addEventListener('abort', onAbort, { once: true })
      this.#advance()
    })
    signal.removeEventListener('abort', onAbort)
    return {
      state: signal.aborted ? 'cancelled' : this.#error ? 'failed' : 'succeeded',
      values: this.#values,
      completed: this.#completed,
      ...(this.#error ? { error: this.#error } : {}),
      summary: { ...this.#counts },
    }
  }

  #cancel(): void {
    this.#report(this.#scheduler.stop('the run was cancelled'))
    this.#abort.abort(cancelledError())
    this.#abortWaiting.abort(cancelledError())
    if (this.#scheduler.finished) this.#finish()
  }

  #advance(): void {
    for (const id of this.#scheduler.ready()) this.#start(this.#graph.nodes.get(id)!)
    for (const node of this.#scheduler.takeParked()) {
      const hold = this.#scheduler.hold(node)
      if (hold) this.#host.emitNode(node, { type: 'node-waiting', hold })
    }
    if (this.#scheduler.finished) this.#finish()
  }

  #start(node: GraphNode): void {
    const begun = this.#host.now()
    const work = node.edge ? this.#holdEdge(node) : this.#execute(node, begun)
    work.then(
      (outcome) => this.#settle(node, outcome),
      (thrown) => {
        this.#fail(node, toDevstackError(thrown), begun)
        this.#settle(node, 'failed')
      },
    )
  }

  #settle(node: GraphNode, outcome: Outcome): void {
    if (outcome === 'cancelled') this.#counts.cancelled += 1
    const cancelled = this.#scheduler.settled(node.id, outcome)
    this.#report(cancelled)
    if (outcome === 'failed' && this.#options.mode !== 'keep-going') {
      this.#abortWaiting.abort(cancelledError(node.id))
      if (this.#options.mode === 'kill') this.#abort.abort(cancelledError(node.id))
    }
    this.#advance()
  }

  #report(cancelled: readonly Cancelled[]): void {
    for (const { node, cause, because } of cancelled) {
      this.#counts.cancelled += 1
      this.#host.emitNode(node, { type: 'node-cancelled', cause, ...(because === undefined ? {} : { because }) })
    }
  }

  #fail(node: GraphNode, error: DevstackError, begun: number): void {
    this.#counts.failed += 1
    this.#error ??= error
    const durationMs = this.#host.now() - begun
    this.durations.set(node.id, durationMs)
    this.#host.emitNode(node.id, { type: 'node-failed', error: errorFact(error), durationMs })
  }

  /** From the moment its needs are done to the node's end. */
  async #execute(node: GraphNode, begun: number): Promise<Outcome> {
    const host = this.#host
    let release: (() => Promise<void>) | undefined
    try {
      if (host.lock && node.definition.locks?.length) release = await host.lock(node, this.#abortWaiting.signal)
      const context = this.#context(node, 1, this.#abort.signal)
      const decided = host.decide(node, context)
      const verdict = decided instanceof Promise ? await decided : decided
      if (verdict.decision === 'skip') {
        this.#counts.skipped += 1
        host.emitNode(node.id, { type: 'node-skipped', cause: verdict.cause })
        return 'succeeded'
      }
      if (verdict.decision === 'reuse') {
        this.#counts.reused += 1
        this.#values.set(node.id, verdict.value)
        host.emitNode(node.id, { type: 'node-reused', value: verdict.value as Json, cause: verdict.cause })
        return 'succeeded'
      }
      return await this.#work(node, context, verdict, begun)
    } catch (thrown) {
      return this.#ended(node, thrown, begun)
    } finally {
      if (release) await release()
    }
  }

  async #work(node: GraphNode, context: AnyContext, verdict: Verdict, begun: number): Promise<Outcome> {
    const host = this.#host
    const { definition } = node
    let outcome: Outcome = 'failed'
    try {
      let value: unknown
      if (definition.run) {
        const tried = this.#tries(node, context)
        const returned = isThenable(tried) ? await tried : tried
        value = host.value ? host.value(returned) : returned
      } else host.emitNode(node.id, { type: 'node-started', attempt: 1 })
      if (definition.returns || value !== undefined) value = await validated(node.id, definition.returns, value)
      this.#values.set(node.id, value)
      const gates: readonly Gate<unknown>[] =
        definition.gate === undefined ? [] : Array.isArray(definition.gate) ? definition.gate : [definition.gate]
      if (gates.length > 0) {
        this.#scheduler.releaseSlot(node.id)
        this.#advance()
        for (const gate of gates) await this.#holdGate(node, gate, value, this.#abortWaiting.signal, node.id)
      }
      const durationMs = host.now() - begun
      // what needs no waiting costs no turn of the loop: graphs have thousands of such nodes
      const committed = host.commit(node, context, value, durationMs)
      if (committed) await committed
      outcome = 'succeeded'
      this.durations.set(node.id, durationMs)
      const after = definition.cleanup ? this.#afterwards(node, context, outcome) : host.release(node, context, outcome)
      if (after) await after
      this.#completed.push(node.id)
      this.#counts.done += 1
      const fact = { value: (value ?? null) as Json, durationMs }
      if (definition.service) host.emitNode(node.id, { type: 'node-ready', ...fact })
      else {
        const { fingerprint } = verdict as { fingerprint?: string }
        host.emitNode(node.id, { type: 'node-done', ...fact, ...(fingerprint === undefined ? {} : { fingerprint }) })
      }
      const persisted = host.persist()
      if (persisted) {
        // its dependents wait for the disk, its slot need not
        this.#scheduler.releaseSlot(node.id)
        this.#advance()
        await persisted
      }
      return 'succeeded'
    } catch (thrown) {
      if (outcome === 'succeeded') throw thrown
      const ended = this.#ended(node, thrown, begun)
      await this.#afterwards(node, context, ended)
      await host.persist()
      return ended
    }
  }

  /** Ends what the task left running, then its cleanup; failures of it are told and change nothing. */
  async #afterwards(node: GraphNode, context: AnyContext, outcome: Outcome): Promise<void> {
    const host = this.#host
    const { cleanup } = node.definition
    const released = host.release(node, context, outcome)
    if (released) await released
    if (!cleanup) return
    try {
      // a signal of its own: after a cancellation the task's has aborted, and cleaning up has only begun
      const limit = this.#graceMs
      const message = `The cleanup of task "${node.id}" took longer than ${limit} ms.`
      await deadline(limit, never, message, (signal) =>
        stoppedWithin(Promise.resolve(cleanup(this.#context(node, 1, signal))), signal, this.#grace(node, 1000)),
      )
      await host.release(node, context, 'succeeded')
    } catch (thrown) {
      await host.release(node, context, 'failed')
      host.emitNode(node.id, { type: 'cleanup-failed', error: errorFact(host.failure(node, thrown)) })
    }
  }

  #ended(node: GraphNode, thrown: unknown, begun: number): Outcome {
    const stopped = this.#abort.signal.aborted || (this.#abortWaiting.signal.aborted && isAbort(thrown))
    const unstoppable = thrown instanceof DevstackError && thrown.code === 'TASK_DID_NOT_STOP'
    if (stopped && !unstoppable) {
      const cause = cancellationCause(this.#abort.signal.reason ?? this.#abortWaiting.signal.reason)
      this.#host.emitNode(node.id, { type: 'node-cancelled', cause })
      return 'cancelled'
    }
    this.#fail(node, this.#host.failure(node, thrown), begun)
    return 'failed'
  }

  #tries(node: GraphNode, context: AnyContext): unknown {
    const { definition } = node
    const once = (attempt: number): unknown => {
      this.#host.emitNode(node.id, { type: 'node-started', attempt })
      if (definition.timeout === undefined) {
        const own = attempt === 1 ? context : this.#context(node, attempt, this.#abort.signal)
        const result = definition.run!(own)
        // a task that answers at once needs no watching
        return isThenable(result) ? stoppedWithin(result, this.#abort.signal, this.#grace(node)) : result
      }
      const limit = milliseconds(definition.timeout)
      return deadline(
        limit,
        this.#abort.signal,
        `Task "${node.id}" took longer than its timeout of ${limit} ms.`,
        (signal) =>
          stoppedWithin(
            Promise.resolve(definition.run!(this.#context(node, attempt, signal))),
            signal,
            this.#grace(node),
          ),
      )
    }
    if (definition.retry === undefined) return once(1)
    const tidy = async (attempt: number): Promise<unknown> => {
      try {
        return await once(attempt)
      } catch (thrown) {
        await this.#host.release(node, context, 'failed')
        throw thrown
      }
    }
    return attempts(definition.retry, this.#abort.signal, tidy, (attempt, delayMs, thrown) => {
      const error = errorFact(this.#host.failure(node, thrown))
      this.#host.emitNode(node.id, { type: 'node-retry', attempt, delayMs, error })
    })
  }

  get #graceMs(): number {
    return this.#options.graceMs ?? 15_000
  }

  #grace(node: GraphNode, ms = this.#graceMs): { readonly ms: number; readonly error: () => DevstackError } {
    return {
      ms,
      error: () =>
        new DevstackError({
          kind: 'task',
          code: 'TASK_DID_NOT_STOP',
          message: `Task "${node.id}" did not end within ${ms} ms after it was cancelled; the run goes on without it.`,
          hint: 'Let its run function listen to `signal`.',
        }),
    }
  }

  async #holdEdge(node: GraphNode): Promise<Outcome> {
    const begun = this.#host.now()
    const edge = node.edge!
    const guarded = node.needs[0]!.node
    const value = this.#values.get(guarded)
    const signal = this.#abortWaiting.signal
    const holdAll = async (within: AbortSignal): Promise<void> => {
      for (const until of edge.until as readonly Gate<unknown>[]) {
        const gate = edge.within === undefined ? until : (until.bounded?.(edge.within) ?? until)
        await this.#holdGate(node, gate, value, within, guarded)
      }
    }
    const bounded = (): Promise<void> =>
      edge.within === undefined
        ? holdAll(signal)
        : // the gate's own deadline comes first, as it can tell more
          deadline(edge.within + 1000, signal, `"${node.id}" did not hold within ${edge.within} ms.`, holdAll)
    try {
      if (edge.retry) {
        await attempts(edge.retry, signal, bounded, (attempt, delayMs, thrown) => {
          this.#host.emitNode(node.id, {
            type: 'node-retry',
            attempt,
            delayMs,
            error: errorFact(toDevstackError(thrown)),
          })
        })
      } else await bounded()
    } catch (thrown) {
      return this.#ended(node, thrown, begun)
    }
    this.#values.set(node.id, value)
    this.#counts.done += 1
    this.durations.set(node.id, this.#host.now() - begun)
    this.#host.emitNode(node.id, { type: 'node-done', value: null, durationMs: this.#host.now() - begun })
    return 'succeeded'
  }

  async #holdGate(
    node: GraphNode,
    gate: Gate<unknown>,
    value: unknown,
    signal: AbortSignal,
    guarded: string,
  ): Promise<void> {
    const begun = this.#host.now()
    this.#host.emitNode(node.id, { type: 'gate-waiting', gate: gate.description })
    const gateContext = {
      signal,
      node: node.id,
      blocked: blockedBy(this.#graph, node.id, guarded),
      answer: (answer: string) => this.#host.emitNode(node.id, { type: 'gate-answer', gate: gate.description, answer }),
    }
    const context = Object.assign(this.#context(node, 1, signal), gateContext)
    const held = await gate.hold(value as never, context)
    const waitedMs = this.#host.now() - begun
    this.#host.emitNode(node.id, { type: 'gate-held', gate: gate.description, waitedMs, asked: held?.asked ?? 1 })
  }

  #context(node: GraphNode, attempt: number, signal: AbortSignal): AnyContext {
    const needs: Record<string, unknown> = Object.create(null)
    for (const need of node.needs) needs[need.key] = this.#values.get(need.node)
    const host = this.#host
    return host.context(node, {
      name: node.id,
      needs: needs as never,
      params: node.params,
      signal,
      cwd: '',
      attempt,
      runId: this.#options.runId,
      log: (text: string) => host.emitNode(node.id, { type: 'node-output', stream: 'log', text: `${text}\n` }),
      progress: paced(
        (progress) => host.emitNode(node.id, { type: 'node-progress', progress }),
        () => host.now(),
      ),
    })
  }
}

/** Of what nothing cancels. */
const never = new AbortController().signal

/** Everything that can not start before `node`, nearest first; at most 20. */
function blockedBy(graph: Graph, node: string, guarded: string): readonly string[] {
  const blocked = new Set<string>()
  const work = [...(graph.dependents.get(node) ?? [])]
  for (let at = 0; at < work.length && blocked.size < 20; at += 1) {
    const id = work[at]!
    if (id === guarded || blocked.has(id)) continue
    blocked.add(id)
    work.push(...(graph.dependents.get(id) ?? []))
  }
  return [...blocked]
}

function cancelledError(because?: string): DevstackError {
  return new DevstackError({
    kind: 'cancelled',
    code: 'CANCELLED',
    message: because === undefined ? 'the run was cancelled' : `stopped because "${because}" failed`,
  })
}

function cancellationCause(reason: unknown): string {
  return reason instanceof DevstackError ? reason.message : 'the run was cancelled'
}

function isAbort(thrown: unknown): boolean {
  return (
    (thrown instanceof DevstackError && thrown.kind === 'cancelled') ||
    (thrown instanceof Error && thrown.name === 'AbortError')
  )
}

function isThenable(value: unknown): value is Promise<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
}
