import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { NoLeader } from '../../../infrastructure/backend/src/leader.ts'
import {
  classify,
  DeadlineExceeded,
  pause,
  retry,
  StatementTimeout,
  UnconfirmedCommit,
} from '../../../infrastructure/backend/src/retry.ts'

function coded(code: string): Error {
  return Object.assign(new Error(code), { code })
}

const classes = suite('what a failure means')

classes('a lost, demoted or silent leader means to look for another', () => {
  for (const code of ['ECONNRESET', 'ENOTFOUND', '08006', '25006', '57P01', '57P03'])
    assert.is(classify(coded(code)).kind, 'connection', code)
  for (const thrown of [
    new StatementTimeout(''),
    new UnconfirmedCommit(''),
    new NoLeader(''),
    new Error('Connection terminated unexpectedly'),
    new Error('timeout expired'),
  ])
    assert.is(classify(thrown).kind, 'connection', thrown.message)
})

classes('a server that asks for another try is kept', () => {
  for (const code of ['40001', '40P01', '55P03', '53300']) assert.is(classify(coded(code)).kind, 'conflict', code)
})

classes('what it does not know is not tried again', () => {
  const known = /^(08|25|40|53|55|57)/
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9A-Z]{5}$/), (code) => {
      fc.pre(!known.test(code))
      assert.is(classify(coded(code)).kind, 'permanent')
    }),
  )
  assert.is(classify('text').kind, 'permanent')
  assert.is(classify(undefined).kind, 'permanent')
})

classes.run()

const retries = suite('trying again')
const lost = () => coded('ECONNRESET')

retries('numbers its attempts and gives the first success', async () => {
  const told: string[] = []
  const value = await retry(
    async (attempt) => {
      if (attempt.number < 4) throw lost()
      return attempt.number
    },
    { deadlineMs: 60_000, pauseMs: 1, onRetry: (failure, attempt) => told.push(`${failure.reason} ${attempt.number}`) },
  )
  assert.is(value, 4)
  assert.equal(told, ['ECONNRESET 1', 'ECONNRESET 2', 'ECONNRESET 3'])
})

retries('throws a permanent failure as it came', async () => {
  const fault = coded('42601')
  const thrown = await retry(() => Promise.reject(fault), { deadlineMs: 60_000 }).catch((error) => error)
  assert.is(thrown, fault)
})

retries('gives up at the deadline and names the last failure', async () => {
  const thrown = await retry(() => Promise.reject(lost()), { deadlineMs: 30, pauseMs: 1 }).catch((error) => error)
  assert.instance(thrown, DeadlineExceeded)
  assert.match(thrown.message, /no success within 30 ms in \d+ attempts; the last one: ECONNRESET/)
  assert.is(thrown.cause.code, 'ECONNRESET')
})

retries('aborts the attempt that runs at the deadline', async () => {
  const work = (attempt: { readonly signal: AbortSignal }) =>
    new Promise<never>((_, reject) => attempt.signal.addEventListener('abort', () => reject(lost()), { once: true }))
  const thrown = await retry(work, { deadlineMs: 20 }).catch((error) => error)
  assert.instance(thrown, DeadlineExceeded)
})

retries("stops for the caller's reason, also in the pause between attempts", async () => {
  const abort = new AbortController()
  const reason = new Error('the client went away')
  let attempts = 0
  const running = retry(
    async () => {
      attempts++
      throw lost()
    },
    {
      deadlineMs: 60_000,
      pauseMs: 60_000,
      signal: abort.signal,
      onRetry: () => queueMicrotask(() => abort.abort(reason)),
    },
  )
  assert.is(await running.catch((error) => error), reason)
  assert.is(attempts, 1)
})

retries('a pause ends at once when it is aborted', async () => {
  const abort = new AbortController()
  const pausing = pause(600_000, abort.signal)
  abort.abort()
  await pausing
  await pause(600_000, abort.signal)
})

retries.run()
