/** What a running task gets. */
import { existsSync } from 'node:fs'
import { delimiter, isAbsolute, join, resolve } from 'node:path'
import { readEnvironment } from '../config/environment.ts'
import type { Registry } from '../config/registry.ts'
import type { Ambient } from '../context.ts'
import type { NodeEvent, RunOnlyEvent } from '../engine/events.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { AnyContext } from '../engine/host.ts'
import { spanIdOf, traceparent } from '../report/otel.ts'
import type { ProcessSet } from './processes.ts'
import { paced } from './progress.ts'
import type { Rows } from './rows.ts'
import type { Session } from './session.ts'
import { execCommand, taskShell } from './shell.ts'
import type { Tries } from './tries.ts'

/** What the contexts of a run have in common. */
export interface Surroundings {
  readonly session: Session
  readonly traceId: string
  readonly emit: (event: RunOnlyEvent) => void
  readonly emitNode: (node: string, event: NodeEvent) => void
  readonly tries: Tries
  readonly rows: Rows
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

/** The context of one try of a node. */
export function taskContext(node: GraphNode, base: AnyContext, around: Surroundings): AnyContext {
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
