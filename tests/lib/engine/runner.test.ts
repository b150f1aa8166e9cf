import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Host } from '../../../lib/engine/host.ts'
import { type RunOptions, run } from '../../../lib/engine/runner.ts'
import type { FailureMode } from '../../../lib/engine/scheduler.ts'
import { after, createTask, type Gate, type Task } from '../../../lib/engine/task.ts'
import { DevstackError } from '../../../lib/errors.ts'
import { dag, finals, graphOf, memoryHost, type Shape, tasksOf } from './graphs.ts'

const test = suite('runner')

const options = (more: Partial<RunOptions> = {}): RunOptions => ({
  runId: 'r',
  concurrency: 2,
  mode: 'fail-fast',
  signal: new AbortController().signal,
  ...more,
})

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function runTasks(tasks: Record<string, Task>, more: Partial<RunOptions> = {}, host: Partial<Host> = {}) {
  const { host: memory, events } = memoryHost(host)
  const result = await run(await graphOf(tasks), options(more), memory)
  return { result, events, finals: finals(events) }
}

test('values flow along edges under the names of the needs', async () => {
  const image = createTask({ run: () => ({ tag: 'api:1' }) })
  const count = createTask({ run: async () => 2 })
  let seen: unknown
  const deploy = createTask({
    needs: { image, replicas: count },
    run: ({ needs }) => {
      seen = { ...needs }
    },
  })
  const { result } = await runTasks({ image, count, deploy: deploy as Task })
  assert.is(result.state, 'succeeded')
  assert.equal(seen, { image: { tag: 'api:1' }, replicas: 2 })
  assert.equal(result.completed, ['image', 'count', 'deploy'])
})

/** Tasks, and the gates on edges, which are nodes too. */
function nodesIn({ needs, gated }: Shape): number {
  return needs.reduce((sum, list, index) => sum + 1 + list.filter((_, at) => gated[index]![at]).length, 0)
}

test('any graph, any failures, any mode: one final state each, needs first, dependents cancelled', async () => {
  await fc.assert(
    fc.asyncProperty(
      dag(10),
      fc.integer({ min: 1, max: 4 }),
      fc.constantFrom<FailureMode>('fail-fast', 'keep-going', 'kill'),
      fc.array(fc.nat({ max: 3 }), { minLength: 10, maxLength: 10 }),
      async (shape, concurrency, mode, delays) => {
        const done = new Set<number>()
        const held = new Set<string>()
        let running = 0
        const tasks = tasksOf(
          shape,
          async (index) => {
            running += 1
            shape.needs[index]!.forEach((need, at) => {
              const gate = shape.gated[index]![at] ? `n${need} for n${index}` : undefined
              const gates = [...(shape.gates[need] ? [`n${need}`] : []), ...(gate ? [gate] : [])]
              const released = done.has(need) && gates.every((description) => held.has(description))
              assert.ok(released || shape.optional[index]![at])
            })
            for (let turn = 0; turn < delays[index]!; turn += 1) await tick()
            running -= 1
            if (shape.fails[index]) throw new Error('broken')
            done.add(index)
          },
          (description) => void held.add(description),
        )
        const { result, events, finals: states } = await runTasks(tasks, { concurrency, mode })
        const told = new Set<string | undefined>()
        for (const { type, node } of events) {
          if (type === 'node-done') told.add(node)
          // what the journal knows after a kill includes whatever dependents have seen
          if (type === 'node-started')
            shape.needs[Number(node!.slice(1))]!.forEach((need, at) => {
              assert.ok(told.has(`n${need}`) || shape.optional[Number(node!.slice(1))]![at])
            })
        }
        assert.is(running, 0)
        assert.is(states.size, nodesIn(shape))
        for (const [node, ends] of states) assert.is(ends.length, 1, `${node}: ${ends}`)
        const failed = [...states.values()].some(([state]) => state === 'failed')
        assert.is(result.state, failed ? 'failed' : 'succeeded')
        const { summary } = result
        assert.is(summary.done + summary.failed + summary.cancelled, nodesIn(shape))
      },
    ),
    { numRuns: 100 },
  )
})

test('abort at any step ends with nothing running', async () => {
  await fc.assert(
    fc.asyncProperty(dag(8), fc.nat({ max: 12 }), async (shape, turns) => {
      const controller = new AbortController()
      let running = 0
      const tasks = tasksOf({ ...shape, fails: shape.fails.map(() => false) }, async () => {
        running += 1
        for (let turn = 0; turn < 3; turn += 1) await tick()
        running -= 1
      })
      const { host, events } = memoryHost()
      const ended = run(await graphOf(tasks), options({ signal: controller.signal }), host)
      for (let turn = 0; turn < turns; turn += 1) await tick()
      controller.abort()
      const result = await ended
      assert.is(running, 0)
      // a run may be over before the abort comes
      const allDone = result.summary.done === nodesIn(shape)
      assert.ok(result.state === 'cancelled' || allDone, result.state)
      assert.is(finals(events).size, nodesIn(shape))
    }),
    { numRuns: 60 },
  )
})

test('retries with backoff, tells each try, and succeeds', async () => {
  let tries = 0
  const flaky = createTask({
    retry: { attempts: 3, delay: 1, jitter: false },
    run: ({ attempt }) => {
      tries += 1
      assert.is(attempt, tries)
      if (tries < 3) throw new Error(`try ${tries}`)
      return 'ok'
    },
  })
  const { result, events } = await runTasks({ flaky })
  assert.is(result.values.get('flaky'), 'ok')
  assert.equal(
    events
      .filter((event) => event.type === 'node-retry')
      .map((event) => event.type === 'node-retry' && event.error.message),
    ['try 1', 'try 2'],
  )
})

test('does not retry what can not get better, and gives the last error when tries run out', async () => {
  let tries = 0
  const wrong = createTask({
    retry: { attempts: 5, delay: 1 },
    run: () => {
      tries += 1
      throw new DevstackError({ kind: 'usage', code: 'X', message: 'no' })
    },
  }) as Task
  await runTasks({ wrong })
  assert.is(tries, 1)
  const broken = createTask({ retry: { attempts: 2, delay: 1 }, run: () => Promise.reject('a string') }) as Task
  const { result } = await runTasks({ broken })
  assert.is(result.error?.message, 'a string')
})

test('a timeout aborts the task’s signal and names the limit', async () => {
  const slow = createTask({
    timeout: 20,
    run: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  }) as Task
  const { result } = await runTasks({ slow })
  assert.is(result.error?.code, 'TIMEOUT')
  assert.match(result.error!.message, 'Task "slow" took longer than its timeout of 20 ms.')
})

test('gives up on a task that never settles after a cancellation', async () => {
  const controller = new AbortController()
  const deaf = createTask({ run: () => new Promise(() => {}) }) as Task
  const { host, events } = memoryHost()
  const ended = run(await graphOf({ deaf }), options({ signal: controller.signal, graceMs: 20 }), host)
  await tick()
  controller.abort()
  const result = await ended
  assert.is(result.state, 'cancelled')
  assert.equal(finals(events).get('deaf'), ['failed'])
  assert.is(result.error?.code, 'TASK_DID_NOT_STOP')
})

test('a task that rejects with its own error after a cancellation is cancelled, not failed', async () => {
  const controller = new AbortController()
  const task = createTask({
    run: ({ signal }) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('interrupted')))),
  }) as Task
  const { host, events } = memoryHost()
  const ended = run(await graphOf({ task }), options({ signal: controller.signal }), host)
  await tick()
  controller.abort()
  await ended
  assert.equal(finals(events).get('task'), ['cancelled'])
})

test('cleanup runs after success, failure and cancellation; its own failure is told and changes nothing', async () => {
  const cleaned: string[] = []
  const good = createTask({ run: () => 1, cleanup: () => void cleaned.push('good') }) as Task
  const bad = createTask({
    run: () => {
      throw new Error('bad')
    },
    cleanup: () => {
      cleaned.push('bad')
      throw new Error('cleanup broke')
    },
  }) as Task
  const { events, finals: states } = await runTasks({ good, bad }, { mode: 'keep-going' })
  assert.equal(cleaned.sort(), ['bad', 'good'])
  assert.equal(states.get('bad'), ['failed'])
  assert.ok(events.some((event) => event.type === 'cleanup-failed' && event.error.message === 'cleanup broke'))
})

const holds = (description: string, after_: number): Gate<unknown> & { asked: number } => ({
  description,
  asked: 0,
  async hold(_, context) {
    for (this.asked = 1; this.asked < after_; this.asked += 1) {
      context.answer(`${this.asked} of ${after_}`)
      await tick()
      if (context.signal.aborted) throw context.signal.reason
    }
    return { asked: this.asked }
  },
})

test('a gate on an edge holds back the dependent alone', async () => {
  const order: string[] = []
  const db = createTask({ run: () => void order.push('db') })
  const gated = createTask({
    needs: { db: after(db, { until: holds('ready', 4) }) },
    run: () => void order.push('gated'),
  })
  const free = createTask({ needs: { db }, run: () => void order.push('free') })
  const { events } = await runTasks({ db: db as Task, gated: gated as Task, free: free as Task })
  assert.equal(order, ['db', 'free', 'gated'])
  assert.ok(events.some((event) => event.type === 'gate-held' && event.asked === 4))
})

test('waiting for a gate holds no slot', async () => {
  let release: () => void = () => {}
  const open = new Promise<void>((resolve) => (release = resolve))
  const service = createTask({ gate: { description: 'up', hold: async () => void (await open) }, run: () => 1 }) as Task
  const other = createTask({ run: () => release() }) as Task
  const { result } = await runTasks({ service, other }, { concurrency: 1 })
  assert.is(result.state, 'succeeded')
})

test('a failed gate fails the node with its error and names who is blocked', async () => {
  let blocked: readonly string[] = []
  const gate: Gate<unknown> = {
    description: 'never',
    hold: async (_, context) => {
      blocked = context.blocked
      throw new DevstackError({ kind: 'gate', code: 'GATE_TIMEOUT', message: 'it never held', exitCode: 3 })
    },
  }
  const db = createTask({ gate, run: () => 1 }) as Task
  const api = createTask({ needs: { db }, run: () => 1 }) as Task
  const web = createTask({ needs: { api }, run: () => 1 }) as Task
  const { result, finals: states } = await runTasks({ db, api, web })
  assert.equal(blocked, ['api', 'web'])
  assert.is(result.error?.exitCode, 3)
  assert.equal(states.get('web'), ['cancelled'])
})

test('after a failure those who only wait are stopped, those who work may finish', async () => {
  const finished: string[] = []
  const waiting = createTask({ gate: holds('never', 1e9), run: () => 1 }) as Task
  const working = createTask({
    run: async () => {
      for (let turn = 0; turn < 20; turn += 1) await tick()
      finished.push('working')
    },
  }) as Task
  const failing = createTask({ run: () => Promise.reject(new Error('x')) }) as Task
  const { finals: states } = await runTasks({ waiting, working, failing }, { concurrency: 3 })
  assert.equal(finished, ['working'])
  assert.equal(states.get('waiting'), ['cancelled'])
  assert.equal(states.get('working'), ['done'])
})

test('a decision to reuse or skip never runs the task', async () => {
  let ran = 0
  const task = createTask({ run: () => (ran += 1) }) as Task
  const reused = await runTasks({ task }, {}, { decide: () => ({ decision: 'reuse', cause: 'fresh', value: 5 }) })
  assert.is(reused.result.values.get('task'), 5)
  const skipped = await runTasks({ task }, {}, { decide: async () => ({ decision: 'skip', cause: 'other platform' }) })
  assert.is(skipped.result.summary.skipped, 1)
  assert.is(ran, 0)
})

test('cleanup has a signal of its own after a cancellation, and a limit', async () => {
  const controller = new AbortController()
  const aborted: boolean[] = []
  const task = createTask({
    run: ({ signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    cleanup: ({ signal }) => {
      aborted.push(signal.aborted)
      return new Promise(() => {})
    },
  }) as Task
  const { host, events } = memoryHost()
  const options = { runId: 'r', concurrency: 1, mode: 'fail-fast', signal: controller.signal, graceMs: 20 } as const
  const ended = run(await graphOf({ task }), options, host)
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort()
  assert.is((await ended).state, 'cancelled')
  assert.equal(aborted, [false])
  const failure = events.find(({ type }) => type === 'cleanup-failed')
  assert.match(JSON.stringify(failure), 'longer than the 20 ms that a task has to end in after a cancellation')
})

test('without a cancellation cleanup has no limit but the timeout of the task', async () => {
  const pause = ({ signal }: { signal: AbortSignal }): Promise<void> =>
    new Promise((resolve, reject) => {
      setTimeout(resolve, 60)
      signal.addEventListener('abort', () => reject(signal.reason))
    })
  const patient = createTask({ run: () => 1, cleanup: pause }) as Task
  const bounded = createTask({ timeout: 20, run: () => 1, cleanup: pause }) as Task
  const { events } = await runTasks({ patient, bounded }, { graceMs: 20 })
  const failures = events.filter(({ type }) => type === 'cleanup-failed')
  assert.is(failures.length, 1)
  assert.match(JSON.stringify(failures), 'The cleanup of task \\"bounded\\" took longer than its timeout of 20 ms')
})

test.run()
