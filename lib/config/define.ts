/** What a config is made of: tasks by name, packs, and settings. */

import type { ProcessOutput } from 'zx'
import type { ComposeModel } from '../compose/schema.ts'
import type { Ambient, Project } from '../context.ts'
import {
  type AnyDefinition,
  createTask,
  type Duration,
  type Needs,
  type Task,
  type TaskDefinition,
} from '../engine/task.ts'
import { DevstackError } from '../errors.ts'

/** Tasks by name; a nested record is a namespace: `{ db: { migrate } }` is `db:migrate`. */
export interface TaskTree {
  readonly [name: string]: Task | TaskTree
}

/** What a pack may look at when it makes its tasks. */
export interface PackContext {
  /** Absolute folder of the config that uses the pack. */
  readonly directory: string
  readonly environment: Readonly<Record<string, string>>
  readonly project: string
}

/** A set of tasks that a config switches on with `use`. */
export interface Pack {
  readonly kind: 'pack'
  readonly name: string
  readonly tasks: TaskTree | ((context: PackContext) => TaskTree | Promise<TaskTree>)
  /** The name its files give the project, for a config without one. Every command asks, so it must cost next to nothing. */
  readonly projectName?: (context: Omit<PackContext, 'project'>) => Promise<string | undefined>
  /** The compose files as its `up` uses them, for `devstack compose config`; asked after `tasks`. */
  readonly model?: () => Promise<ComposeModel>
  /** Names of environment variables whose values are masked everywhere. */
  readonly secrets?: readonly string[]
  /** Called before any run: notices what a killed run left (an unhealed fault, a half-done restore), mends it and says so. */
  readonly recover?: (
    context: Pick<Ambient, 'runtime' | 'project' | '$'> & { note(text: string): void; signal: AbortSignal },
  ) => Promise<void>
  /**
   * Whether `recover` can not wait for the next run, because something is broken as long as it has not been called. Every
   * command asks, also one that only looks, so it must cost next to nothing.
   */
  readonly urgent?: (project: Project) => boolean
}

/** What a config may say; `defineConfig` checks it. */
export interface Config {
  /**
   * Name of the project: lower-case letters, digits, `-`. Default: COMPOSE_PROJECT_NAME, else the `name:` of the files of
   * `compose()`, else `<folder>-<4 hex of its path>`.
   */
  readonly name?: string
  readonly use?: readonly Pack[]
  readonly tasks?: TaskTree
  /** Other configs, as `{ namespace: path of a file or folder }`; their tasks run in their own folder. */
  readonly include?: Readonly<Record<string, string>>
  /** Read before tasks run, later ones win; default `.env` and `.env.local`. A missing one is no error. */
  readonly envFiles?: readonly string[]
  /** Names of environment variables whose values are masked everywhere, beside those whose names look secret. */
  readonly secrets?: readonly string[]
  /** Slots; default the number of processors. */
  readonly concurrency?: number
  /**
   * Delays of cancellation: SIGINT, after `interrupt` SIGTERM (default 5 s), after `terminate` SIGKILL (default 5 s). A
   * task that has not ended `abandon` after that (default 5 s) is left alone and counts as failed.
   */
  readonly cancel?: { readonly interrupt?: Duration; readonly terminate?: Duration; readonly abandon?: Duration }
  /** Bound of the local store of outputs in bytes; default 1 GiB. */
  readonly cacheBytes?: number
}

/** The config as it is, checked by the compiler. */
export function defineConfig(config: Config): Config {
  return config
}

/** Checked by the compiler and given a kind. */
export function definePack(pack: Omit<Pack, 'kind'>): Pack {
  return { kind: 'pack', ...pack }
}

/** A finished command carries no value; anything else is the value. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing is typed so
export type Returned<V> = Awaited<V> extends ProcessOutput | void ? undefined : Awaited<V>

type Surroundings<E> = Omit<Ambient, 'env'> & { readonly env: Ambient['env'] & { readonly [K in keyof E]: string } }

/**
 * Defines a task. `needs` gives `run` the values of other tasks under the same names and types; `params` (a zod object)
 * become options on the command line; `gate` must hold before the task counts as done. Nothing runs until it is asked for.
 * With `platforms` it may be skipped, so its value may be undefined for those who need it. Throws CONFIG_INVALID for what is
 * no definition.
 */
export function task<
  V = undefined,
  N extends Needs = Record<never, never>,
  P = Record<never, never>,
  E extends Readonly<Record<string, string>> = Record<never, never>,
  L extends readonly string[] | undefined = undefined,
>(
  definition: TaskDefinition<Surroundings<E>, N, P, V> & { readonly env?: E; readonly platforms?: L },
): Task<L extends undefined ? Returned<V> : Returned<V> | undefined, P> {
  if (typeof definition !== 'object' || definition === null) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_INVALID',
      message: `task() needs a definition, got ${String(definition)}.`,
      hint: 'Write task({ run: ... }).',
    })
  }
  return createTask(definition) as Task<Returned<V>, P>
}

/** A task that only gathers others: running it runs them all. */
export function group(
  needs: Needs | readonly Task[],
  options: Pick<AnyDefinition, 'description' | 'aliases' | 'private'> = {},
): Task<undefined> {
  const record: Needs = Array.isArray(needs)
    ? Object.fromEntries((needs as readonly Task[]).map((need, index) => [String(index), need]))
    : (needs as Needs)
  return createTask({ ...options, needs: record, effect: 'read', weight: 0 }) as Task<undefined>
}

/**
 * One task for each value, by name, all of them in the plan: `matrix({ node: ['22', '24'] }, ({ node }) => task(...))`
 * gives the tasks `node=22` and `node=24`; several axes give every combination.
 */
export function matrix<A extends Readonly<Record<string, readonly (string | number | boolean)[]>>>(
  axes: A,
  make: (values: { readonly [K in keyof A]: A[K][number] }) => Task,
): Record<string, Task> {
  let combinations: Record<string, string | number | boolean>[] = [{}]
  for (const [axis, values] of Object.entries(axes)) {
    combinations = combinations.flatMap((combination) => values.map((value) => ({ ...combination, [axis]: value })))
  }
  return Object.fromEntries(
    combinations.map((values) => [
      Object.entries(values)
        .map(([axis, value]) => `${axis}=${value}`)
        .join(','),
      make(values as { readonly [K in keyof A]: A[K][number] }),
    ]),
  )
}

/**
 * The body of a task that is one command: text for `/bin/sh`, or words that no shell touches.
 * `task({ description: 'Build', ...command('npm run build') })`
 */
export function command(line: string | readonly string[]): {
  readonly source: string
  run(context: Ambient): Promise<undefined>
} {
  return {
    source: JSON.stringify(line),
    run: async (context) => {
      await context.exec(line, { capture: false })
      return undefined
    },
  }
}
