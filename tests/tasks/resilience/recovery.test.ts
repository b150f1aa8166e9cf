/** When a stack counts as recovered. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DevstackError } from '../../../lib/index.ts'
import { now } from '../../../tasks/resilience/clock.ts'
import type { RunningLoad } from '../../../tasks/resilience/load.ts'
import { loadNamed, newLeader, writesFlow } from '../../../tasks/resilience/recovery.ts'

const test = suite('recovery')
const { signal } = new AbortController()

function load(name: string): RunningLoad {
  const all = [0, 250, 500, 750].map((before, id) => ({ id, at: now() - before, ms: 1 }))
  const lanes = [{ member: 'b', spans: [{ from: 0, to: 1, state: 'leads' }] }]
  return { name, ledger: { all }, lanes } as unknown as RunningLoad
}

test('is when writes of the loads flow, and another member leads', async () => {
  await writesFlow([load('a'), load('b')], { forMs: 0, signal })
  await writesFlow([load('a')], { forMs: 0, load: 'a', signal })
  assert.is(await newLeader([load('a')], { old: 'a', load: 'a', signal }), 'b')
})

test('of a load that is not there is nothing to wait for', async () => {
  for (const wait of [
    async () => writesFlow([load('redis')], { forMs: 0, load: 'rediss', signal }),
    async () => newLeader([load('redis')], { old: 'x', load: 'rediss', signal }),
    async () => loadNamed([load('redis')], 'rediss'),
  ]) {
    const thrown: DevstackError = await wait().then(
      () => assert.unreachable('it resolved') as never,
      (error) => error,
    )
    assert.is(thrown.code, 'EXPERIMENT_NO_LOAD')
    assert.match(thrown.message, /no load "rediss"\. Did you mean "redis"/)
  }
})

test.run()
