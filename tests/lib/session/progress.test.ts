import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Progress } from '../../../lib/engine/task.ts'
import { paced } from '../../../lib/session/progress.ts'

const test = suite('progress')

test('a report a tenth of a second is told, and the first and the complete one of each label', () => {
  let now = 0
  const told: Progress[] = []
  const report = paced(
    (progress) => told.push(progress),
    () => now,
  )
  for (let done = 1; done <= 500; done += 1) {
    now = done
    report({ done, total: 500, label: 'reading' })
  }
  report({ done: 1, label: 'writing' })
  report({ done: 2, label: 'writing' })
  assert.equal(
    told.map(({ done, label }) => `${label} ${done}`),
    ['reading 1', 'reading 101', 'reading 201', 'reading 301', 'reading 401', 'reading 500', 'writing 1'],
  )
})

test.run()
