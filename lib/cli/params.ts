/**
 * Params of a task <-> words of the command line. Works from the JSON Schema that a params schema gives of itself (Standard
 * JSON Schema, standardschema.dev), so it does not matter which copy of zod made it; the schema itself has the last word.
 * Words are taken literally: nothing in them is expanded, split at blanks or run.
 */
import type { Names } from '../engine/graph.ts'
import { issuePath, type Json, type Schema, type SchemaIssue } from '../engine/schema.ts'
import type { Task } from '../engine/task.ts'
import { DevstackError, suggest } from '../errors.ts'
import type { Invocation } from './args.ts'
import { commandEntry, optionsOf } from './grammar.ts'
import { collect, type FoundOption, looksLikeOption, type Options, takeOption } from './options.ts'
import { badParam, describeParams, isRecord, nameOf, type Param } from './param.ts'
import { ParamReader } from './param-reader.ts'
import { expectation } from './shape.ts'
import { usage } from './usage.ts'

export interface TaskTarget {
  readonly name: string
  readonly task: Task
  /** What was typed, coerced and JSON-safe; what a journal stores. */
  readonly input: Readonly<Record<string, Json>>
  /** What the schema made of it, defaults filled in. */
  readonly params: Readonly<Record<string, unknown>>
}

/**
 * Reads the words behind the command as tasks with their params, coerces and validates them. devstack's own options among
 * them are added to `options` unless the task has a param of that name. With `--help` among them nothing is validated.
 */
export async function readTargets(
  invocation: Invocation,
  names: Pick<Names, 'taskNamed' | 'all'>,
): Promise<{ readonly options: Options; readonly targets: readonly TaskTarget[] }> {
  const { words } = invocation
  const entry = commandEntry(invocation.command)
  const allowed = entry === undefined ? [] : optionsOf(entry)
  const found: FoundOption[] = []
  const typed: { name: string; task: Task; input: Record<string, Json> }[] = []
  let index = 0
  while (index < words.length) {
    const name = words[index]!
    const task = findTask(name, names)
    index += 1
    // a schema takes its time to describe itself, and nothing is typed that would need it
    const params = index < words.length ? await describeParams(task.definition.params) : []
    const reader = new ParamReader(name, params)
    while (index < words.length) {
      const word = words[index]!
      if (word === '--' && !reader.takesAll) break
      if (!reader.takesAll && looksLikeOption(word)) {
        const used = reader.option(words.slice(index, index + 2))
        if (used > 0) {
          index += used
          continue
        }
        const own = takeOption(words.slice(index, index + 2), allowed)
        if (own === undefined) throw reader.unknown(word)
        found.push(...own.found)
        index += own.used
        continue
      }
      if (!reader.word(word)) {
        if (names.taskNamed(word) !== undefined) break
        throw reader.tooMany(word, names.all())
      }
      index += 1
    }
    typed.push({ name, task, input: reader.values() })
    if (words[index] === '--') {
      index += 1
      if (index === words.length) {
        throw usage('USAGE_TASK_MISSING', 'After -- there must be a task.', 'Leave the -- out, or name the next task.')
      }
    }
  }
  const options = { ...invocation.options, ...collect(found) }
  const targets: TaskTarget[] = []
  for (const { name, task, input } of typed) {
    const schema: Schema | undefined = task.definition.params
    const valid = options.help || !schema ? input : await validateParams({ task: name, schema, input })
    targets.push({ name, task, input, params: valid as Readonly<Record<string, unknown>> })
  }
  return { options, targets }
}

function findTask(name: string, names: Pick<Names, 'taskNamed' | 'all'>): Task {
  const task = names.taskNamed(name)
  if (task === undefined) {
    const hint = looksLikeOption(name) ? 'Name a task first.' : '"devstack list" lists the tasks.'
    throw usage('USAGE_UNKNOWN_TASK', `There is no task "${name}".${suggest(name, names.all())}`, hint)
  }
  if (task.definition.private) {
    throw usage(
      'USAGE_TASK_PRIVATE',
      `The task "${name}" is private.`,
      'It runs when another task needs it; run that one.',
    )
  }
  return task
}

/**
 * Lets the schema validate and complete what was typed. Throws USAGE_PARAM_MISSING or USAGE_BAD_PARAM, which name the
 * param as it is typed; further issues stand in `details`.
 */
export async function validateParams(given: {
  readonly task: string
  readonly schema: Schema
  readonly input: Readonly<Record<string, Json>>
}): Promise<unknown> {
  const { task, schema, input } = given
  const result = await schema['~standard'].validate(input)
  if (!result.issues) return result.value
  const params = await describeParams(schema)
  const [first, ...others] = result.issues.map((issue) => issueError(issue, { task, params, input }))
  if (others.length === 0) throw first!
  throw new DevstackError({
    kind: 'usage',
    code: first!.code,
    message: first!.message,
    hint: first!.hint,
    details: others.map((error) => error.message),
  })
}

function issueError(
  issue: SchemaIssue,
  {
    task,
    params,
    input,
  }: { readonly task: string; readonly params: readonly Param[]; readonly input: Readonly<Record<string, Json>> },
): DevstackError {
  const path = issuePath(issue)
  const hint = `"devstack help ${task}" shows its params.`
  const param = params.find((candidate) => candidate.key === path[0])
  if (param === undefined) {
    const where = path.length === 0 ? '' : ` (${path.join('.')})`
    return usage('USAGE_BAD_PARAM', `The params of ${task} do not fit${where}: ${issue.message}`, hint)
  }
  const value = path.reduce<Json | undefined>(
    (at, key) => (Array.isArray(at) ? at[Number(key)] : isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined),
    input as Json,
  )
  const inner = path.slice(1).filter((key) => !/^\d+$/.test(key))
  const typed = inner.length === 0 ? nameOf(param) : `--${[param.option, ...inner].join('.')}`
  if (value === undefined) {
    const what = param.description ? ` (${param.description})` : ''
    return usage('USAGE_PARAM_MISSING', `${task} needs ${typed}${what}: ${expectation(param.shape)}.`, hint)
  }
  const shape = param.shape.items ?? param.shape
  const generic = /^(invalid|too (small|big)|expected|unrecognized)/i.test(issue.message)
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  if (generic && inner.length === 0 && path.length <= 2) return badParam(task, typed, shape, text)
  return usage('USAGE_BAD_PARAM', `${typed} of ${task}: ${issue.message}, got ${JSON.stringify(text)}.`, hint)
}
