/** Values of tasks: what flows along edges must be what the journal can hold. */
import { DevstackError } from '../errors.ts'
import type { Schema, SchemaIssue } from './task.ts'

/**
 * The value as declared: checked by the task's schema where it has one, and JSON-safe in any case. Throws
 * TASK_BAD_VALUE naming the path of what does not fit.
 */
export async function validated(node: string, schema: Schema | undefined, value: unknown): Promise<unknown> {
  let checked = value
  if (schema) {
    const result = await schema['~standard'].validate(value)
    if (result.issues) throw badValue(node, result.issues.map(describeIssue).join('; '))
    checked = result.value
  }
  if (checked === undefined) return undefined
  const problem = unsafe(checked, [], new Set())
  if (problem) throw badValue(node, problem)
  return checked
}

/** A schema that is made when it is first used, so that no start pays for schemas it never comes to. */
export function lazySchema<T>(make: () => Schema<T>): Schema<T> {
  let made: Schema<T> | undefined
  return {
    '~standard': {
      version: 1,
      vendor: 'devstack',
      validate: (value) => {
        made ??= make()
        return made['~standard'].validate(value)
      },
    },
  }
}

/** `path: message`, for an issue of a Standard Schema. */
export function describeIssue(issue: SchemaIssue): string {
  const path = (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
  return path === '' ? issue.message : `${path}: ${issue.message}`
}

function badValue(node: string, problem: string): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'TASK_BAD_VALUE',
    message: `Task "${node}" returned a value that can not be used: ${problem}.`,
    hint: 'Return plain data (strings, numbers, booleans, null, arrays, objects) or nothing.',
  })
}

/** Names the first thing JSON can not hold; undefined members of objects are allowed, as JSON.stringify drops them. */
function unsafe(value: unknown, path: string[], above: Set<object>): string | undefined {
  const where = path.length === 0 ? 'it' : path.join('.')
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : `${where} is ${value}`
  if (typeof value !== 'object') return `${where} is a ${typeof value}`
  if (above.has(value)) return `${where} refers back to itself`
  above.add(value)
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      if (value[index] === undefined) return `${[...path, String(index)].join('.')} is undefined`
      const problem = unsafe(value[index], [...path, String(index)], above)
      if (problem) return problem
    }
  } else {
    const prototype = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) {
      return `${where} is a ${prototype?.constructor?.name ?? 'special object'}, not plain data`
    }
    for (const [key, member] of Object.entries(value)) {
      if (member === undefined) continue
      const problem = unsafe(member, [...path, key], above)
      if (problem) return problem
    }
  }
  above.delete(value)
  return undefined
}
