import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DevstackError } from '../../../lib/errors.ts'
import { jsonSafe } from '../../../lib/state/values.ts'

function refusal(value: unknown): string {
  try {
    jsonSafe(value)
  } catch (error) {
    assert.is((error as DevstackError).code, 'VALUE_NOT_JSON')
    return (error as Error).message
  }
  throw new Error('it was expected to be refused')
}

const values = suite('jsonSafe')

values('gives any JSON back as it is', () =>
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // Minus zero has no JSON of its own.
      assert.is(JSON.stringify(jsonSafe(value)), JSON.stringify(value))
    }),
  ),
)

values('takes undefined for null at the top and for absent in an object', () => {
  assert.is(jsonSafe(undefined), null)
  assert.equal(jsonSafe({ a: undefined, b: 1 }), { b: 1 })
})

values('keeps a property named __proto__ a property', () => {
  const copy = jsonSafe(JSON.parse('{"__proto__":{"admin":true}}')) as { admin?: boolean }
  assert.is(JSON.stringify(copy), '{"__proto__":{"admin":true}}')
  assert.is(copy.admin, undefined)
})

values('takes objects without prototype and shared references', () => {
  const shared = { a: 1 }
  assert.equal(jsonSafe([shared, shared, Object.assign(Object.create(null), { b: 2 })]), [{ a: 1 }, { a: 1 }, { b: 2 }])
})

values('names the path of what JSON can not hold', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = [cycle]
  class Client {}
  const sparse = [1]
  sparse[2] = 3
  const cases: readonly [unknown, string][] = [
    [{ users: [{}, { created: new Date(0) }] }, 'value.users[1].created is an instance of Date,'],
    [{ 'a b': { c: () => 1 } }, 'value["a b"].c is the function c,'],
    [{ n: Number.NaN }, 'value.n is NaN,'],
    [[Number.POSITIVE_INFINITY], 'value[0] is Infinity,'],
    [10n, 'value is the bigint 10n,'],
    [Symbol('x'), 'value is a symbol,'],
    [[undefined], 'value[0] is undefined,'],
    [sparse, 'value[1] is undefined,'],
    [new Map(), 'value is an instance of Map,'],
    [Buffer.from('x'), 'value is an instance of Buffer,'],
    [{ client: new Client() }, 'value.client is an instance of Client,'],
    [cycle, 'value.self[0] is a reference back'],
  ]
  for (const [value, message] of cases) assert.ok(refusal(value).startsWith(message), refusal(value))
  let deep: unknown = 1
  for (let level = 0; level < 2_000; level += 1) deep = [deep]
  assert.match(refusal(deep), 'nested more than 1,000 levels deep')
})

values.run()
