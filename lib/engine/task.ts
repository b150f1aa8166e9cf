/**
 * What a task is: a typed definition. Making one runs nothing, reads nothing and registers nothing.
 *
 * `A` is what the surroundings hand to a running task beside the engine's own context (shell, runtime, ...); the engine
 * passes it through and never looks inside.
 */
import { DevstackError } from '../errors.ts'
import type { Schema } from './schema.ts'

/** What a task does to the world. `destroy` is confirmed before the first effect of a run. */
export type Effect = 'read' | 'create' | 'change' | 'destroy'

/** Milliseconds, or a number with a unit: `250ms`, `30s`, `5m`, `1h`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h'}`

/** A lock held for the whole task, in this run and across processes; `size` holders at a time (default 1). */
export type Lock = string | { readonly name: string; readonly size: number }

/** How often something that failed is tried again, and after which waits: each is double the one before, with jitter. */
export interface RetryPolicy {
  /** Further tries after the first. */
  readonly attempts: number
  /** Wait before the second try; default 200 ms. */
  readonly delay?: Duration
  /** Longest wait; default 10 s. */
  readonly maxDelay?: Duration
  /** Growth of the wait from try to try; default 2. */
  readonly factor?: number
  /** Each wait is multiplied by a random number from 1 to 2; default true. */
  readonly jitter?: boolean
}

/** What a gate may use while it waits. */
export interface GateContext {
  /** Aborts when the run is cancelled. The deadline is the gate's own affair. */
  readonly signal: AbortSignal
  readonly node: string
  /** Who waits for this gate, by node id. */
  readonly blocked: readonly string[]
  /** Tells the newest answer of the probe, for progress ("2 of 3 members started"); `holds` when it is what was waited for. */
  answer(text: string, holds?: true): void
}

/** A health condition with a deadline. `hold` resolves when it holds and rejects with a DevstackError when it can not. */
export interface Gate<V = never, A = unknown> {
  /** What must hold, as a noun phrase: `PostgreSQL leader elected`. */
  readonly description: string
  /** The same gate with another deadline, in milliseconds; for an edge's `within`. */
  bounded?(withinMs: number): Gate<V, A>
  hold(value: V, context: GateContext & A): Promise<{ readonly asked: number } | undefined>
}

/** What `observe` found out: whether the task's work is still in place. */
export type Observation<V = unknown> =
  | { readonly state: 'fresh'; readonly cause: string; readonly value: V }
  | { readonly state: 'stale'; readonly cause: string; readonly differences?: readonly string[] }

/** How far a task is, for its row. */
export interface Progress {
  readonly done: number
  readonly total?: number
  readonly unit?: 'bytes' | 'items'
  readonly label?: string
}

/** What a running task gets. */
export interface BaseContext<N extends Needs, P> {
  readonly name: string
  readonly needs: NeedValues<N>
  readonly params: P
  /** Aborts on cancellation and on timeout; a task must end soon after. */
  readonly signal: AbortSignal
  /** Working directory, absolute. */
  readonly cwd: string
  /** Which try this is, from 1. */
  readonly attempt: number
  /** The run this belongs to. */
  readonly runId: string
  /** One line for the user. */
  log(text: string): void
  progress(progress: Progress): void
}

/** What a task can say of itself. `A` is what its `run` gets from its surroundings, `N` its needs, `P` its params, `V` its value. */
export interface TaskDefinition<A, N extends Needs, P, V> {
  /** One sentence, shown by `list` and `help`. */
  readonly description?: string
  /** Other tasks whose values are wanted, by name; a function where params decide which (all of them stand in the plan). */
  readonly needs?: N | ((params: P) => N | Promise<N>)
  readonly params?: Schema<P>
  /** The value is validated when produced and when read back, and is JSON-safe by construction. */
  readonly returns?: Schema<V>
  /** Must hold before the task counts as done. */
  readonly gate?: Gate<V, A> | readonly Gate<V, A>[]
  readonly effect?: Effect
  /** What exactly is destroyed, one line each; shown before the confirmation of an `effect: 'destroy'` task. */
  readonly destroys?: (
    context: BaseContext<Record<never, never>, P> & A,
  ) => readonly string[] | Promise<readonly string[]>
  /** What the user must agree to before the first effect of a run that has this task, whatever its effect. */
  readonly confirm?: string
  readonly locks?: readonly Lock[]
  /** Slots taken out of the concurrency limit; default 1, 0 for what only waits. */
  readonly weight?: number
  readonly timeout?: Duration
  readonly retry?: number | RetryPolicy
  /** Relative to the config that defines the task. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Relative to `cwd`; what they set belongs to the fingerprint, as `env` does. */
  readonly envFiles?: readonly string[]
  /** Names of environment variables that belong to the fingerprint. */
  readonly passEnv?: readonly string[]
  readonly platforms?: readonly string[]
  /** Globs relative to `cwd`. With `inputs`, the task is skipped while its fingerprint holds. */
  readonly inputs?: readonly string[]
  readonly outputs?: readonly string[]
  readonly cache?: boolean
  /** Not listed and not startable from the command line. */
  readonly private?: boolean
  readonly aliases?: readonly string[]
  /** What the fingerprint takes for the text of `run`; default the function's own source. */
  readonly source?: string
  /** A long-lived thing: it is ready, not finished, and `down` ends it. */
  readonly service?: boolean
  /** Name of a task that stands in no config: made on the way, by a `needs` function or a reference. */
  readonly label?: string
  /** Locks held from before the first task of the run to its end, across processes; a function where params decide. */
  readonly runLocks?: readonly string[] | ((params: P) => readonly string[])
  /** Shown in place of the own name and folded into that row (`etcd1`). */
  readonly partOf?: string
  /** Starts on a terminal of its own: output goes straight through, nothing is drawn meanwhile. */
  readonly interactive?: boolean
  run?(context: BaseContext<N, P> & A): V | Promise<V>
  /** Looks, without changing anything, whether the work is still in place. */
  observe?(context: BaseContext<N, P> & A): Observation<NoInfer<V>> | Promise<Observation<NoInfer<V>>>
  /** Always runs after `run`, also after a failure or a cancellation. */
  cleanup?(context: BaseContext<N, P> & A): void | Promise<void>
  undo?(context: BaseContext<N, P> & A & { readonly value: V }): void | Promise<void>
  /** `on-failure`: a failed run compensates by itself. */
  readonly undoOn?: 'request' | 'on-failure'
}

declare const valueType: unique symbol
declare const paramsType: unique symbol

/** A defined task. `V` is the type of the value that flows to whoever needs it, `P` that of its params where it is known. */
export interface Task<V = unknown, P = unknown> {
  readonly kind: 'task'
  readonly definition: AnyDefinition
  readonly [valueType]?: () => V
  readonly [paramsType]?: () => P
}

/** A need with a policy of its own; made by `after()`. */
export interface Edge<V = unknown> {
  readonly kind: 'edge'
  readonly need: Task<V> | TaskReference<V>
  readonly until: readonly Gate<V, never>[]
  readonly within: number | undefined
  readonly retry: RetryPolicy | undefined
  readonly params: Readonly<Record<string, unknown>> | undefined
  readonly optional: boolean
  readonly [valueType]?: () => V
}

/** A task that is only known once the config is loaded: by its name, or for instance a service of a compose file. */
export interface TaskReference<V = unknown> {
  readonly kind: 'reference'
  /** For messages, and looked up among the config's names when there is no `resolve`. */
  readonly name: string
  /** Gives the task, or throws a DevstackError that names what is missing. */
  readonly resolve?: () => Task<V> | Promise<Task<V>>
  readonly [valueType]?: () => V
}

/** What a task may need: another task, an edge made by `after()`, or a name made by `named()`. */
export type Need<V = unknown, P = unknown> = Task<V, P> | Edge<V> | TaskReference<V>
/** Needs by the names under which their values flow. */
export type Needs = Readonly<Record<string, Need>>
/** The value of a task, or of what leads to one. */
export type ValueOf<T> = T extends { readonly [valueType]?: () => infer V } ? V : never
/** What `run` gets for its needs. */
export type NeedValues<N extends Needs> = { readonly [K in keyof N]: ValueOf<N[K]> }
// biome-ignore lint/suspicious/noExplicitAny: a stored definition has lost its parameters; they are checked where it is made
export type AnyDefinition = TaskDefinition<any, any, any, any>

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

/** A duration in milliseconds; `undefined` for anything that is no duration. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(value) : null
  return match ? Number(match[1]) * units[match[2] as keyof typeof units] : undefined
}

/** A duration in milliseconds. Throws a DevstackError of kind `config` for anything that is no duration. */
export function milliseconds(duration: Duration | string): number {
  const ms = parseDuration(duration)
  if (ms !== undefined) return ms
  throw new DevstackError({
    kind: 'config',
    code: 'BAD_DURATION',
    message: `"${String(duration)}" is not a duration.`,
    hint: 'Write a number with a unit: 250ms, 30s, 5m or 1h.',
  })
}

/** The locks with their sizes, each once: of one that is named twice the smallest size counts. */
export function sizedLocks(locks: readonly Lock[]): readonly { readonly name: string; readonly size: number }[] {
  const byName = new Map<string, { readonly name: string; readonly size: number }>()
  for (const lock of locks) {
    const sized = typeof lock === 'string' ? { name: lock, size: 1 } : lock
    const known = byName.get(sized.name)
    if (!known || sized.size < known.size) byName.set(sized.name, sized)
  }
  return [...byName.values()]
}

/** Defines a task. Nothing runs. */
export function createTask<A, N extends Needs, P, V>(definition: TaskDefinition<A, N, P, V>): Task<Awaited<V>, P> {
  return { kind: 'task', definition }
}

/** The names of a task's params; their values are checked by its schema when the graph is built. */
type ParamsOf<P> = unknown extends P
  ? Readonly<Record<string, unknown>>
  : keyof P extends never
    ? Readonly<Record<string, never>>
    : { readonly [K in keyof P]?: unknown }

/** What `after()` puts on an edge. */
export interface AfterOptions<V, A, P = unknown, O extends boolean = boolean> {
  /** Conditions that must hold on the value before the edge releases. */
  readonly until?: Gate<V, A> | readonly Gate<V, A>[]
  /** Deadline of the whole edge, from the moment the needed task is done. */
  readonly within?: Duration
  readonly retry?: RetryPolicy | number
  /** Params for the needed task. */
  readonly params?: ParamsOf<P>
  /**
   * The edge also releases, with `undefined`, when the needed task fails. If all who need that task can do without, its
   * failure does not stop the run either; the run still counts as failed.
   */
  readonly optional?: O
}

/** `after(patroni, { until: leaderElected, within: '60s' })`: a need that carries value, gate and policy on one edge. */
export function after<V, A, P, O extends boolean = false>(
  need: Need<V, P>,
  options: AfterOptions<NoInfer<V>, A, NoInfer<P>, O> = {},
): Edge<O extends true ? V | undefined : V> {
  const until = options.until === undefined ? [] : Array.isArray(options.until) ? options.until : [options.until]
  if (options.within !== undefined && until.length === 0) {
    throw new DevstackError({
      kind: 'config',
      code: 'AFTER_WITHIN_NEEDS_UNTIL',
      message: 'after(..., { within }) has a deadline but no condition.',
      hint: 'Say what must hold: after(task, { until: gate, within: "60s" }); to bound the task itself give it a timeout.',
    })
  }
  return {
    kind: 'edge',
    need: need.kind === 'edge' ? need.need : need,
    until: until as readonly Gate<V, never>[],
    within: options.within === undefined ? undefined : milliseconds(options.within),
    retry: typeof options.retry === 'number' ? { attempts: options.retry } : options.retry,
    params: options.params,
    optional: options.optional ?? false,
  }
}

/** A need by name, for tasks that can not be imported (another pack's, or a YAML config's). Resolved when the graph is built. */
export function named<V = unknown>(name: string): TaskReference<V> {
  return { kind: 'reference', name }
}
