/** What a run touches: turns the engine's `Host` into processes, locks, files and events. */
import { existsSync } from 'node:fs'
import { delimiter, isAbsolute, join, relative, resolve } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import type { LoadedConfig } from '../config/load.ts'
import type { Registry } from '../config/registry.ts'
import type { Ambient } from '../context.ts'
import type { Autopsy, NodeEvent, RunEvent, RunOnlyEvent } from '../engine/events.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { AnyContext, Host, Verdict } from '../engine/host.ts'
import { DevstackError, toDevstackError } from '../errors.ts'
import { spanIdOf, traceparent } from '../report/otel.ts'
import type { RedactingStream } from '../report/redact.ts'
import { ProcessSet } from './processes.ts'
import { paced } from './progress.ts'
import { Rows } from './rows.ts'
import type { Session } from './session.ts'
import { execCommand, placeOf, type ShellOutput, shellFailed, taskShell } from './shell.ts'
import { onStall, settling } from './stall.ts'
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

interface Surroundings extends HostOptions {
  readonly emit: (event: RunOnlyEvent) => void
  readonly emitNode: (node: string, event: NodeEvent) => void
  readonly tries: Tries
  readonly rows: Rows
}

/** What the tries of every node started, until the node ends. */
class Tries {
  readonly #session: Session
  readonly #runId: string
  readonly #open = new Map<string, { readonly set: ProcessSet; readonly forget: () => void }[]>()
  readonly #left: { readonly node: string; readonly set: ProcessSet }[] = []

  constructor(session: Session, runId: string) {
    this.#session = session
    this.#runId = runId
  }

  /** A new set, which ends when the signal aborts. */
  begin(node: string, attempt: number, signal: AbortSignal): ProcessSet {
    const { delays, urgency } = this.#session
    const set = new ProcessSet(`${this.#runId}:${node}:${attempt}`)
    const onAbort = (): void => void set.stop(delays, urgency)
    signal.addEventListener('abort', onAbort, { once: true })
    const forget = (): void => signal.removeEventListener('abort', onAbort)
    this.#open.set(node, [...(this.#open.get(node) ?? []), { set, forget }])
    return set
  }

  /** Ends what a node left running; after a success it may stay. */
  end(node: string, keep: boolean): Promise<void> | undefined {
    const open = this.#open.get(node)
    if (!open) return undefined
    this.#open.delete(node)
    for (const { forget } of open) forget()
    if (keep) {
      for (const { set } of open) if (set.open) this.#left.push({ node, set })
      return undefined
    }
    const { delays, urgency } = this.#session
    return Promise.all(open.map(({ set }) => set.stop(delays, urgency))).then(() => undefined)
  }

  async endLeft(spared: ReadonlySet<string>): Promise<void> {
    const { delays, urgency } = this.#session
    const left = this.#left.filter(({ node }) => !spared.has(node))
    await Promise.all(left.map(({ set }) => set.stop(delays, urgency)))
  }
}

/** Members that are made when they are first asked for. */
const lazy = ['cwd', 'env', '$', 'runtime', 'project', 'terminal', 'flags', 'exec', 'secret', 'note', 'rows'] as const

/** Lets `{ ...context }` copy the members that are made on demand, too. */
const wholeContext: ProxyHandler<TaskContext> = {
  get: (context, key) => Reflect.get(context, key, context),
  ownKeys: (context) => [...new Set<string | symbol>([...Reflect.ownKeys(context), ...lazy])],
  getOwnPropertyDescriptor: (context, key) =>
    Reflect.getOwnPropertyDescriptor(context, key) ??
    (lazy.includes(key as (typeof lazy)[number])
      ? { configurable: true, enumerable: true, get: () => Reflect.get(context, key, context) }
      : undefined),
}

function taskContext(node: GraphNode, base: AnyContext, around: Surroundings): AnyContext {
  return new Proxy(new TaskContext(node, base, around), wholeContext) as unknown as AnyContext
}

/** What a task gets. Costly members are made when they are first asked for. */
class TaskContext {
  readonly name: string
  readonly needs: AnyContext['needs']
  readonly params: unknown
  readonly signal: AbortSignal
  readonly attempt: number
  readonly runId: string
  readonly log: AnyContext['log']
  readonly progress: AnyContext['progress']
  readonly #node: GraphNode
  readonly #around: Surroundings
  #processes: ProcessSet | undefined
  #env: Record<string, string> | undefined
  #shell: Ambient['$'] | undefined
  #cwd: string | undefined

  constructor(node: GraphNode, base: AnyContext, around: Surroundings) {
    this.name = base.name
    this.needs = base.needs
    this.params = base.params
    this.signal = base.signal
    this.attempt = base.attempt
    this.runId = base.runId
    this.log = base.log
    this.progress = paced(base.progress, Date.now)
    this.#node = node
    this.#around = around
  }

  get cwd(): string {
    this.#cwd ??= workingDirectory(
      this.#node,
      this.#around.session.loaded.registry,
      this.#around.session.loaded.directory,
    )
    return this.#cwd
  }

  get env(): Record<string, string> {
    if (!this.#env) {
      const { definition } = this.#node
      const { loaded, redactor } = this.#around.session
      const base = loaded.registry.origin(this.#node.task)?.environment ?? loaded.environment
      const files: readonly string[] = definition.envFiles ?? []
      const own = files.length === 0 ? base : { ...base, ...readEnvironment(this.cwd, files, {}) }
      if (own !== base) redactor.addEnvironment(own)
      if (definition.env) redactor.addEnvironment(definition.env)
      this.#env = {
        ...own,
        ...withLocalPrograms(own['PATH'], loaded.directory),
        ...definition.env,
        DEVSTACK_RUN: this.runId,
        TRACEPARENT: traceparent(this.#around.traceId, spanIdOf(this.#around.traceId, this.name)),
      }
      for (const name of loaded.secrets) if (this.#env[name] !== undefined) redactor.add(this.#env[name])
    }
    return this.#env
  }

  get $(): Ambient['$'] {
    this.#shell ??= taskShell(this.#shellOptions())
    return this.#shell
  }

  get exec(): Ambient['exec'] {
    return (line, more) => execCommand(line, this.#shellOptions(), more)
  }

  get runtime(): Ambient['runtime'] {
    return this.#around.session.runtime
  }

  get project(): Ambient['project'] {
    return this.#around.session.project
  }

  get terminal(): Ambient['terminal'] {
    return this.#around.session.terminal
  }

  get flags(): Ambient['flags'] {
    return this.#around.session.flags
  }

  get secret(): Ambient['secret'] {
    return (value) => this.#around.session.redactor.add(value)
  }

  get note(): Ambient['note'] {
    return (text) => this.#around.emit({ type: 'note', level: 'info', text })
  }

  get rows(): Ambient['rows'] {
    return () => this.#around.rows.all()
  }

  #shellOptions() {
    this.#processes ??= this.#around.tries.begin(this.name, this.attempt, this.signal)
    return {
      cwd: this.cwd,
      env: this.env,
      processes: this.#processes,
      signal: this.signal,
      interactive: this.#node.definition.interactive ?? false,
      onOutput: (stream: 'stdout' | 'stderr', text: string) =>
        this.#around.emitNode(this.name, { type: 'node-output', stream, text }),
    }
  }
}

/** Programs of the project's own packages come first, as in npm scripts. */
function withLocalPrograms(path: string | undefined, directory: string): { readonly PATH?: string } {
  const programs = join(directory, 'node_modules', '.bin')
  if (path?.split(delimiter).includes(programs) || !existsSync(programs)) return {}
  return { PATH: path === undefined ? programs : `${programs}${delimiter}${path}` }
}

/** A node's working directory: `cwd` of the task, relative to the folder of the config that defines it. */
export function workingDirectory(node: GraphNode, registry: Registry, fallback: string): string {
  const directory = registry.origin(node.task)?.directory ?? fallback
  const { cwd } = node.definition
  return cwd === undefined ? directory : isAbsolute(cwd) ? cwd : resolve(directory, cwd)
}

/** zx's answer, whichever copy of zx made it. */
function isProcessOutput(value: unknown): boolean {
  return typeof value === 'object' && value !== null && /ProcessOutput$/.test((value as object).constructor?.name ?? '')
}

/**
 * zx rejects with what the command printed; anything else is told as it is, with its place when it is a bug of the task. Of a
 * command whose place is not known, the config's file is.
 */
function failureOf(node: GraphNode, thrown: unknown, loaded: LoadedConfig): DevstackError {
  if (isProcessOutput(thrown)) return placed(shellFailed(node.id, thrown as ShellOutput), node, loaded)
  if (thrown instanceof DevstackError) {
    const { autopsy } = thrown as { autopsy?: Autopsy }
    if (autopsy && !loaded.registry.find('logs')) return withAutopsy(thrown, { ...autopsy, next: '' })
    return /^TASK_(COMMAND_|NO_DIRECTORY)/.test(thrown.code) ? placed(thrown, node, loaded) : thrown
  }
  const error = toDevstackError(thrown, 'task', 'TASK_FAILED')
  const place = thrown instanceof Error ? placeOf(thrown.stack) : undefined
  return new DevstackError({
    kind: 'task',
    code: 'TASK_FAILED',
    message: `Task "${node.id}" failed: ${error.message || 'it threw nothing that can be shown'}`,
    cause: thrown,
    ...(place ? { place } : {}),
  })
}

/** The error with another autopsy: one proposes the task `logs` of the stack, which not every config has. */
function withAutopsy(error: DevstackError, autopsy: Autopsy): DevstackError {
  const { message, cause } = error
  return Object.assign(new DevstackError({ ...error, message, cause }), { autopsy })
}

function placed(error: DevstackError, node: GraphNode, { registry, directory }: LoadedConfig): DevstackError {
  const origin = registry.origin(node.task)?.origin
  if (error.place || origin === undefined || origin.startsWith('pack ')) return error
  return new DevstackError({
    ...error,
    message: error.message,
    place: { file: relative(process.cwd(), join(directory, origin)) },
  })
}
