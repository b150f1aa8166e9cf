/** Tasks of a Taskfile.yml (version 3) as draft tasks. */
import { DevstackError } from '../../errors.ts'
import type { Draft, DraftCommand, DraftTask } from './draft.ts'

type Entry = Readonly<Record<string, unknown>>

/**
 * Reads the text of a Taskfile. A task that needs more than commands, dependencies, plain variables and files has its
 * command call `task`: an import may be plain, but never wrong. Throws IMPORT_UNREADABLE for what is no YAML.
 */
export async function importTaskfile(text: string, file = 'Taskfile.yml'): Promise<Draft> {
  const root = await parse(text, file)
  const notes: string[] = []
  const includes = isEntry(root['includes']) ? Object.keys(root['includes']) : []
  if (includes.length > 0) notes.push(`what it includes (${includes.join(', ')}) was not imported.`)
  if (!isEntry(root['tasks'])) notes.push('it has no "tasks"; Taskfiles of version 3 can be imported.')
  const entries = isEntry(root['tasks']) ? root['tasks'] : {}
  const globals = variablesOf(root['vars'])
  const environment = stringsOf(root['env'])
  const known = new Set(Object.keys(entries))
  const tasks: DraftTask[] = []
  for (const [name, raw] of Object.entries(entries)) {
    if (name.includes('*')) {
      notes.push(`the pattern task "${name}" was not imported; a task has one name.`)
      continue
    }
    tasks.push(toTask(name, raw, { file, globals, environment, known }))
    if (JSON.stringify(raw)?.includes('.CLI_ARGS')) {
      notes.push(
        `"${name}" took what stands behind -- ({{.CLI_ARGS}}), which is left out; give the task params for it.`,
      )
    }
  }
  return { source: 'taskfile', file, tasks, notes }
}

async function parse(text: string, file: string): Promise<Entry> {
  const { LineCounter, parseDocument } = await import('yaml')
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { lineCounter })
  const [error] = document.errors
  const fail = (message: string, line?: number, column?: number) =>
    new DevstackError({
      kind: 'config',
      code: 'IMPORT_UNREADABLE',
      message: `${file} can not be read: ${message}`,
      hint: 'Correct it, or choose what to import with --from.',
      place: { file, line, column, text: line === undefined ? undefined : text.split(/\r?\n/)[line - 1] },
    })
  if (error) {
    const { line, col } = lineCounter.linePos(error.pos[0])
    throw fail(error.message.split('\n', 1)[0]!.replace(/ at line \d+, column \d+:?$/, '.'), line, col)
  }
  let value: unknown
  try {
    // The limit keeps aliases that multiply each other from filling the memory.
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause))
  }
  if (value !== null && !isEntry(value)) throw fail('it is no mapping.')
  return isEntry(value) ? value : {}
}

interface Surroundings {
  readonly file: string
  readonly globals: ReadonlyMap<string, string | undefined>
  readonly environment: Readonly<Record<string, string>>
  readonly known: ReadonlySet<string>
}

function toTask(name: string, raw: unknown, around: Surroundings): DraftTask {
  const entry: Entry = isEntry(raw) ? raw : { cmds: Array.isArray(raw) ? raw : raw === null ? [] : [raw] }
  const variables = new Map([...around.globals, ['TASK', name] as const, ...variablesOf(entry['vars'])])
  const description = textOf(entry['desc']) ?? textOf(entry['summary'])?.split('\n', 1)[0]
  const common = {
    name,
    ...(description ? { description } : {}),
    ...(Array.isArray(entry['aliases']) ? { aliases: entry['aliases'].map(String) } : {}),
    ...(entry['internal'] === true ? { private: true } : {}),
  }
  let reason: string | undefined
  const fill = (text: string): string => {
    const filled = template(text, variables)
    if (typeof filled === 'string') return filled
    reason ??= filled.reason
    return text
  }
  for (const key of Object.keys(entry)) {
    if (!understood.has(key)) reason ??= `it uses "${key}"`
  }
  const needs: string[] = []
  for (const dependency of list(entry['deps'])) {
    const needed = typeof dependency === 'string' ? dependency : plainCall(dependency)
    if (needed !== undefined && around.known.has(needed)) needs.push(needed)
    else reason ??= 'it needs a task with variables, or one of another file'
  }
  const commands: DraftCommand[] = []
  for (const [index, command] of list(entry['cmds'] ?? entry['cmd']).entries()) {
    const called = plainCall(command)
    if (typeof command === 'string') commands.push({ line: fill(command).trim() })
    // The first call runs before everything else, so it is a need; but needs run at once, so only when there is no other.
    else if (called !== undefined && around.known.has(called) && index === 0 && needs.length === 0) needs.push(called)
    else if (isEntry(command) && typeof command['cmd'] === 'string' && !('platforms' in command)) {
      const tolerant = command['ignore_error'] === true ? { tolerant: true } : {}
      commands.push({ line: fill(command['cmd']).trim(), ...tolerant })
    } else reason ??= 'its commands call tasks in an order that needs do not keep'
  }
  const isTolerant = entry['ignore_error'] === true
  const cwd = textOf(entry['dir'])
  const inputs = list(entry['sources'])
  const outputs = list(entry['generates'])
  const env = { ...around.environment, ...stringsOf(entry['env']) }
  if ([...inputs, ...outputs].some((item) => typeof item !== 'string')) reason ??= 'its files are more than patterns'
  const filled = {
    ...(cwd === undefined ? {} : { cwd: fill(cwd) }),
    ...(inputs.length > 0 ? { inputs: inputs.map((item) => fill(String(item))) } : {}),
    ...(outputs.length > 0 ? { outputs: outputs.map((item) => fill(String(item))) } : {}),
    ...(commands.length > 0 && Object.keys(env).length > 0
      ? { env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, fill(value)])) }
      : {}),
  }
  if (reason !== undefined) {
    return { ...common, needs: [], commands: [{ line: `task ${name}` }], notes: [`Left to Taskfile: ${reason}.`] }
  }
  const lines = commands
    .filter(({ line }) => line !== '')
    .map((line) => (isTolerant ? { ...line, tolerant: true } : line))
  return { ...common, ...filled, needs, commands: lines }
}

const understood = new Set(
  'desc summary aliases internal deps cmds cmd sources generates dir env vars silent ignore_error method prefix'.split(
    ' ',
  ),
)

/** The task that `{ task: name }` calls without variables. */
function plainCall(value: unknown): string | undefined {
  if (!isEntry(value) || typeof value['task'] !== 'string') return undefined
  return Object.keys(value).every((key) => key === 'task' || key === 'silent') ? value['task'] : undefined
}

/** `{{.NAME}}` filled in; an object with the reason where a template does more. */
function template(text: string, variables: ReadonlyMap<string, string | undefined>): string | { reason: string } {
  let reason: string | undefined
  const filled = text.replace(/\{\{-?\s*(.*?)\s*-?\}\}/gs, (whole, inner: string) => {
    const name = /^\.(\w+)$/.exec(inner)?.[1]
    // What the user would have passed behind `--` is nothing here.
    if (name === 'CLI_ARGS') return ''
    const value = name === undefined ? undefined : variables.get(name)
    if (value === undefined || value.includes('{{')) reason ??= `it uses ${whole}`
    return value ?? whole
  })
  return reason === undefined ? filled : { reason }
}

/** Plain ones with their text; those that a shell computes with `undefined`. */
function variablesOf(value: unknown): ReadonlyMap<string, string | undefined> {
  if (!isEntry(value)) return new Map()
  return new Map(Object.entries(value).map(([name, one]) => [name, textOf(one)]))
}

function stringsOf(value: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(
    [...variablesOf(value)].filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined
}

function list(value: unknown): readonly unknown[] {
  return value === undefined || value === null ? [] : Array.isArray(value) ? value : [value]
}

function isEntry(value: unknown): value is Entry {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
