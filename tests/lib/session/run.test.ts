import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createTask, type Task } from '../../../lib/engine/task.ts'
import { runWhole } from '../../../lib/session/run.ts'
import { graphOf, memoryHost } from '../engine/graphs.ts'

const runs = suite('a whole run')
const signal = new AbortController().signal
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

runs('the critical path is the longest chain of measured time', async () => {
  const a = createTask({ run: () => tick() }) as Task
  const b = createTask({ needs: { a }, run: () => tick() }) as Task
  const c = createTask({ run: () => tick() }) as Task
  const { host, events } = memoryHost()
  await runWhole(await graphOf({ a, b, c }), { runId: 'r', concurrency: 2, mode: 'fail-fast', signal }, host)
  const end = events.at(-1)!
  assert.ok(end.type === 'run-finished' && end.criticalPath.join() === 'a,b')
})

runs.run()
