/**
 * The only asynchronous loop: starts what the scheduler offers, and turns every end into an event. What a run touches
 * (processes, files, locks, the clock, the container engine) comes in through `Host`.
 */
import { DevstackError } from '../errors.ts'
import type { Summary } from './events.ts'
import type { Graph, GraphNode } from './graph.ts'
import type { Host } from './host.ts'
import { type Cancelled, type FailureMode, type Schedulable, Scheduler } from './scheduler.ts'
import { sizedLocks } from './task.ts'
import { type End, Work } from './work.ts'

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
  /** Milliseconds of every node that ran to success or failure. */
  readonly durations: ReadonlyMap<string, number>
  /** The first failure. */
  readonly error?: DevstackError
  readonly summary: Summary
}

/** Runs the graph to its end. Never rejects for what a task does; a rejection is a bug or a broken host. */
export function run(graph: Graph, options: RunOptions, host: Host): Promise<RunResult> {
  return new Runner(graph, options, host).run()
}

class Runner {
  readonly #graph: Graph
  readonly #options: RunOptions
  readonly #host: Host
  readonly #scheduler: Scheduler
  readonly #work: Work
  readonly #values = new Map<string, unknown>()
  readonly #completed: string[] = []
  readonly #durations = new Map<string, number>()
  readonly #counts = { done: 0, reused: 0, skipped: 0, failed: 0, cancelled: 0 }
  readonly #working = new AbortController()
  /** Aborts what merely waits (gates, locks), also when running tasks may finish. */
  readonly #waiting = new AbortController()
  readonly #finished = Promise.withResolvers<void>()
  #error: DevstackError | undefined

  constructor(graph: Graph, options: RunOptions, host: Host) {
    this.#graph = graph
    this.#options = options
    this.#host = host
    this.#scheduler = new Scheduler(schedulables(graph, host), options)
    this.#work = new Work(host, {
      graph,
      runId: options.runId,
      values: this.#values,
      graceMs: options.graceMs ?? 15_000,
      working: this.#working.signal,
      waiting: this.#waiting.signal,
      yieldSlot: (id) => {
        this.#scheduler.releaseSlot(id)
        this.#advance()
      },
    })
  }

  async run(): Promise<RunResult> {
    const { signal } = this.#options
    const onAbort = (): void => this.#cancel()
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    this.#advance()
    await this.#finished.promise
    signal.removeEventListener('abort', onAbort)
    return {
      state: signal.aborted ? 'cancelled' : this.#error ? 'failed' : 'succeeded',
      values: this.#values,
      completed: this.#completed,
      durations: this.#durations,
      ...(this.#error ? { error: this.#error } : {}),
      summary: this.#counts,
    }
  }

  #cancel(): void {
    this.#tell(this.#scheduler.stop('the run was cancelled'))
    this.#working.abort(stopped('the run was cancelled'))
    this.#waiting.abort(stopped('the run was cancelled'))
    this.#advance()
  }

  #advance(): void {
    for (const id of this.#scheduler.ready()) {
      this.#drive(this.#graph.nodes.get(id)!).catch(this.#finished.reject)
    }
    for (const { node, hold } of this.#scheduler.takeParked()) this.#host.emitNode(node, { type: 'node-waiting', hold })
    if (this.#scheduler.finished) this.#finished.resolve()
  }

  /** From the moment its needs are done to the node's end. */
  async #drive(node: GraphNode): Promise<void> {
    const begun = this.#host.now()
    let release: (() => Promise<void>) | undefined
    let end: End
    try {
      if (node.definition.locks?.length) release = await this.#host.lock?.(node, this.#waiting.signal)
      end = await this.#work.perform(node, begun)
    } catch (thrown) {
      end = this.#work.failed(node, thrown, begun)
    }
    // another run may have the lock once this end is recorded
    this.#record(node, end)
    if (release) await release()
    this.#advance()
  }

  #record(node: GraphNode, { event, outcome, value, error }: End): void {
    if (outcome === 'succeeded') this.#values.set(node.id, value)
    if ('durationMs' in event) this.#durations.set(node.id, event.durationMs)
    if (event.type === 'node-done' || event.type === 'node-ready') {
      this.#counts.done += 1
      this.#completed.push(node.id)
    } else if (event.type === 'node-reused') this.#counts.reused += 1
    else if (event.type === 'node-skipped') this.#counts.skipped += 1
    else if (event.type === 'node-failed') this.#counts.failed += 1
    else this.#counts.cancelled += 1
    this.#error ??= error
    this.#host.emitNode(node.id, event)
    this.#tell(this.#scheduler.settled(node.id, outcome))
    if (outcome !== 'failed' || !this.#scheduler.stopped) return
    const reason = stopped(`stopped because "${node.id}" failed`)
    this.#waiting.abort(reason)
    if (this.#options.mode === 'kill') this.#working.abort(reason)
  }

  #tell(cancelled: readonly Cancelled[]): void {
    for (const { node, ...why } of cancelled) {
      this.#counts.cancelled += 1
      this.#host.emitNode(node, { type: 'node-cancelled', ...why })
    }
  }
}

/** The nodes as the scheduler knows them; one without a measured duration counts like the median of those that have one. */
function schedulables(graph: Graph, host: Host): readonly Schedulable[] {
  const nodes = graph.order.map((id) => graph.nodes.get(id)!)
  const costs = nodes.map((node) => host.cost?.(node))
  const known = costs.filter((cost) => cost !== undefined).sort((a, b) => a - b)
  const typical = known[known.length >> 1] ?? 1
  return nodes.map(({ id, needs, definition, edge }, index) => ({
    id,
    needs,
    weight: definition.weight ?? 1,
    locks: definition.locks ? sizedLocks(definition.locks) : [],
    cost: edge ? 0 : (costs[index] ?? typical),
  }))
}

function stopped(message: string): DevstackError {
  return new DevstackError({ kind: 'cancelled', code: 'CANCELLED', message })
}
