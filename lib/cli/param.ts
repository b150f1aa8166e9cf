/** The params of a task as the command line knows them, read from the schema. */
import type { Json, Schema } from '../engine/schema.ts'
import { DevstackError, suggest } from '../errors.ts'
import { expectation, readShape, type Shape } from './shape.ts'
import { usage } from './usage.ts'

/** One param as the command line knows it. */
export interface Param {
  /** Key in the params object. */
  readonly key: string
  /** As typed, without the dashes: `toVersion` is `to-version`. */
  readonly option: string
  readonly short?: string
  readonly shape: Shape
  /** A list: give the option again, or separate values by commas. */
  readonly many: boolean
  /** `rest`: takes every word from there on, options too. */
  readonly positional: false | 'one' | 'rest'
  readonly required: boolean
  readonly default?: Json
  readonly description?: string
  readonly choices: readonly string[]
}

/**
 * The params of a schema in the order of their declaration. Empty for `undefined`. Throws PARAMS_NOT_AN_OBJECT for a
 * schema that is not one of an object, since the command line could not name its parts.
 */
export async function describeParams(schema: Schema | undefined): Promise<readonly Param[]> {
  if (schema === undefined) return []
  const root = readShape(await jsonSchemaOf(schema))
  if (!root.properties) {
    throw new DevstackError({
      kind: 'config',
      code: 'PARAMS_NOT_AN_OBJECT',
      message: 'The params of a task must be an object schema.',
      hint: 'Write params: z.object({ ... }).',
    })
  }
  const params: Param[] = []
  const taken = new Set<string>()
  for (const [key, shape] of root.properties) {
    const dashed = kebab(key)
    const option = taken.has(dashed) ? key : dashed
    taken.add(option)
    const { positional, short } = shape.meta
    params.push({
      key,
      option,
      ...(typeof short === 'string' && /^[a-z0-9]$/i.test(short) ? { short } : {}),
      shape,
      many: shape.items !== undefined,
      positional: positional === 'rest' ? 'rest' : positional ? 'one' : false,
      required: root.required.has(key),
      ...(shape.default === undefined ? {} : { default: shape.default }),
      ...(shape.description === undefined ? {} : { description: shape.description }),
      choices: (shape.items ?? shape).choices.map(String),
    })
  }
  return params
}

/** Version 4.2 and later of zod say it themselves; for older ones our own zod reads it off. */
async function jsonSchemaOf(schema: Schema): Promise<unknown> {
  const standard = schema['~standard'] as Schema['~standard'] & {
    readonly jsonSchema?: { input(options: object): unknown }
  }
  try {
    if (standard.jsonSchema) {
      return standard.jsonSchema.input({ target: 'draft-2020-12', libraryOptions: { unrepresentable: 'any' } })
    }
    const { z } = await import('zod')
    return z.toJSONSchema(schema as never, { io: 'input', unrepresentable: 'any' })
  } catch (cause) {
    throw new DevstackError({
      kind: 'config',
      code: 'PARAMS_UNREADABLE',
      message: `The params of a task can not be read from a schema of "${standard.vendor}".`,
      hint: 'Write params: z.object({ ... }) with zod 4.',
      cause,
    })
  }
}

/** A word does not fit a param. */
export function badParam(task: string, typed: string, shape: Shape, text: string): DevstackError {
  const near = shape.open ? '' : suggest(text, shape.choices.map(String))
  const message = `${typed} of ${task} needs ${expectation(shape)}, got ${JSON.stringify(text)}.${near}`
  return usage('USAGE_BAD_PARAM', message, `"devstack help ${task}" shows its params.`)
}

/** How a param is written in a message: `--to`, or `<file>` when it stands alone. */
export function nameOf(param: Param): string {
  return param.positional ? `<${param.option}>` : `--${param.option}`
}

/** Whether it is on or off, and so takes no value. */
export function isBoolean(shape: Shape): boolean {
  return shape.types.includes('boolean') && shape.types.every((type) => type === 'boolean' || type === 'null')
}

/** The options a param is typed with. */
export function optionNames(option: string, shape: Shape): readonly string[] {
  return isBoolean(shape) ? [`--${option}`, `--no-${option}`] : [`--${option}`]
}

/** A JSON object, no list. */
export function isRecord(value: unknown): value is Record<string, Json> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kebab(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, '$1-$2')
    .replace(/[\s_=]+/g, '-')
    .toLowerCase()
}
