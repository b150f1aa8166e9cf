/**
 * The facts of a run. Everything that is shown or stored is made from these: journal lines, `--json` output and the tree
 * are the same objects, so replaying a journal reproduces the run's log. All of them are JSON-safe.
 */
import type { DevstackError, Place } from '../errors.ts'
import type { Json } from './schema.ts'
import type { Effect, Progress } from './task.ts'

/** Why a gate gave up; printed once, the same in the tree, in lines and in JSON. */
export interface Autopsy {
  /** What was asked, for instance `GET http://127.0.0.1:8008/leader`. */
  readonly question: string
  readonly asked: number
  readonly waitedMs: number
  /** The last answers, oldest first, with the number of times each came in a row. */
  readonly answers: readonly { readonly text: string; readonly times: number }[]
  readonly container?: {
    readonly name: string
    readonly state: string
    readonly exitCode: number | null
    readonly oomKilled: boolean
    /** Null when the engine did not tell. */
    readonly restarts: number | null
  }
  /** At most 20. */
  readonly logs: readonly string[]
  /** Node ids that can not start because of it. */
  readonly blocked: readonly string[]
  /** The command to look further; empty where there is none. */
  readonly next: string
}

export interface ErrorFact {
  readonly code: string
  readonly kind: string
  readonly message: string
  readonly hint?: string
  readonly place?: Place
  readonly details?: readonly string[]
  readonly exitCode: number
  readonly autopsy?: Autopsy
  /** Only for errors that are bugs: where it was thrown. */
  readonly stack?: string
}

export type Decision = 'run' | 'reuse' | 'skip' | 'stop'

/** One node of a plan: what would happen and why. */
export interface Step {
  readonly node: string
  readonly needs: readonly string[]
  readonly decision: Decision
  readonly cause: string
  readonly effect: Effect
  readonly differences?: readonly string[]
  /** What it would destroy; only in a plan. */
  readonly destroys?: readonly string[]
  /** What must be agreed to before; only in a plan. */
  readonly asks?: string
  /** The row it is folded into. */
  readonly partOf?: string
  readonly service?: boolean
  readonly description?: string
}

/** What a waiting node waits for. */
export type Hold =
  | { readonly for: 'needs'; readonly nodes: readonly string[] }
  | { readonly for: 'lock'; readonly lock: string; readonly holders: readonly string[] }
  | { readonly for: 'slot' }

export type NodeEvent =
  | { readonly type: 'node-waiting'; readonly hold: Hold }
  | { readonly type: 'node-started'; readonly attempt: number }
  | { readonly type: 'node-output'; readonly stream: 'stdout' | 'stderr' | 'log'; readonly text: string }
  | { readonly type: 'node-progress'; readonly progress: Progress }
  | { readonly type: 'node-retry'; readonly attempt: number; readonly delayMs: number; readonly error: ErrorFact }
  | { readonly type: 'gate-waiting'; readonly gate: string }
  | { readonly type: 'gate-answer'; readonly gate: string; readonly answer: string; readonly holds?: true }
  | { readonly type: 'gate-held'; readonly gate: string; readonly waitedMs: number; readonly asked: number }
  | { readonly type: 'lock-waiting'; readonly lock: string; readonly holder: string }
  /** A service is ready: dependents may go on, the thing lives on. */
  | { readonly type: 'node-ready'; readonly value: Json; readonly durationMs: number }
  | { readonly type: 'node-done'; readonly value: Json; readonly durationMs: number; readonly fingerprint?: string }
  | { readonly type: 'node-reused'; readonly value: Json; readonly cause: string }
  | { readonly type: 'node-skipped'; readonly cause: string }
  | { readonly type: 'node-failed'; readonly error: ErrorFact; readonly durationMs: number }
  /** Never started, or stopped half-way: because a need failed, or because the run was cancelled. */
  | { readonly type: 'node-cancelled'; readonly cause: string; readonly because?: string }
  | { readonly type: 'cleanup-failed'; readonly error: ErrorFact }
  | { readonly type: 'undo-started' }
  | { readonly type: 'node-undone'; readonly durationMs: number }
  | { readonly type: 'undo-failed'; readonly error: ErrorFact }

export interface Summary {
  readonly done: number
  readonly reused: number
  readonly skipped: number
  readonly failed: number
  readonly cancelled: number
}

export type RunOnlyEvent =
  | {
      readonly type: 'run-started'
      /** Version of this format; readers refuse a newer one. */
      readonly format: 1
      readonly targets: readonly { readonly task: string; readonly params: Json }[]
      readonly steps: readonly Step[]
      readonly traceId: string
      readonly concurrency: number
      readonly version: string
      /** What the command line asked for beside the targets; a run that continues this one takes it over. */
      readonly asked?: {
        readonly concurrency?: number
        readonly failureMode?: 'fail-fast' | 'keep-going' | 'kill'
        readonly cache?: boolean
        readonly backup?: boolean
      }
      /** `--config` and `--cwd` as they were typed: who goes on with this run has to say them again. */
      readonly located?: { readonly config?: string; readonly cwd?: string }
      /** Set when this run continues or undoes another. */
      readonly continues?: string
      readonly undoes?: string
    }
  | { readonly type: 'note'; readonly level: 'info' | 'warning'; readonly text: string }
  | {
      readonly type: 'run-finished'
      readonly state: 'succeeded' | 'failed' | 'cancelled'
      readonly durationMs: number
      readonly summary: Summary
      /** Node ids of the longest chain by measured time, and that time. */
      readonly criticalPath: readonly string[]
      readonly criticalMs: number
    }

/** `at` is milliseconds since the epoch. */
export type RunEvent = { readonly at: number; readonly runId: string } & (
  | ({ readonly node: string } & NodeEvent)
  | ({ readonly node?: undefined } & RunOnlyEvent)
)

/** Receives every event of a run, in order. Must not throw. */
export interface Reporter {
  report(event: RunEvent): void
  /** Resolves once everything is written. Called once, after `run-finished`. */
  close?(): Promise<void> | void
}

/** An error as a fact for journals and reporters. */
export function errorFact(error: DevstackError & { readonly autopsy?: Autopsy }): ErrorFact {
  return {
    code: error.code,
    kind: error.kind,
    message: error.message,
    exitCode: error.exitCode,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.place === undefined ? {} : { place: error.place }),
    ...(error.details.length === 0 ? {} : { details: error.details }),
    ...(error.autopsy === undefined ? {} : { autopsy: error.autopsy }),
    ...(error.kind === 'internal' && error.stack !== undefined ? { stack: error.stack } : {}),
  }
}
