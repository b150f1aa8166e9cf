/** Values of tasks: what flows along edges, into journals and into the cache is what JSON can hold without loss. */
import { describeIssue, type Json, type Schema } from '../engine/schema.ts'
import { DevstackError } from '../errors.ts'

/** Stands in a plan for the value of a task that would run first. */
export const unknownValue = Symbol('a value that nobody knows yet')

/**
 * The value as declared: checked by the task's schema where it has one, and JSON-safe in any case. Throws TASK_BAD_VALUE
 * naming the path of what does not fit (`value.users[3].created is an instance of Date`).
 */
export async function validated(node: string, schema: Schema | undefined, value: unknown): Promise<unknown> {
  let checked = value
  if (schema) {
    const result = await schema['~standard'].validate(value)
    if (result.issues) throw badValue(node, result.issues.map(describeIssue).join('; '))
    checked = result.value
  }
  const problem = checked === undefined ? undefined : unsafe(checked, [])
  if (problem !== undefined) throw badValue(node, `value${problem}`)
  return checked
}

/**
 * What a record holds as the value that it stands for, checked by the schema of today; JSON has one word for null and nothing.
 * Gives what is wrong where it does not fit: such a record is none.
 */
export async function recalled(
  schema: Schema | undefined,
  recorded: Json,
): Promise<{ readonly value: unknown } | { readonly problem: string }> {
  const candidates = recorded === null ? [undefined, null] : [recorded]
  let problem = ''
  for (const value of candidates) {
    if (!schema) return { value }
    const result = await schema['~standard'].validate(value)
    if (!result.issues) return { value: result.value }
    problem = `its recorded value does not fit any more: ${result.issues.map(describeIssue).join('; ')}`
  }
  return { problem }
}

function badValue(node: string, problem: string): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'TASK_BAD_VALUE',
    message: `Task "${node}" returned a value that can not be used: ${problem}.`,
    hint: 'Return plain data (strings, finite numbers, booleans, null, arrays, objects) or nothing.',
  })
}

/** Where and what the first thing is that would be lost. Absent is as good as undefined in an object, not in a list. */
function unsafe(value: unknown, above: object[]): string | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : ` is ${value}`
  if (typeof value === 'bigint') return ` is the bigint ${value}n`
  if (typeof value !== 'object') return value === undefined ? ' is undefined' : ` is a ${typeof value}`
  if (above.includes(value)) return ' refers back to what contains it'
  if (above.length === 1000) return ' is nested more than 1,000 levels deep'
  const prototype: object | null = Object.getPrototypeOf(value)
  // plain data of another realm has an Object.prototype of its own
  if (!Array.isArray(value) && prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    return ` is an instance of ${value.constructor?.name || 'a class'}`
  }
  above.push(value)
  // holes of an array are no entries of it, but lost all the same
  const members = Array.isArray(value) ? value.entries() : Object.entries(value)
  for (const [key, member] of members) {
    if (member === undefined && typeof key === 'string') continue
    const problem = unsafe(member, above)
    if (problem !== undefined) return `${access(key)}${problem}`
  }
  above.pop()
  return undefined
}

function access(key: string | number): string {
  return typeof key === 'string' && /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}
