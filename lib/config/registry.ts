/** Every task of a config by name, with where it comes from. */

import type { Names } from '../engine/graph.ts'
import type { Task } from '../engine/task.ts'
import { DevstackError, suggest } from '../errors.ts'
import { checkTask } from './check.ts'
import type { TaskTree } from './define.ts'

export interface Registered {
  readonly name: string
  readonly task: Task
  /** Folder that `cwd`, `inputs`, `outputs` and `envFiles` are relative to; absolute. */
  readonly directory: string
  /** For messages: `devstack.config.ts`, `pack "stack"`. */
  readonly origin: string
  /** Of the included config that has the task: `packages:api`; its names are looked up there first. */
  readonly namespace?: string
  /** What the task starts from, where it is not that of the project: an included config has env files of its own. */
  readonly environment?: Readonly<Record<string, string>>
}

/** Where tasks come from. */
interface Origin extends Pick<Registered, 'directory' | 'origin' | 'namespace' | 'environment'> {
  /** The config that has their text, for the place of what is wrong with them. */
  readonly file?: string
  /** Stands in for tasks of packs. */
  readonly override?: boolean
}

/** See the file's head. */
export class Registry implements Names {
  readonly #byName = new Map<string, Registered>()
  readonly #byTask = new Map<Task, Registered>()
  readonly #aliases = new Map<string, string>()
  readonly #replaced = new Map<Task, Task>()

  /** Adds every task of the tree, under its namespace. Throws CONFIG_DUPLICATE_TASK, CONFIG_BAD_TASK_NAME, CONFIG_NOT_A_TASK or CONFIG_INVALID. */
  add(tree: TaskTree, options: Origin): void {
    this.#add(tree, options.namespace, options)
  }

  #add(tree: TaskTree, prefix: string | undefined, options: Origin): void {
    for (const [key, value] of Object.entries(tree)) {
      const name = prefix === undefined ? key : `${prefix}:${key}`
      if (isTask(value)) this.#register(name, value, options)
      else if (typeof value === 'object' && value !== null && !('kind' in value)) this.#add(value, name, options)
      else {
        throw new DevstackError({
          kind: 'config',
          code: 'CONFIG_NOT_A_TASK',
          message: `"${name}" in ${options.origin} is ${value === undefined ? 'undefined' : 'no task'}.`,
          hint: 'Give it a value made by task(), group() or matrix().',
        })
      }
    }
  }

  #register(name: string, task: Task, options: Origin): void {
    // "name" and "alias" share one space, so that a command line means one thing only
    if (!/^[\w@.+][\w@.+,=/-]*(:[\w@.+,=/-]+)*$/.test(name)) {
      throw new DevstackError({
        kind: 'config',
        code: 'CONFIG_BAD_TASK_NAME',
        message: `"${name}" in ${options.origin} is not a usable task name.`,
        hint: 'Use letters, digits and . - _ + @ /, with ":" between namespace and name.',
      })
    }
    checkTask(name, task.definition, options)
    const taken = this.#byName.get(name)
    // a config's own task stands in for a pack's; nothing else may take a name twice
    if (taken && !(options.override && taken.origin.startsWith('pack ')))
      throw duplicate(name, taken.origin, options.origin)
    if (taken) {
      this.#replaced.set(taken.task, task)
      this.#byTask.delete(taken.task)
      for (const [alias, target] of this.#aliases) if (target === name) this.#aliases.delete(alias)
    }
    this.#takeAlias(name, options)
    const { file: _, override: __, ...origin } = options
    const registered = { name, task, ...origin }
    this.#byName.set(name, registered)
    if (!this.#byTask.has(task)) this.#byTask.set(task, registered)
    for (const alias of declaredAliases(registered)) {
      const other = this.#aliases.get(alias) ?? (this.#byName.has(alias) ? alias : undefined)
      if (other !== undefined && other !== name) {
        throw duplicate(alias, `the task "${other}"`, `the aliases of "${name}"`)
      }
      this.#aliases.set(alias, name)
    }
  }

  /** A name that is the alias of another task already: of a pack's it is taken away, as its name would be. */
  #takeAlias(name: string, options: Origin): void {
    const aliased = this.#aliases.get(name)
    if (aliased === undefined) return
    if (!(options.override && this.#byName.get(aliased)?.origin.startsWith('pack '))) {
      throw duplicate(name, `the aliases of "${aliased}"`, options.origin)
    }
    this.#aliases.delete(name)
  }

  nameOf(task: Task): string | undefined {
    return this.#byTask.get(task)?.name
  }

  taskNamed(name: string, from?: Task): Task | undefined {
    let namespace = from && this.#byTask.get(from)?.namespace
    while (namespace) {
      const own = this.find(`${namespace}:${name}`)
      if (own) return own.task
      namespace = namespace.slice(0, Math.max(namespace.lastIndexOf(':'), 0))
    }
    return this.find(name)?.task
  }

  /** The aliases that lead to the task, each with its namespace. */
  aliasesOf(registered: Registered): readonly string[] {
    return declaredAliases(registered).filter((alias) => this.#aliases.get(alias) === registered.name)
  }

  current(task: Task): Task {
    return this.#replaced.get(task) ?? task
  }

  all(): readonly string[] {
    return [...this.#byName.keys()]
  }

  entries(): readonly Registered[] {
    return [...this.#byName.values()]
  }

  find(nameOrAlias: string): Registered | undefined {
    return this.#byName.get(nameOrAlias) ?? this.#byName.get(this.#aliases.get(nameOrAlias) ?? '')
  }

  origin(task: Task): Registered | undefined {
    return this.#byTask.get(task)
  }

  /** The task, or USAGE_UNKNOWN_TASK with the nearest name; private ones count as unknown. */
  require(nameOrAlias: string): Registered {
    const found = this.find(nameOrAlias)
    if (found && !found.task.definition.private) return found
    const names = this.entries()
      .filter(({ task }) => !task.definition.private)
      .flatMap((registered) => [registered.name, ...this.aliasesOf(registered)])
    throw new DevstackError({
      kind: 'usage',
      code: 'USAGE_UNKNOWN_TASK',
      message: `There is no task "${nameOrAlias}".${suggest(nameOrAlias, names)}`,
      hint: 'devstack list shows every task.',
    })
  }
}

function declaredAliases({ task, namespace }: Registered): readonly string[] {
  const aliases: readonly string[] = task.definition.aliases ?? []
  return namespace === undefined ? aliases : aliases.map((alias) => `${namespace}:${alias}`)
}

function isTask(value: unknown): value is Task {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'task'
}

function duplicate(name: string, first: string, second: string): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_DUPLICATE_TASK',
    message: `The task name "${name}" is used twice: in ${first} and in ${second}.`,
    hint: 'Rename one, or put one under a namespace.',
  })
}
