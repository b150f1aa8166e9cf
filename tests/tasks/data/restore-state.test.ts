/** Who may end what a killed command left: one process at a time, the others wait for it. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { thisProcess } from '../../../lib/index.ts'
import { claimed } from '../../../tasks/data/restore-state.ts'
import { temporaryFolder } from './folder.ts'

const test = suite('claim')
const settings = (backups: string) => ({ backups }) as Parameters<typeof claimed>[0]
const never = new AbortController().signal

test('one after another, and nothing stays', async () => {
  const folder = temporaryFolder()
  try {
    const events: string[] = []
    const use = (name: string) => async () => {
      events.push(`${name} begins`)
      await new Promise((resolve) => setImmediate(resolve))
      events.push(`${name} ends`)
    }
    // within one process, as the owner is: the second waits as another process would
    await Promise.all([
      claimed(settings(folder.path), never, use('one')),
      claimed(settings(folder.path), never, use('two')),
    ])
    assert.equal(events, ['one begins', 'one ends', 'two begins', 'two ends'])
    assert.equal(
      readdirSync(folder.path).filter((name) => name.startsWith('.restore')),
      [],
    )
  } finally {
    folder.remove()
  }
})

test('of one that is dead it is taken over; whoever waits can be told to stop', async () => {
  const folder = temporaryFolder()
  try {
    mkdirSync(folder.path, { recursive: true })
    const claim = join(folder.path, '.restore.claim')
    // this process id, given to another process before
    writeFileSync(claim, JSON.stringify({ ...thisProcess(), started: '1' }))
    let used = 0
    const use = async () => {
      used += 1
    }
    await claimed(settings(folder.path), never, use)
    assert.is(used, 1)
    assert.not(existsSync(claim))

    writeFileSync(claim, JSON.stringify(thisProcess()))
    const stop = new AbortController()
    const waiting = claimed(settings(folder.path), stop.signal, use)
    stop.abort(new Error('stopped'))
    await waiting.then(
      () => assert.unreachable(),
      (thrown: Error) => assert.is(thrown.name, 'AbortError'),
    )
    assert.is(used, 1)
  } finally {
    folder.remove()
  }
})

test.run()
