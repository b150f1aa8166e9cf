import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { leftovers } from '../support/processes.ts'

const config = (project: string) => `
import { defineConfig, task } from 'devstack'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const server = task({ service: true,
  observe: () => { try { process.kill(Number(readFileSync('server.pid', 'utf8')), 0); return { state: 'fresh', cause: 'is running', value: 1 } } catch { return { state: 'stale', cause: 'is not running' } } },
  run: async ({ $ }) => { await $\`nohup sleep 300 > /dev/null 2>&1 & echo $! > server.pid\`; mark('server'); return 1 } })
const build = task({ needs: { server }, inputs: ['src/**'], run: async ({ $, log }) => {
  const text = readFileSync('src/a.txt', 'utf8').trim()
  mark('build ' + text)
  log('building ' + text)
  if (text === 'slow') await $\`exec sleep 300\`
  mark('built ' + text)
}, cleanup: () => mark('cleaned') })
export default defineConfig({ name: '${project}', cancel: { interrupt: '500ms', terminate: '500ms' }, tasks: { server, build } })
`

const watches = suite<{ test: Checkout; mark: string }>('watch')
watches.before.each((context) => {
  context.mark = `watch-${process.pid}-${Math.random().toString(36).slice(2)}`
  const files = (project: string) => ({ 'devstack.config.ts': config(project), 'src/a.txt': 'one\n', 'notes.txt': '' })
  context.test = checkout({ name: 'watch', files, env: { WATCH_TEST: context.mark } })
})
watches.after.each(async ({ test }) => {
  const file = join(test.directory, 'server.pid')
  try {
    if (existsSync(file)) process.kill(Number(readFileSync(file, 'utf8')), 'SIGKILL')
  } catch {
    // it has ended with the watch
  }
  await test.remove()
})

const marks = (test: Checkout): string => {
  const file = join(test.directory, 'marks')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ', ') : ''
}
async function until(holds: () => boolean, what: () => string): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`still not: ${what()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

watches(
  'runs again for a change, cancels a stale run with its cleanups, and keeps services',
  async ({ test, mark }) => {
    const watching = test.start(['watch', 'build'])
    const idle = (count: number) =>
      until(
        () => (marks(test).match(/cleaned/g) ?? []).length === count,
        () => marks(test),
      )
    await idle(1)
    assert.is(marks(test), 'server, build one, built one, cleaned')
    await watching.seen(/waiting for changes/i)
    const pid = readFileSync(join(test.directory, 'server.pid'), 'utf8')
    // several writes at once are one change; a file that nothing reads is none
    test.write({ 'notes.txt': 'x' })
    test.write({ 'src/b.txt': '1' })
    test.write({ 'src/a.txt': 'slow\n' })
    await watching.seen(/building slow/)
    test.write({ 'src/a.txt': 'three\n' })
    await idle(3)
    assert.is(
      marks(test),
      'server, build one, built one, cleaned, build slow, cleaned, build three, built three, cleaned',
    )
    assert.is(readFileSync(join(test.directory, 'server.pid'), 'utf8'), pid)
    process.kill(Number(pid), 0)
    watching.signal('SIGINT')
    assert.is((await watching.ended).exitCode, 0)
    process.kill(Number(pid), 'SIGKILL')
    assert.equal(await leftovers('WATCH_TEST', mark), [])
  },
)

watches('a failed run waits for the next change', async ({ test }) => {
  test.write({
    'devstack.config.ts': config(test.project).replace(
      "mark('built ' + text)",
      "if (text === 'bad') throw new Error('bad text'); mark('built ' + text)",
    ),
    'src/a.txt': 'bad\n',
  })
  const watching = test.start(['watch', 'build'])
  await watching.seen(/bad text[\s\S]*waiting for changes/i)
  test.write({ 'src/a.txt': 'good\n' })
  await until(
    () => marks(test).includes('built good'),
    () => marks(test),
  )
  watching.signal('SIGTERM')
  assert.is((await watching.ended).exitCode, 0)
})

watches('ends at once while a run goes on', async ({ test }) => {
  test.write({ 'src/a.txt': 'slow\n' })
  const watching = test.start(['watch', 'build'])
  await watching.seen(/building slow/)
  watching.signal('SIGINT')
  await watching.ended
  assert.match(marks(test), /build slow, cleaned$/)
})

/** The lines that `mark` wrote, once none was added for a second. */
async function settled(test: Checkout): Promise<readonly string[]> {
  for (let before = ''; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 1000))
    if (marks(test) !== '' && marks(test) === before) return before.split(', ')
    before = marks(test)
  }
}

const producing = (project: string) => `
import { defineConfig, task } from 'devstack'
import { appendFileSync, readFileSync } from 'node:fs'
const mark = (text) => appendFileSync(process.env.MARKS + '/marks', text + '\\n')
const gen = task({ run: async ({ $ }) => { mark('gen'); await $\`echo x > out.txt; sleep .4; echo y >> out.txt\`; mark('end') } })
const stamp = task({ run: async ({ $ }) => { mark('stamp'); await $\`sleep .2; date +%N > out.txt; sleep .2\`; mark('end') } })
const fresh = task({ run: async ({ $ }) => { mark('fresh'); await $\`date > out-$(date +%N).txt\`; mark('end') } })
const declared = task({ inputs: ['src/**'], outputs: ['src/gen.txt'], run: async ({ $ }) => { mark('declared'); await $\`sleep .2; date +%N > src/gen.txt; sleep .3\`; mark('end') } })
const reads = task({ run: async ({ $ }) => { mark('reads ' + readFileSync('notes.txt', 'utf8').trim()); await $\`sleep .5\`; mark('end') } })
export default defineConfig({ name: '${project}', tasks: { gen, stamp, fresh, declared, reads } })
`

watches('what a task writes itself does not start it for ever', async ({ test }) => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'watch-marks-'))
  const written = (): Checkout => ({ ...test, directory: elsewhere })
  test.write({ 'devstack.config.ts': producing(test.project) })
  try {
    for (const [task, runs, told] of [
      ['gen', 2, undefined],
      ['stamp', 2, /out\.txt is written by stamp itself: declare inputs or outputs\./],
      ['fresh', 2, /out-\d+\.txt is written by fresh itself/],
      ['declared', 1, undefined],
    ] as const) {
      rmSync(join(elsewhere, 'marks'), { force: true })
      const watching = test.start(['watch', task], { env: { MARKS: elsewhere } })
      await watching.seen(/waiting for changes/i)
      assert.equal(await settled(written()), Array(runs).fill([task, 'end']).flat())
      if (told) await watching.seen(told)
      test.write(task === 'declared' ? { 'src/a.txt': 'two\n' } : { 'notes.txt': `for ${task}` })
      const more = task === 'fresh' ? 2 : 1
      await until(
        () => marks(written()).split('end').length > runs + more,
        () => `${task}: ${marks(written())}`,
      )
      assert.equal(
        await settled(written()),
        Array(runs + more)
          .fill([task, 'end'])
          .flat(),
      )
      watching.signal('SIGINT')
      assert.is((await watching.ended).exitCode, 0)
    }
  } finally {
    rmSync(elsewhere, { recursive: true })
  }
})

watches('a change while a task without inputs runs starts it once more, when it has ended', async ({ test }) => {
  const elsewhere = mkdtempSync(join(tmpdir(), 'watch-marks-'))
  test.write({ 'devstack.config.ts': producing(test.project), 'notes.txt': 'one' })
  try {
    const watching = test.start(['watch', 'reads'], { env: { MARKS: elsewhere } })
    const written = { ...test, directory: elsewhere }
    await until(
      () => marks(written).includes('reads one'),
      () => marks(written),
    )
    test.write({ 'notes.txt': 'two' })
    await until(
      () => marks(written).includes('reads two, end'),
      () => marks(written),
    )
    assert.equal(await settled(written), ['reads one', 'end', 'reads two', 'end'])
    // the same content is no change
    test.write({ 'notes.txt': 'two' })
    assert.equal(await settled(written), ['reads one', 'end', 'reads two', 'end'])
    watching.signal('SIGINT')
    await watching.ended
  } finally {
    rmSync(elsewhere, { recursive: true })
  }
})

watches.run()
