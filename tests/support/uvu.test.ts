import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readOutcome } from './outcome.ts'

const preload = join(import.meta.dirname, 'uvu.ts')

/** Runs a test file of this text, and reads what it printed. */
function outcomeOf(body: string) {
  const folder = mkdtempSync(join(import.meta.dirname, '..', '.work-'))
  try {
    const file = join(folder, 'inner.test.ts')
    const head = `import { suite } from 'uvu'\nimport { DevstackError } from '${join(import.meta.dirname, '../../lib/errors.ts')}'\n`
    writeFileSync(file, `${head}const inner = suite('inner')\n${body}\ninner.run()\n`)
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--import', preload, file], { encoding: 'utf8' })
    return readOutcome({ output: stdout + stderr, exitCode: status, timedOut: false, deadlineMs: 0 })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const uvu = suite('uvu with its failures readable')

uvu('reports an error of ours with code and details, and goes on', () => {
  const { passed, failures } = outcomeOf(`
    inner('one', () => { throw new DevstackError({ kind: 'task', code: 'X_Y', message: 'No.', details: ['why'] }) })
    inner('two', () => undefined)`)
  assert.is(passed, 1)
  assert.equal(
    failures.map(({ test, message }) => [test, message]),
    [['inner › one', 'X_Y No.']],
  )
  assert.match(failures[0]?.place ?? '', /inner\.test\.ts:\d+/)
})

uvu('reports what is thrown and no error', () => {
  const { failed, failures } = outcomeOf(`inner('one', () => { throw 'text' })`)
  assert.is(failed, 1)
  assert.is(failures[0]?.message, 'thrown: text')
})

for (const hook of ['before', 'before.each', 'after.each', 'after']) {
  uvu(`reports what ${hook} throws`, () => {
    const { failures } = outcomeOf(`
      inner('one', () => undefined)
      inner.${hook}(() => { throw new Error('in the hook') })`)
    assert.is(failures.length > 0, true)
    assert.match(failures.map((failure) => failure.message).join('\n'), /in the hook|hook or a thrown/)
  })
}

uvu.run()
