import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { DevstackError } from '../../../lib/errors.ts'
import { validated } from '../../../lib/session/value.ts'

async function refusal(value: unknown, schema?: z.ZodType): Promise<string> {
  try {
    await validated('build', schema, value)
  } catch (error) {
    assert.instance(error, DevstackError)
    assert.is((error as DevstackError).code, 'TASK_BAD_VALUE')
    return /used: (.*)\.$/s.exec((error as Error).message)![1]!
  }
  throw new Error('it was expected to be refused')
}

const values = suite('value of a task')

values('may be any JSON, and is passed on as it is', () =>
  fc.assert(
    fc.asyncProperty(fc.jsonValue(), async (value) => {
      assert.is(await validated('build', undefined, value), value)
    }),
  ),
)

values('may be nothing, lack members, have no prototype, and refer to one thing twice', async () => {
  const shared = { a: 1 }
  for (const value of [undefined, { a: undefined, b: 1 }, [shared, shared, Object.create(null)]]) {
    assert.is(await validated('build', undefined, value), value)
  }
})

values('is what the schema makes of it, and names what does not fit', async () => {
  assert.equal(await validated('build', z.object({ port: z.coerce.number() }), { port: '80' }), { port: 80 })
  assert.match(await refusal({ id: 7 }, z.object({ id: z.string() })), /^id: /)
  assert.is(await refusal(1, z.number().transform(BigInt)), 'value is the bigint 1n')
})

values('names the path of what JSON can not hold', async () => {
  const cycle: { self?: unknown } = {}
  cycle.self = [cycle]
  class Client {}
  const sparse = [1]
  sparse[2] = 3
  const cases: readonly [unknown, string][] = [
    [{ users: [{}, { created: new Date(0) }] }, 'value.users[1].created is an instance of Date'],
    [{ 'a b': { c: () => 1 } }, 'value["a b"].c is a function'],
    [{ n: Number.NaN }, 'value.n is NaN'],
    [[Number.POSITIVE_INFINITY], 'value[0] is Infinity'],
    [10n, 'value is the bigint 10n'],
    [Symbol('x'), 'value is a symbol'],
    [[undefined], 'value[0] is undefined'],
    [sparse, 'value[1] is undefined'],
    [new Map(), 'value is an instance of Map'],
    [Buffer.from('x'), 'value is an instance of Buffer'],
    [{ client: new Client() }, 'value.client is an instance of Client'],
    [cycle, 'value.self[0] refers back to what contains it'],
  ]
  for (const [value, problem] of cases) assert.is(await refusal(value), problem)
  let deep: unknown = 1
  for (let level = 0; level < 2_000; level += 1) deep = [deep]
  assert.match(await refusal(deep), 'is nested more than 1,000 levels deep')
})

values.run()
