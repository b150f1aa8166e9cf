/**
 * The poll loop of a gate: asks at once, then every 50 ms, until the probe says healthy, the deadline passes, the run is
 * cancelled, or the container it asks can not become healthy any more.
 */
import { milliseconds } from '../engine/task.ts'
import { DevstackError, messageOf } from '../errors.ts'
import { Answers, formatWait, GateError, performAutopsy } from './autopsy.ts'
import type { Answer, ContainerGate, ContainerGateContext, GateOptions, Probe, ProbeContext } from './gate.ts'
import { type Doom, Lifeline } from './lifeline.ts'

/** A probe that can say what it asks, for autopsies. Every probe of this folder does. */
export type NamedProbe<V> = Probe<V> & { readonly question?: (value: V) => string }

/** Gives a probe the words for what it asks. */
export function named<V>(question: (value: V) => string, probe: Probe<V>): NamedProbe<V> {
  return Object.assign((...args: Parameters<Probe<V>>) => probe(...args), { question })
}

/** Node's timers take no more; a longer deadline is as good as this one. */
const longestTimer = 2 ** 31 - 1

/**
 * A gate on a value. Defaults: deadline 60 s, a question every 50 ms, one attempt at most 5 s; after 100 equal answers in
 * a row the pauses grow by 1.2 up to 1 s, and a new answer makes them short again.
 * `hold` rejects with a GateError (GATE_TIMEOUT with exit code 3, GATE_CONTAINER_EXITED, GATE_CRASH_LOOP, GATE_CONTAINER_GONE,
 * GATE_IMPOSSIBLE) that carries an autopsy, with RUNTIME_* when the engine is gone, or with CANCELLED.
 */
export function gate<V>(options: GateOptions<V>): ContainerGate<V> {
  const within = milliseconds(options.within ?? 60_000)
  milliseconds(options.every ?? 50)
  return {
    description: options.description,
    hold: (value, context) => new Wait(options, within, value, context).run(),
    bounded: (withinMs) => gate({ ...options, within: withinMs }),
    ask: (value, context) => askOnce(options, value, context),
  }
}

/** One attempt, bounded like each of a wait; a probe that throws has answered "unhealthy". */
async function askOnce<V>(options: GateOptions<V>, value: V, context: ProbeContext): Promise<Answer> {
  const timeout = options.attemptTimeout ?? 5000
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeout)])
  try {
    return await options.probe(value, { runtime: context.runtime, signal })
  } catch (thrown) {
    context.signal.throwIfAborted()
    return { healthy: false, detail: signal.aborted ? `no answer within ${timeout} ms` : messageOf(thrown) }
  }
}

type Ending = { readonly why: 'deadline' } | { readonly why: 'cancelled'; readonly reason: unknown } | Doom

class Wait<V> {
  readonly #options: GateOptions<V>
  readonly #within: number
  readonly #value: V
  readonly #context: ContainerGateContext
  readonly #answers = new Answers()
  readonly #started = performance.now()
  readonly #stop = new AbortController()
  #ending: Ending | undefined
  #unchanged = 0

  constructor(options: GateOptions<V>, within: number, value: V, context: ContainerGateContext) {
    this.#options = options
    this.#within = within
    this.#value = value
    this.#context = context
  }

  async run(): Promise<{ readonly asked: number }> {
    const { signal, runtime } = this.#context
    const cancelled = () => this.#end({ why: 'cancelled', reason: signal.reason })
    if (signal.aborted) cancelled()
    signal.addEventListener('abort', cancelled, { once: true })
    const timer = setTimeout(() => this.#end({ why: 'deadline' }), Math.min(this.#within, longestTimer))
    const lifeline = new Lifeline({
      runtime,
      containers: this.#containers(),
      doomed: (doom) => this.#end(doom),
      changed: () => {
        this.#unchanged = 0
      },
    })
    try {
      while (!this.#ending) {
        const answer = await this.#attempt()
        if (answer?.healthy) return { asked: this.#answers.asked }
        if (answer && !answer.healthy && answer.fatal) this.#end({ why: 'impossible', detail: answer.detail })
        if (this.#ending) break
        lifeline.check()
        await this.#pause()
      }
      throw await this.#failure(this.#ending as Ending, lifeline)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', cancelled)
      lifeline.close()
      this.#stop.abort()
    }
  }

  #end(ending: Ending): void {
    this.#ending ??= ending
    this.#stop.abort()
  }

  /** One question, bounded; `undefined` when the wait ended meanwhile. */
  async #attempt(): Promise<Answer | undefined> {
    if (this.#stop.signal.aborted) return undefined
    const limit = this.#options.attemptTimeout ?? 5_000
    const attempt = new AbortController()
    let timer: NodeJS.Timeout | undefined
    let halt: (() => void) | undefined
    const interrupted = new Promise<Answer | undefined>((resolve) => {
      halt = () => resolve(undefined)
      this.#stop.signal.addEventListener('abort', halt, { once: true })
      timer = setTimeout(() => resolve({ healthy: false, detail: `no answer within ${formatWait(limit)}` }), limit)
    })
    try {
      const answer = await Promise.race([this.#ask(attempt.signal), interrupted])
      if (answer) this.#record(answer)
      return answer
    } finally {
      clearTimeout(timer)
      if (halt) this.#stop.signal.removeEventListener('abort', halt)
      attempt.abort()
    }
  }

  async #ask(signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#options.probe(this.#value, { signal, runtime: this.#context.runtime })
    } catch (error) {
      return { healthy: false, detail: messageOf(error) }
    }
  }

  #record(answer: Answer): void {
    const changed = this.#answers.add(answer.detail)
    this.#unchanged = changed ? 0 : this.#unchanged + 1
    if (answer.healthy) this.#context.answer(answer.detail, true)
    else if (changed) this.#context.answer(answer.detail)
  }

  #pause(): Promise<void> {
    const every = milliseconds(this.#options.every ?? 50)
    const { factor = 1.2, steady = 100, atMost = 1_000 } = this.#options.backoff ?? {}
    const growth = factor ** Math.max(0, this.#unchanged - steady)
    const pause = Math.max(every, Math.min(every * growth, atMost))
    const { signal } = this.#stop
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, pause)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  #containers(): readonly string[] {
    if (this.#options.containers) return this.#options.containers(this.#value)
    const id = (this.#value as { readonly id?: unknown; readonly service?: unknown } | null | undefined)?.id
    return typeof id === 'string' && 'service' in (this.#value as object) ? [id] : []
  }

  #subject(): string | undefined {
    return (this.#options.subjects?.(this.#value) ?? this.#containers())[0]
  }

  #question(): string {
    const { question, probe, description } = this.#options
    try {
      if (typeof question === 'string') return question
      return question?.(this.#value) ?? (probe as NamedProbe<V>).question?.(this.#value) ?? description
    } catch {
      return description
    }
  }

  async #failure(ending: Ending, lifeline: Lifeline): Promise<Error> {
    if (ending.why === 'lost') return ending.error
    if (ending.why === 'cancelled' && !isTimeout(ending.reason)) {
      if (ending.reason instanceof DevstackError) return ending.reason
      const { description } = this.#options
      return new DevstackError({
        kind: 'cancelled',
        code: 'CANCELLED',
        message: `Stopped waiting until "${description}" holds for ${this.#context.node}.`,
      })
    }
    const waitedMs = performance.now() - this.#started
    const container = ending.why === 'container' ? ending.container : this.#subject()
    const autopsy = await performAutopsy({
      runtime: this.#context.runtime,
      question: this.#question(),
      answers: this.#answers,
      waitedMs,
      container,
      node: this.#context.node,
      blocked: this.#context.blocked,
      sawOutOfMemory: lifeline.sawOutOfMemory,
    })
    return new GateError({ ...this.#verdict(ending, waitedMs), autopsy })
  }

  #verdict(ending: Ending, waitedMs: number): { code: string; message: string; hint: string; exitCode?: number } {
    const what = `"${this.#options.description}" does not hold for ${this.#context.node}`
    if (ending.why === 'impossible') {
      return {
        code: 'GATE_IMPOSSIBLE',
        message: `${what} and never will: ${unended(ending.detail)}.`,
        hint: 'Waiting longer does not help; the answer above names the cause.',
      }
    }
    if (ending.why === 'container') return { ...ending, message: `${what}: ${ending.message}` }
    const last = this.#answers.last
    return {
      code: 'GATE_TIMEOUT',
      exitCode: 3,
      message: `${what} after ${formatWait(waitedMs)}${last === undefined ? '' : `: ${unended(last)}`}.`,
      hint: 'If it only needs longer, raise the deadline (`within`).',
    }
  }
}

/** An edge's or task's deadline that comes as an abort still deserves an autopsy. */
function isTimeout(reason: unknown): boolean {
  if (reason instanceof DevstackError) return reason.kind === 'timeout' || reason.code === 'GATE_TIMEOUT'
  return reason instanceof Error && reason.name === 'TimeoutError'
}

/** An answer that is a sentence, to end with another one's full stop. */
function unended(text: string): string {
  return text.replace(/\.$/, '')
}
