/** Keeps what flows along edges, into journals and into the cache to what JSON can hold without loss. */
import type { Json } from '../engine/task.ts'
import { DevstackError } from '../errors.ts'

/**
 * A copy of the value as JSON. `undefined` at the top becomes null and absent properties stay absent. Throws
 * VALUE_NOT_JSON naming the path of the first thing that would be lost (`value.users[3].created is a Date`): functions,
 * symbols, bigints, NaN, infinities, dates, maps, class instances, holes, cycles.
 */
export function jsonSafe(value: unknown, name = 'value'): Json {
  if (value === undefined) return null
  return copy(value, name, [])
}

function copy(value: unknown, path: string, above: readonly object[]): Json {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if (typeof value === 'number') return Number.isFinite(value) ? value : refuse(path, String(value))
  if (typeof value !== 'object') return refuse(path, value === undefined ? 'undefined' : nameOfPrimitive(value))
  const cycle = above.indexOf(value)
  if (cycle >= 0) return refuse(path, 'a reference back to what contains it')
  const deeper = [...above, value]
  if (deeper.length > 1_000) return refuse(path, 'nested more than 1,000 levels deep')
  if (Array.isArray(value)) {
    return Array.from(value, (item, index) => copy(item, `${path}[${index}]`, deeper))
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && Object.getPrototypeOf(prototype as object) !== null) {
    return refuse(path, nameOfInstance(value))
  }
  const result: Record<string, Json> = {}
  for (const key of Object.keys(value)) {
    const item = (value as Record<string, unknown>)[key]
    if (item === undefined) continue
    // A plain assignment to __proto__ would change the prototype instead of making a property.
    Object.defineProperty(result, key, {
      value: copy(item, memberPath(path, key), deeper),
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return result
}

function memberPath(path: string, key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
}

function nameOfPrimitive(value: unknown): string {
  if (typeof value === 'function') return value.name ? `the function ${value.name}` : 'a function'
  return typeof value === 'bigint' ? `the bigint ${value}n` : `a ${typeof value}`
}

function nameOfInstance(value: object): string {
  const name = value.constructor?.name
  return name ? `an instance of ${name}` : 'an object with a prototype of its own'
}

function refuse(path: string, what: string): never {
  throw new DevstackError({
    kind: 'task',
    code: 'VALUE_NOT_JSON',
    message: `${path} is ${what}, which JSON can not hold.`,
    hint: 'Return plain objects, arrays, strings, finite numbers, booleans and null; turn the rest into one of these.',
  })
}
