import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { run } from '../../../lib/engine/runner.ts'
import { createTask, type Task } from '../../../lib/engine/task.ts'
import { runWhole } from '../../../lib/session/run.ts'
import { type UndoOptions, undo } from '../../../lib/session/undo.ts'
import { graphOf, memoryHost } from '../engine/graphs.ts'

const undoing = suite('undo')
const signal = new AbortController().signal

async function take(tasks: Record<string, Task>, more: Partial<UndoOptions> = {}) {
  const { host, events } = memoryHost()
  const completed = Object.keys(tasks)
  const result = await undo(await graphOf(tasks), { runId: 'u', signal, completed, values: new Map(), ...more }, host)
  return { ...result, types: events.map(({ type, node }) => `${node} ${type}`) }
}

undoing('an interrupted task is undone when it finds its work in place, with the value it saw', async () => {
  const seen: unknown[] = []
  const made = (state: 'fresh' | 'stale') =>
    createTask({
      run: () => 1,
      observe: () => (state === 'fresh' ? { state, cause: 'is there', value: 5 } : { state, cause: 'is not there' }),
      undo: ({ value }) => void seen.push(value),
    }) as Task
  const blind = createTask({ run: () => 1, undo: () => void seen.push('blind') }) as Task
  const tasks = { there: made('fresh'), gone: made('stale'), blind }
  const { undone, kept } = await take(tasks, { interrupted: new Set(Object.keys(tasks)) })
  assert.equal(seen, [5])
  assert.equal(undone, ['there'])
  assert.equal(kept, ['blind', 'gone'])
})

undoing('an undo that was begun before and fails now has been done when the work is gone', async () => {
  const failing = (state: 'fresh' | 'stale') =>
    createTask({
      run: () => 1,
      observe: () => (state === 'fresh' ? { state, cause: '', value: 5 } : { state, cause: 'is not there' }),
      undo: () => {
        throw new Error('no such folder')
      },
    }) as Task
  const gone = await take({ a: failing('stale') }, { begun: new Set(['a']) })
  assert.equal(gone.undone, ['a'])
  const there = await take({ a: failing('fresh') }, { begun: new Set(['a']) })
  assert.match(there.error!.message, 'no such folder')
  assert.match((await take({ a: failing('stale') })).error!.message, 'no such folder')
})

undoing('an undo that ignores its signal is given up', async () => {
  const controller = new AbortController()
  const deaf = createTask({ run: () => 1, undo: () => new Promise<void>(() => {}) }) as Task
  setTimeout(() => controller.abort(new Error('Ctrl-C')), 20)
  const { error, types } = await take({ deaf }, { signal: controller.signal, graceMs: 30 })
  assert.is(error!.code, 'TASK_DID_NOT_STOP')
  assert.match(error!.message, 'The undo of task "deaf" did not end within 30 ms')
  assert.equal(types, ['deaf undo-started', 'deaf undo-failed'])
})

undoing('a failed run takes back what says on-failure, before its end is told', async () => {
  const order: string[] = []
  const kept = createTask({ run: () => 1, undo: () => void order.push('kept') }) as Task
  const one = createTask({ run: () => 1, undoOn: 'on-failure', undo: () => void order.push('one') }) as Task
  const two = createTask({
    needs: { one },
    run: () => 1,
    undoOn: 'on-failure',
    undo: () => void order.push('two'),
  }) as Task
  const broken = createTask({ needs: { two, kept }, run: () => Promise.reject(new Error('x')) }) as Task
  const { host, events } = memoryHost()
  await runWhole(
    await graphOf({ kept, one, two, broken }),
    { runId: 'r', concurrency: 1, mode: 'fail-fast', signal },
    host,
  )
  assert.equal(order, ['two', 'one'])
  assert.is(events.at(-1)!.type, 'run-finished')
})

undoing('undo goes backwards, keeps what has none, and stops at a failure', async () => {
  const undone: string[] = []
  const one = createTask({ run: () => 'v1', undo: ({ value }) => void undone.push(`one ${value}`) })
  const two = createTask({ needs: { one }, run: () => 'v2' })
  const three = createTask({
    needs: { two },
    run: () => 'v3',
    undo: ({ value, needs }) => void undone.push(`three ${value} ${needs.two}`),
  })
  const tasks = { one: one as Task, two: two as Task, three: three as Task }
  const { host } = memoryHost()
  const result = await run(await graphOf(tasks), { runId: 'r', concurrency: 1, mode: 'fail-fast', signal }, host)
  const taken = await undo(
    await graphOf(tasks),
    { runId: 'u', signal: new AbortController().signal, completed: result.completed, values: result.values },
    host,
  )
  assert.equal(undone, ['three v3 v2', 'one v1'])
  assert.equal(taken.kept, ['two'])
})

undoing.run()
