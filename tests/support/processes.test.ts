import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { leftovers, processesWith, runCaptured } from './processes.ts'

const processes = suite<{ folder: string }>('processes of the test run')
processes.before.each((context) => {
  context.folder = mkdtempSync(join(tmpdir(), 'processes-'))
})
processes.after.each(({ folder }) => rmSync(folder, { recursive: true, force: true }))

processes('are captured with both streams and the exit code', async ({ folder }) => {
  const logFile = join(folder, 'log')
  const ended = await runCaptured({
    command: 'sh',
    args: ['-c', 'echo out; echo err >&2; exit 7'],
    cwd: folder,
    env: process.env,
    logFile,
    deadlineMs: 60_000,
    signal: new AbortController().signal,
  })
  assert.is(ended.exitCode, 7)
  assert.not(ended.timedOut)
  assert.is(readFileSync(logFile, 'utf8'), 'out\nerr\n')
})

processes('end at their deadline with all that they started', async ({ folder }) => {
  const mark = `deadline-${process.pid}`
  const ended = await runCaptured({
    command: 'sh',
    args: ['-c', 'sleep 600 & sleep 600'],
    cwd: folder,
    env: { ...process.env, DEVSTACK_TEST_INNER: mark },
    logFile: join(folder, 'log'),
    deadlineMs: 300,
    signal: new AbortController().signal,
  })
  assert.ok(ended.timedOut)
  assert.equal(await leftovers('DEVSTACK_TEST_INNER', mark), [])
})

if (process.platform === 'linux') {
  processes('are found by the mark in their environment', async ({ folder }) => {
    const mark = `found-${process.pid}`
    const cancel = new AbortController()
    const ended = runCaptured({
      command: 'sleep',
      args: ['600'],
      cwd: folder,
      env: { ...process.env, DEVSTACK_TEST_INNER: mark },
      logFile: join(folder, 'log'),
      deadlineMs: 60_000,
      signal: cancel.signal,
    })
    assert.equal(await leftovers('DEVSTACK_TEST_OTHER', mark, 0), [])
    const found = processesWith('DEVSTACK_TEST_INNER', mark)
    assert.is(found.length, 1)
    cancel.abort()
    assert.is((await ended).exitCode, null)
  })
} else console.log('not run: processes are found by their environment on Linux alone')

processes.run()
