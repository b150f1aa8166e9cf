import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type FailureMode, type Schedulable, Scheduler } from '../../../lib/engine/scheduler.ts'
import { dag, type Shape } from './graphs.ts'

const test = suite('scheduler')

const modes = fc.constantFrom<FailureMode>('fail-fast', 'keep-going', 'kill')

function nodesOf(shape: Shape, costs: readonly number[] = []): Schedulable[] {
  return shape.needs.map((needs, index) => ({
    id: String(index),
    needs: needs.map((need, at) => ({ node: String(need), optional: shape.optional[index]![at] ?? false })),
    weight: shape.weights[index]!,
    locks:
      shape.locks[index] === undefined ? [] : [{ name: shape.locks[index]!, size: shape.sizes[shape.locks[index]!]! }],
    cost: costs[index] ?? 1,
  }))
}

/** Plays a schedule: `pick` says which running node ends next, or comes to its gate. */
function play(
  shape: Shape,
  options: { concurrency: number; mode: FailureMode; pick: (running: readonly string[]) => number; stopAfter?: number },
) {
  const scheduler = new Scheduler(nodesOf(shape), options)
  const running: string[] = []
  const finals = new Map<string, string>()
  const finish = (id: string, state: string): void => {
    assert.not.ok(finals.has(id), `${id} ended twice`)
    finals.set(id, state)
  }
  const atGate = new Set<string>()
  let steps = 0
  let stopped = false
  while (!scheduler.finished) {
    for (const id of scheduler.ready()) {
      assert.not.ok(finals.has(id) || running.includes(id), `${id} started twice`)
      assert.not.ok(stopped, `${id} started after the stop`)
      shape.needs[Number(id)]!.forEach((need, at) => {
        const end = finals.get(String(need))
        if (shape.optional[Number(id)]![at]) assert.ok(end, `${id} started before ${need} ended`)
        else assert.is(end, 'succeeded')
      })
      running.push(id)
      for (const [lock, size] of Object.entries(shape.sizes)) {
        const holders = running.filter((one) => shape.locks[Number(one)] === lock)
        assert.ok(holders.length <= size, `${holders.length} holders of a lock for ${size}`)
      }
      const working = running.filter((one) => !atGate.has(one))
      const slots = working.reduce((sum, one) => sum + Math.min(shape.weights[Number(one)]!, options.concurrency), 0)
      assert.ok(slots <= options.concurrency, `${slots} slots of ${options.concurrency}`)
    }
    if (scheduler.finished) break
    assert.ok(running.length > 0, 'deadlock')
    steps += 1
    if (options.stopAfter === steps) {
      stopped = true
      for (const { node } of scheduler.stop('cancelled')) finish(node, 'cancelled')
    }
    const next = options.pick(running) % running.length
    if (!stopped && shape.gates[Number(running[next])] && !atGate.has(running[next]!)) {
      atGate.add(running[next]!)
      scheduler.releaseSlot(running[next]!)
      continue
    }
    const [id] = running.splice(next, 1)
    const outcome = stopped ? 'cancelled' : shape.fails[Number(id)] ? 'failed' : 'succeeded'
    finish(id!, outcome)
    for (const { node } of scheduler.settled(id!, outcome)) finish(node, 'cancelled')
  }
  assert.is(running.length, 0)
  assert.is(finals.size, shape.needs.length, 'every node has one final state')
  return finals
}

test('needs, limits, locks and single runs hold for any graph, order and mode', () => {
  fc.assert(
    fc.property(
      dag(),
      fc.integer({ min: 1, max: 4 }),
      modes,
      fc.infiniteStream(fc.nat()),
      (shape, concurrency, mode, stream) => {
        play(shape, { concurrency, mode, pick: () => stream.next().value })
      },
    ),
    { numRuns: 400 },
  )
})

test('a failure reaches exactly its dependents in keep-going', () => {
  fc.assert(
    fc.property(dag(), fc.infiniteStream(fc.nat()), (shape, stream) => {
      const finals = play(shape, { concurrency: 2, mode: 'keep-going', pick: () => stream.next().value })
      shape.needs.forEach((needs, index) => {
        const required = needs.filter((_, at) => !shape.optional[index]![at])
        const spoiled = required.some((need) => finals.get(String(need)) !== 'succeeded')
        const expected = spoiled ? 'cancelled' : shape.fails[index] ? 'failed' : 'succeeded'
        assert.is(finals.get(String(index)), expected)
      })
    }),
    { numRuns: 300 },
  )
})

test('a stop at any step ends with nothing running and everything final', () => {
  fc.assert(
    fc.property(dag(), fc.nat({ max: 12 }), fc.infiniteStream(fc.nat()), (shape, stopAfter, stream) => {
      play(shape, { concurrency: 3, mode: 'fail-fast', pick: () => stream.next().value, stopAfter: stopAfter + 1 })
    }),
    { numRuns: 300 },
  )
})

test('a heavy node is not starved by light ones', () => {
  const scheduler = new Scheduler(
    [
      { id: 'light', needs: [], weight: 1, locks: [], cost: 9 },
      { id: 'heavy', needs: [], weight: 2, locks: [], cost: 5 },
      { id: 'later', needs: [], weight: 1, locks: [], cost: 1 },
    ],
    { concurrency: 2, mode: 'fail-fast' },
  )
  assert.equal(scheduler.ready(), ['light'])
  scheduler.settled('light', 'succeeded')
  assert.equal(scheduler.ready(), ['heavy'])
})

test('says what each node waits for', () => {
  const scheduler = new Scheduler(
    [
      { id: 'a', needs: [], weight: 1, locks: [{ name: 'db', size: 1 }], cost: 3 },
      { id: 'b', needs: [], weight: 1, locks: [{ name: 'db', size: 1 }], cost: 2 },
      { id: 'c', needs: [{ node: 'a', optional: false }], weight: 1, locks: [], cost: 1 },
      { id: 'd', needs: [], weight: 1, locks: [], cost: 1 },
      { id: 'e', needs: [], weight: 1, locks: [], cost: 1 },
    ],
    { concurrency: 2, mode: 'fail-fast' },
  )
  assert.equal(scheduler.ready(), ['a', 'd'])
  assert.equal(scheduler.takeParked(), [{ node: 'b', hold: { for: 'lock', lock: 'db', holders: ['a'] } }])
  assert.equal(
    ['a', 'b', 'c', 'e'].map((id) => [id, scheduler.hold(id)]),
    [
      ['a', undefined],
      ['b', { for: 'lock', lock: 'db', holders: ['a'] }],
      ['c', { for: 'needs', nodes: ['a'] }],
      ['e', { for: 'slot' }],
    ],
  )
})

test('an optional need releases its dependent after a failure, too', () => {
  for (const mode of ['keep-going', 'fail-fast', 'kill'] as const) {
    const node = (id: string, needs: string, optional: boolean): Schedulable => {
      return { id, needs: needs ? [{ node: needs, optional }] : [], weight: 1, locks: [], cost: 1 }
    }
    const other = node('other', 'b', false)
    const scheduler = new Scheduler([node('a', '', false), node('b', 'a', true), other], { concurrency: 1, mode })
    scheduler.ready()
    assert.equal(scheduler.settled('a', 'failed'), [], mode)
    assert.not(scheduler.stopped)
    assert.equal(scheduler.ready(), ['b'])
    scheduler.settled('b', 'succeeded')
    assert.equal(scheduler.ready(), ['other'])
    // a gate stands between the two
    const gated = new Scheduler([node('a', '', false), node('a until up', 'a', false), node('b', 'a until up', true)], {
      concurrency: 1,
      mode,
    })
    gated.ready()
    const cancelled = gated.settled('a', 'failed')
    assert.equal(
      cancelled.map(({ node }) => node),
      ['a until up'],
    )
    assert.equal(gated.ready(), ['b'])
  }
})

test('a need that one requires and another does not stops a run that fails fast', () => {
  const needs = (optional: boolean): Schedulable['needs'] => [{ node: 'a', optional }]
  const scheduler = new Scheduler(
    [
      { id: 'a', needs: [], weight: 1, locks: [], cost: 1 },
      { id: 'b', needs: needs(true), weight: 1, locks: [], cost: 1 },
      { id: 'c', needs: needs(false), weight: 1, locks: [], cost: 1 },
    ],
    { concurrency: 1, mode: 'fail-fast' },
  )
  scheduler.ready()
  assert.equal(
    scheduler
      .settled('a', 'failed')
      .map(({ node }) => node)
      .sort(),
    ['b', 'c'],
  )
  assert.ok(scheduler.stopped)
})

/** The shortest possible makespan, by trying every choice. For graphs of a few nodes. */
function optimum(needs: readonly (readonly number[])[], costs: readonly number[], slots: number): number {
  const size = needs.length
  let best = costs.reduce((sum, cost) => sum + cost, 0)
  const visit = (done: number, running: readonly { index: number; until: number }[], now: number): void => {
    if (now >= best) return
    if (done === (1 << size) - 1) {
      best = now
      return
    }
    const busy = new Set(running.map(({ index }) => index))
    const ready = needs.flatMap((list, index) =>
      !(done & (1 << index)) && !busy.has(index) && list.every((need) => done & (1 << need)) ? [index] : [],
    )
    const free = slots - running.length
    const advance = (next: readonly { index: number; until: number }[]): void => {
      if (next.length === 0) return
      const until = Math.min(...next.map((one) => one.until))
      const ended = next.filter((one) => one.until === until)
      visit(
        ended.reduce((mask, { index }) => mask | (1 << index), done),
        next.filter((one) => one.until !== until),
        until,
      )
    }
    const choose = (from: number, chosen: readonly number[]): void => {
      advance([...running, ...chosen.map((index) => ({ index, until: now + costs[index]! }))])
      if (chosen.length === free) return
      for (let at = from; at < ready.length; at += 1) choose(at + 1, [...chosen, ready[at]!])
    }
    choose(0, [])
  }
  visit(0, [], 0)
  return best
}

function makespan(needs: readonly (readonly number[])[], costs: readonly number[], slots: number): number {
  const size = needs.length
  const shape: Shape = {
    needs,
    fails: Array(size).fill(false),
    locks: Array(size).fill(undefined),
    weights: Array(size).fill(1),
    sizes: {},
    optional: Array(size).fill([]),
    gated: Array(size).fill([]),
    gates: Array(size).fill(false),
  }
  const scheduler = new Scheduler(nodesOf(shape, costs), { concurrency: slots, mode: 'fail-fast' })
  const running: { id: string; until: number }[] = []
  let now = 0
  while (!scheduler.finished) {
    for (const id of scheduler.ready()) running.push({ id, until: now + costs[Number(id)]! })
    running.sort((a, b) => a.until - b.until)
    const next = running.shift()!
    now = next.until
    scheduler.settled(next.id, 'succeeded')
  }
  return now
}

test('the makespan is within Graham’s bound of the optimum, and mostly the optimum itself', () => {
  const ratios: number[] = []
  fc.assert(
    fc.property(
      // few needs leave the order open, and durations that differ make it matter
      dag(8, 1).filter(({ needs }) => needs.length >= 5),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 8, maxLength: 8 }),
      fc.integer({ min: 2, max: 3 }),
      (shape, costs, slots) => {
        const ratio = makespan(shape.needs, costs, slots) / optimum(shape.needs, costs, slots)
        ratios.push(ratio)
        // Graham 1966: any list schedule is at most 2 - 1/m times the optimum
        assert.ok(ratio <= 2 - 1 / slots + 1e-9, `ratio ${ratio}`)
      },
    ),
    { numRuns: 150 },
  )
  const exact = ratios.filter((ratio) => ratio === 1).length / ratios.length
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length
  console.log(
    `makespan / optimum: mean ${mean.toFixed(3)}, worst ${Math.max(...ratios).toFixed(3)}, optimal in ${Math.round(exact * 100)} %`,
  )
  assert.ok(mean < 1.05)
})

test.run()
