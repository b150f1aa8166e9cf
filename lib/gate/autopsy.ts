/** Why a gate gave up: gathered once, when it fails. lib/report/autopsy.ts is the one text in which it is shown. */
import type { Autopsy } from '../engine/events.ts'
import { DevstackError, type ErrorOptions } from '../errors.ts'
import { type ContainerDetails, labels, type Runtime } from '../runtime/runtime.ts'

/** A gate that can not hold, with its autopsy. */
export class GateError extends DevstackError {
  readonly autopsy: Autopsy

  constructor(options: Omit<ErrorOptions, 'kind'> & { readonly autopsy: Autopsy }) {
    super({ ...options, kind: 'gate' })
    this.name = 'GateError'
    this.autopsy = options.autopsy
  }
}

const shownLogLines = 20
const shownAnswers = 5
/** An engine that hangs must not keep the failure from being told; one that is only busy is worth the wait. */
const lookMs = 10_000

/** The answers of a probe, equal ones in a row counted; only the last few runs are kept. */
export class Answers {
  readonly #runs: { text: string; times: number }[] = []
  asked = 0

  /** Returns whether the answer differs from the one before. */
  add(text: string): boolean {
    this.asked += 1
    const last = this.#runs.at(-1)
    if (last?.text === text) {
      last.times += 1
      return false
    }
    this.#runs.push({ text, times: 1 })
    if (this.#runs.length > shownAnswers) this.#runs.shift()
    return true
  }

  get last(): string | undefined {
    return this.#runs.at(-1)?.text
  }

  list(): Autopsy['answers'] {
    return this.#runs.map((run) => ({ ...run }))
  }
}

export interface AutopsyOptions {
  readonly runtime: Runtime
  readonly question: string
  readonly answers: Answers
  readonly waitedMs: number
  /** The container to look at: the one that died, else the first the gate watches. */
  readonly container?: string
  readonly node: string
  readonly blocked: readonly string[]
  /** The engine reported an out-of-memory kill inside the container, also when the container outlived it. */
  readonly sawOutOfMemory?: boolean
}

/** Looks at the container and its last log lines, at most 10 s in all; never throws. */
export async function performAutopsy(options: AutopsyOptions): Promise<Autopsy> {
  const { runtime, container, answers } = options
  const signal = AbortSignal.timeout(lookMs)
  const [details, logs] = await Promise.all([
    container === undefined ? ('unknown' as const) : look(runtime, container, signal),
    container === undefined ? [] : lastLines(runtime, container, signal),
  ])
  const service = typeof details === 'string' ? undefined : details.labels[labels.service]
  return {
    question: options.question,
    asked: answers.asked,
    waitedMs: Math.round(options.waitedMs),
    answers: answers.list(),
    ...(container === undefined ? {} : { container: factsOf(container, details, options.sawOutOfMemory) }),
    logs,
    blocked: options.blocked,
    next: container === undefined ? '' : `devstack run logs ${service ?? options.node}`,
  }
}

function factsOf(
  container: string,
  details: ContainerDetails | 'gone' | 'unknown',
  sawOutOfMemory = false,
): NonNullable<Autopsy['container']> {
  if (typeof details === 'string') {
    const state = details === 'gone' ? 'gone' : 'state unknown, as the engine does not tell'
    return { name: container.slice(0, 12), state, exitCode: null, oomKilled: sawOutOfMemory, restarts: null }
  }
  const { name, state, exitCode, oomKilled, restarts } = details
  return {
    ...{ name, state, restarts, oomKilled: oomKilled || sawOutOfMemory },
    exitCode: state === 'running' || state === 'created' ? null : exitCode,
  }
}

async function look(
  runtime: Runtime,
  container: string,
  signal: AbortSignal,
): Promise<ContainerDetails | 'gone' | 'unknown'> {
  try {
    return (await bounded(runtime.inspect(container, { signal }), signal)) ?? 'gone'
  } catch {
    return 'unknown'
  }
}

async function lastLines(runtime: Runtime, container: string, signal: AbortSignal): Promise<readonly string[]> {
  const lines: string[] = []
  const read = async () => {
    for await (const line of runtime.logs(container, { tail: shownLogLines, signal })) {
      lines.push(line.text)
      if (lines.length > shownLogLines) lines.shift()
    }
  }
  await bounded(read(), signal).catch(() => undefined)
  return [...lines]
}

function bounded<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** `850 ms`, `12.3 s`, `2 min 5 s`. */
export function formatWait(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1_000)} s`
}
