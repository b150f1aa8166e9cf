import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { follow, progressBar, progressText } from '../../../lib/report/progress.ts'

const test = suite('progress in words')
const MiB = 1024 * 1024

test('bytes have a rate, reckoned from the first report of the label', () => {
  const first = follow(undefined, { done: 0, total: 100 * MiB, unit: 'bytes', label: 'volumes' }, 1000)
  assert.is(progressText(first), 'volumes 0 B of 100 MiB')
  const later = follow(first, { done: 25 * MiB, total: 100 * MiB, unit: 'bytes', label: 'volumes' }, 3000)
  assert.is(progressText(later), 'volumes 25 MiB of 100 MiB, 13 MiB/s')
  assert.is(progressBar(later), 'volumes ████░░░░░░░░░░░░ 25 %, 25 MiB of 100 MiB, 13 MiB/s')
  const other = follow(later, { done: 30 * MiB, unit: 'bytes', label: 'app' }, 4000)
  assert.is(progressBar(other), 'app 30 MiB')
  assert.is(progressBar(follow(other, { done: 40 * MiB, unit: 'bytes', label: 'app' }, 5000)), 'app 40 MiB, 10 MiB/s')
})

test('items have none, and what is more than all is all', () => {
  const first = follow(undefined, { done: 1, total: 4, unit: 'items' }, 0)
  assert.is(progressBar(follow(first, { done: 5, total: 4, unit: 'items' }, 100)), '████████████████ 100 %, 5 of 4')
})

test.run()
