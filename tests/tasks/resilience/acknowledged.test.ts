/** The ledger: what survives a kill, and that the comparison can fail. */
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  AcknowledgedWrites,
  compareLedger,
  formatIds,
  readAcknowledged,
} from '../../../tasks/resilience/acknowledged.ts'
import { LedgerClients } from '../../../tasks/resilience/ledger-clients.ts'
import { runCaptured } from '../../support/processes.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const test = suite('the ledger of acknowledged writes')
const whole = (...ids: readonly number[]) => ({ ids: new Set(ids) })

test('finds nothing lost when every member holds every acknowledged id', () => {
  const verdict = compareLedger([1, 2, 3], { one: whole(1, 2, 3), two: whole(3, 2, 1, 4) })
  assert.equal(verdict.lost, [])
  assert.is(verdict.acknowledged, 3)
  assert.is(verdict.unacknowledged, 1, 'kept though nobody saw it acknowledged: allowed')
})

test('can fail: an acknowledged id that one member lacks is lost, and listed', () => {
  const verdict = compareLedger([1, 2, 3, 4], { old: whole(1, 2, 3, 4), leader: whole(1, 2), replica: whole(1, 2, 4) })
  assert.equal(verdict.lost, [3, 4])
  assert.equal(
    verdict.members.map(({ member, missing }) => [member, missing]),
    [
      ['leader', [3, 4]],
      ['old', []],
      ['replica', [3]],
    ],
  )
})

test('does not take a member that could not be asked for one that holds everything', () => {
  const verdict = compareLedger([1], { one: whole(1), two: { error: 'no answer' } })
  assert.is(verdict.members[1]?.error, 'no answer')
  assert.is(verdict.members[1]?.held, 0)
})

test('lost is exactly what is acknowledged and missing somewhere, whatever is held', () => {
  const ids = fc.uniqueArray(fc.nat(50))
  fc.assert(
    fc.property(ids, fc.array(ids, { minLength: 1, maxLength: 4 }), (acknowledged, held) => {
      const holdings = Object.fromEntries(held.map((one, index) => [`member${index}`, { ids: new Set(one) }]))
      const expected = acknowledged.filter((id) => held.some((one) => !one.includes(id))).sort((a, b) => a - b)
      assert.equal(compareLedger(acknowledged, holdings).lost, expected)
    }),
  )
})

test('is in its file before the next write, and survives SIGKILL', async () => {
  const folder = await temporaryFolder('devstack-ledger-')
  try {
    const file = join(folder.path, 'ledger')
    const module = join(import.meta.dirname, '../../../tasks/resilience/acknowledged.ts')
    const script = `import { AcknowledgedWrites } from ${JSON.stringify(module)}
const ledger = new AcknowledgedWrites(${JSON.stringify(file)})
for (let id = 1; id <= 500; id += 1) ledger.add({ id, at: id, ms: 1.25 })
process.kill(process.pid, 'SIGKILL')`
    const ended = await runCaptured({
      command: process.execPath,
      args: ['--input-type=module', '--eval', script],
      cwd: folder.path,
      env: process.env,
      logFile: join(folder.path, 'log'),
      deadlineMs: 60_000,
      signal: new AbortController().signal,
    })
    assert.not.equal(ended.exitCode, 0, 'it was killed')
    const read = readAcknowledged(file)
    assert.is(read.length, 500, readFileSync(join(folder.path, 'log'), 'utf8'))
    assert.equal(read[499], { id: 500, at: 500, ms: 1.3 })
    appendFileSync(file, '501 77')
    assert.is(readAcknowledged(file).length, 500, 'a line that was cut off is not acknowledged')
  } finally {
    await folder.remove()
  }
})

test('adds to what is there already', async () => {
  const folder = await temporaryFolder('devstack-ledger-')
  try {
    const file = join(folder.path, 'ledger')
    for (const id of [1, 2]) {
      const ledger = new AcknowledgedWrites(file)
      ledger.add({ id, at: 10, ms: 1 })
      ledger.close()
    }
    assert.equal(
      readAcknowledged(file).map(({ id }) => id),
      [1, 2],
    )
  } finally {
    await folder.remove()
  }
})

test('shows ids as ranges', () => {
  assert.is(formatIds([9, 3, 7, 8, 12]), '3, 7-9, 12')
  assert.is(formatIds([1, 3, 5, 7], 2), '1, 3 and 2 more ranges')
  assert.is(formatIds([]), '')
})

test('names a member that never answers, instead of waiting for it', async () => {
  const folder = await temporaryFolder('devstack-ledger-')
  try {
    const clients = new LedgerClients(join(folder.path, 'x.ledger'))
    clients.ledger.add({ id: 1, at: 1, ms: 1 })
    const abort = new AbortController()
    const ended = Promise.withResolvers<unknown>()
    const held = async (member: string, signal: AbortSignal): Promise<ReadonlySet<number>> => {
      if (member === 'well') return new Set([1])
      signal.addEventListener('abort', () => ended.resolve(signal.reason))
      return new Promise(() => {})
    }
    void ended.promise.then(() => abort.abort())
    const verdict = await clients.compare(['well', 'frozen'], { held, heldMs: 20, signal: abort.signal })
    assert.equal(
      verdict.members.map(({ member, error }) => [member, error]),
      [
        ['frozen', 'no answer within 0.02 s'],
        ['well', undefined],
      ],
    )
    assert.is(((await ended.promise) as Error).message, 'no answer within 0.02 s', 'whoever asks is told to stop')
    await clients.stop()
  } finally {
    await folder.remove()
  }
})

test.run()
