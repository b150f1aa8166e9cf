/** Params of a needed task: checked by its schema, and what of them tells one node of the task from another. */
import { DevstackError, suggest } from '../errors.ts'
import { describeIssue, issuePath } from './schema.ts'
import type { AnyDefinition } from './task.ts'

export type Params = Readonly<Record<string, unknown>>

/** The params that are not at their defaults, as JSON: the same task with the same ones is one node. */
export function givenParams(params: Params, defaults: Params): [key: string, text: string][] {
  return Object.keys(params).flatMap((key) => {
    const text = JSON.stringify(params[key])
    return text === undefined || text === JSON.stringify(defaults[key]) ? [] : [[key, text]]
  })
}

/** What the schema adds to the params that it requires. */
export async function defaultsOf({ params: schema }: AnyDefinition, params: Params): Promise<Params> {
  if (!schema) return {}
  const { validate } = schema['~standard']
  const bare = await validate({})
  if (!bare.issues) return bare.value as Params
  const required = new Set(bare.issues.map((issue) => issuePath(issue)[0]))
  const result = await validate(Object.fromEntries(Object.entries(params).filter(([key]) => required.has(key))))
  if (result.issues) return {}
  return Object.fromEntries(Object.entries(result.value as object).filter(([key]) => !required.has(key)))
}

/** The params as the schema of a needed task makes them. Throws CONFIG_BAD_PARAMS. */
export async function validParams(name: string, definition: AnyDefinition, params: Params): Promise<Params> {
  const { validate } = definition.params!['~standard']
  const result = await validate(params)
  const unfit = (why: string, hint: string): DevstackError =>
    new DevstackError({
      kind: 'config',
      code: 'CONFIG_BAD_PARAMS',
      message: `The params given to the needed task "${name}" do not fit: ${why}.`,
      hint,
    })
  if (result.issues) {
    const remedy = 'Give them with after(task, { params: { ... } }), or give the param a default.'
    throw unfit(result.issues.map(describeIssue).join('; '), remedy)
  }
  const value = result.value as Params
  for (const key of Object.keys(params)) {
    if (key in value || params[key] === undefined) continue
    // a schema that renames it makes something of it; one that drops it does not know it
    const { [key]: _, ...others } = params
    const without = await validate(others)
    if (without.issues || JSON.stringify(without.value) !== JSON.stringify(value)) continue
    throw unfit(
      `it has no param "${key}"${suggest(key, Object.keys(value))}`,
      `devstack help ${name} lists its params.`,
    )
  }
  return value
}
