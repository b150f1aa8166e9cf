/** What an importer found, before it is written as TypeScript. */

/** One command line; `tolerant`: its failure does not matter. */
export interface DraftCommand {
  readonly line: string
  readonly tolerant?: boolean
}

export interface DraftTask {
  /** As in the file it came from. */
  readonly name: string
  readonly description?: string
  /** Names of tasks of the same source. */
  readonly needs: readonly string[]
  readonly commands: readonly DraftCommand[]
  /** Runs the commands in place of `/bin/sh`, for instance `bash`. */
  readonly shell?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly inputs?: readonly string[]
  readonly outputs?: readonly string[]
  readonly aliases?: readonly string[]
  readonly platforms?: readonly string[]
  readonly private?: boolean
  /** Written above the task as comments. */
  readonly notes?: readonly string[]
}

/** What one file gave. */
export interface Draft {
  readonly source: 'package.json' | 'makefile' | 'compose' | 'taskfile'
  /** Name of the file, relative to the project. */
  readonly file: string
  readonly tasks: readonly DraftTask[]
  /** What was left out, and why. */
  readonly notes: readonly string[]
}

/** The name as devstack takes it: letters, digits and `. - _ + @ /`, `:` between namespace and name. */
export function usableName(name: string): string {
  const parts = name
    .split(':')
    .map((part) => part.replace(/[^\w@.+,=/-]+/g, '-').replace(/^-+|-+$/g, ''))
    .filter((part) => part !== '')
  const usable = parts.join(':').replace(/^[-,=/:]+/, '')
  return usable === '' ? 'task' : usable
}

const reserved = new Set(
  (
    'await break case catch class const continue debugger default delete do else enum export extends false finally for ' +
    'function if implements import in instanceof interface let new null package private protected public return static ' +
    'super switch this throw true try typeof var void while with yield arguments eval async undefined NaN Infinity ' +
    'task group command compose defineConfig env exec process console'
  ).split(' '),
)

/** A JavaScript identifier for the name that is none of `taken`, to which it is added. */
export function identifierFor(name: string, taken: Set<string>): string {
  const words = name.split(/[^A-Za-z0-9]+/).filter((word) => word !== '')
  const camel = words
    .map((word, index) =>
      index === 0 ? word[0]!.toLowerCase() + word.slice(1) : word[0]!.toUpperCase() + word.slice(1),
    )
    .join('')
  const base =
    camel === ''
      ? 'unnamed'
      : /^\d/.test(camel) || reserved.has(camel)
        ? `task${camel[0]!.toUpperCase()}${camel.slice(1)}`
        : camel
  let identifier = base
  for (let count = 2; taken.has(identifier); count += 1) identifier = `${base}${count}`
  taken.add(identifier)
  return identifier
}

/**
 * The tasks with every need before whoever needs it, else in their order. Needs on unknown tasks go; a need that closes a
 * cycle goes too, as make drops it, and a note says so.
 */
export function inOrder(tasks: readonly DraftTask[]): readonly DraftTask[] {
  const byName = new Map(tasks.map((task) => [task.name, task]))
  const state = new Map<string, 'open' | 'done'>()
  const ordered: DraftTask[] = []
  // An explicit stack: a generated Makefile may be a chain of thousands.
  for (const root of tasks) {
    const stack: { task: DraftTask; next: number; needs: string[]; dropped: string[] }[] = []
    const enter = (task: DraftTask) => {
      state.set(task.name, 'open')
      stack.push({ task, next: 0, needs: [], dropped: [] })
    }
    if (!state.has(root.name)) enter(root)
    while (stack.length > 0) {
      const frame = stack.at(-1)!
      const need = frame.task.needs[frame.next]
      if (need === undefined) {
        const { task, needs, dropped } = frame
        const notes = [...(task.notes ?? []), ...dropped.map((name) => `The need on "${name}" would close a cycle.`)]
        ordered.push({ ...task, needs: [...new Set(needs)], ...(notes.length > 0 ? { notes } : {}) })
        state.set(task.name, 'done')
        stack.pop()
        continue
      }
      const target = byName.get(need)
      if (target === undefined) frame.next += 1
      else if (state.get(need) === 'open') {
        frame.dropped.push(need)
        frame.next += 1
      } else if (state.get(need) === 'done') {
        frame.needs.push(need)
        frame.next += 1
      } else enter(target)
    }
  }
  return ordered
}
