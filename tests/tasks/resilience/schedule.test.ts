/** Chaos from a seed: the same seed, the same faults; and the shortest schedule that still fails. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { z } from '../../../lib/index.ts'
import { chaosTask } from '../../../tasks/resilience/chaos.ts'
import { recoveryAfter } from '../../../tasks/resilience/clock.ts'
import { etcdLossTask } from '../../../tasks/resilience/etcd-loss.ts'
import { faultKinds } from '../../../tasks/resilience/fault-kinds.ts'
import { formatStep, randomOf, scheduleOf, shrink } from '../../../tasks/resilience/schedule.ts'
import { namesOf, parseDetails, simulateTask } from '../../../tasks/resilience/simulate.ts'

const test = suite('schedules of chaos')

test('are the same for the same seed, and others for another', () => {
  assert.equal(scheduleOf(7, 60_000), scheduleOf(7, 60_000))
  assert.not.equal(scheduleOf(7, 60_000), scheduleOf(8, 60_000))
  const random = randomOf(1)
  assert.equal(
    Array.from({ length: 3 }, () => Math.floor(random() * 1000)),
    [627, 2, 527],
    'on every machine',
  )
})

test('last about as long as asked for and name faults there are', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 1000, max: 300_000 }), (seed, duration) => {
      const steps = scheduleOf(seed, duration)
      const total = steps.reduce((sum, { forMs, pauseMs }) => sum + forMs + pauseMs, 0)
      assert.ok(total >= duration && total < duration + 11_000)
      for (const { fault } of steps) assert.ok(fault in faultKinds, fault)
    }),
  )
})

test('are told in words', () => {
  const step = { fault: 'loss', target: 'leader', details: { percent: 20 }, forMs: 3210, pauseMs: 500 }
  assert.is(formatStep(step), 'loss leader percent 20 for 3.2 s')
})

test('shrink to the steps that make them fail, in their order', async () => {
  const culprits = fc.uniqueArray(fc.nat(19), { minLength: 1, maxLength: 3 })
  await fc.assert(
    fc.asyncProperty(culprits, async (guilty) => {
      const all = Array.from({ length: 20 }, (_, index) => index)
      const { shortest } = await shrink(all, async (part) => guilty.every((one) => part.includes(one)))
      assert.equal(
        shortest,
        [...guilty].sort((a, b) => a - b),
      )
    }),
  )
})

test('ask no more often than they may, and keep what fails', async () => {
  const asked: number[] = []
  const fails = async (part: readonly number[]): Promise<boolean> => {
    asked.push(part.length)
    return part.includes(3)
  }
  const result = await shrink([1, 2, 3, 4, 5, 6, 7, 8], fails, 2)
  assert.is(result.asked, 2)
  assert.is(asked.length, 2)
  assert.ok(result.shortest.includes(3))
  assert.equal((await shrink([1], async () => true)).shortest, [1])
})

test('end with the shortest so far when the stack does not survive a try', async () => {
  const fails = async (part: readonly number[]): Promise<boolean> => {
    if (part.length < 4) throw new Error('refused')
    return true
  }
  const { shortest, asked, ended } = await shrink([1, 2, 3, 4, 5, 6, 7, 8], fails)
  assert.equal(shortest, [5, 6, 7, 8])
  assert.is(asked, 1)
  assert.is((ended as Error).message, 'refused')
})

test('are no longer than a day, and details of a fault are name=value', () => {
  const refuses = (task: { readonly definition: { readonly params?: unknown } }, input: object): boolean =>
    !(task.definition.params as z.ZodType).safeParse(input).success
  assert.ok(refuses(chaosTask(), { duration: 1e12 }))
  assert.ok(refuses(simulateTask(), { fault: 'kill', for: 1e9 }), 'a timer would end at once')
  assert.ok(refuses(simulateTask(), { fault: 'loss', with: ['percent'] }))
  assert.not.ok(refuses(simulateTask(), { fault: 'loss', for: 300, with: ['percent=30'] }))
  assert.ok(refuses(simulateTask(), { fault: 'kill', service: ' , ' }), 'nobody')
  assert.ok(refuses(etcdLossTask(), { members: 3 }))
})

test('of one fault take details as words, a list where a name is repeated', () => {
  assert.equal(parseDetails(['percent=30', 'path=/data', 'peers=etcd1', 'peers=10.0.0.2']), {
    percent: 30,
    path: '/data',
    peers: ['etcd1', '10.0.0.2'],
  })
  assert.throws(() => parseDetails(['percent']), /is no detail of a fault/)
  assert.equal(namesOf('sentinel2, sentinel3,'), ['sentinel2', 'sentinel3'])
})

test('leave as much time for recovery after a long wait as after a short one', () => {
  assert.is(recoveryAfter(300) - recoveryAfter(10), 290_000)
})

test.run()
