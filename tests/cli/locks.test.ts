import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

/** `hold` tasks say that they hold, and end once a file called `go` is there. */
const config = (project: string) => `
import { defineConfig, definePack, task } from 'devstack'
import { appendFileSync, existsSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const until = async (signal) => { while (!existsSync('go') && !signal.aborted) await new Promise((r) => setTimeout(r, 10)) }
const hold = task({ locks: ['postgres'], run: async ({ signal, log }) => { mark('hold+'); log('holding'); await until(signal); mark('hold-') } })
const migrate = task({ locks: ['postgres'], run: () => mark('migrate') })
const works = task({ locks: ['postgres'], run: ({ $ }) => $\`echo working; sleep 2; echo child >> marks\` })
const serves = task({ runLocks: ['stack'], run: ({ $ }) => $\`echo working; sleep 2; echo child >> marks\` })
const other = task({ locks: ['redis'], run: () => mark('other') })
const pair = task({ locks: [{ name: 'pool', size: 2 }], run: async ({ signal, log }) => { mark('pair+'); log('holding'); await until(signal) } })
const up = task({ runLocks: ['stack'], run: async ({ signal, log }) => { mark('up+'); log('holding'); await until(signal); mark('up-') } })
const inner = task({ locks: ['stack'], run: () => mark('inner') })
const down = task({ runLocks: ['stack'], needs: { inner }, run: () => mark('down') })
// its tasks follow from the environment, as the services of compose files do
const stack = definePack({ name: 'stack', tasks: ({ environment }) => ({
  show: task({ runLocks: ['stack'], run: () => mark('port ' + environment.PORT) }) }) })
export default defineConfig({ name: '${project}', use: [stack], tasks: { works, serves, hold, migrate, other, pair, up, down, inner } })
`

const locks = suite<{ test: Checkout }>('locks across processes')
locks.before.each((context) => {
  const files = (project: string) => ({ 'devstack.config.ts': config(project), '.env.local': 'PORT=1\n' })
  context.test = checkout({ name: 'locks', files })
})
locks.after.each(async ({ test }) => test.remove())

const marks = (test: Checkout): string => {
  const file = join(test.directory, 'marks')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ' ') : ''
}
const held = (name: string) =>
  new RegExp(`"${name}" is held by task \\S+ of run \\S+ \\(process \\d+\\) since \\d\\d:\\d\\d:\\d\\d`)
/** What a task says that waits, after its own name. */
const waits = (name: string) =>
  new RegExp(`: waits for lock ${name}, held by task \\S+ of run \\S+ \\(process \\d+\\) since \\d\\d:\\d\\d:\\d\\d\\n`)

locks('a second run waits, saying who holds the lock and since when', async ({ test }) => {
  const first = test.start(['run', 'hold'])
  await first.seen(/holding/)
  assert.match(await test.succeed(['locks']), held('postgres'))
  const second = test.start(['run', 'migrate'])
  await second.seen(waits('postgres'))
  await test.succeed(['run', 'other'])
  test.write({ go: '' })
  assert.is((await first.ended).exitCode, 0)
  assert.is((await second.ended).exitCode, 0)
  assert.is(marks(test), 'hold+ other hold- migrate')
  assert.match(await test.succeed(['locks']), 'No lock is held')
})

locks('the lock of a killed process is taken over', async ({ test }) => {
  const first = test.start(['run', 'hold'])
  await first.seen(/holding/)
  first.signal('SIGKILL')
  await first.ended
  await test.succeed(['run', 'migrate'])
  assert.is(marks(test), 'hold+ migrate')
})

locks('what a killed holder left running is ended before its lock is taken over', async ({ test }) => {
  for (const [task, next] of [
    ['works', 'migrate'],
    ['serves', 'show'],
  ] as const) {
    test.write({ marks: '' })
    const first = test.start(['run', task])
    await first.seen(/working/)
    first.signal('SIGKILL')
    await first.ended
    const { exitCode, stdout, stderr } = await test.run(['run', next])
    assert.is(exitCode, 0, stdout + stderr)
    assert.match(stdout + stderr, /Run \S+ was killed, and \d+ process(es)? of it went on: ended/)
    await new Promise((resolve) => setTimeout(resolve, 2000))
    assert.not.match(marks(test), 'child')
  }
})

locks('who waits can be interrupted', async ({ test }) => {
  const first = test.start(['run', 'hold'])
  await first.seen(/holding/)
  for (const [task, name] of [['migrate', 'postgres']] as const) {
    const second = test.start(['run', task])
    await second.seen(waits(name))
    second.signal('SIGINT')
    assert.is((await second.ended).exitCode, 130)
  }
  first.signal('SIGINT')
  assert.is((await first.ended).exitCode, 130)
})

locks('a semaphore has as many holders as its size', async ({ test }) => {
  const runs = [test.start(['run', 'pair']), test.start(['run', 'pair'])]
  for (const run of runs) await run.seen(/holding/)
  const third = test.start(['run', 'pair'])
  await third.seen(waits('pool'))
  assert.is(marks(test), 'pair+ pair+')
  test.write({ go: '' })
  for (const run of [...runs, third]) assert.is((await run.ended).exitCode, 0)
})

locks('a run lock is held from before the first task to the end of the run', async ({ test }) => {
  const first = test.start(['run', 'up'])
  await first.seen(/holding/)
  const second = test.start(['run', 'down'])
  await second.seen(held('stack'))
  test.write({ go: '' })
  await first.ended
  // a task that wants the lock its run holds does not wait for itself
  assert.is((await second.ended).exitCode, 0)
  assert.is(marks(test), 'up+ up- inner down')
})

locks('who waited for a run lock starts from scratch, as files may have changed', async ({ test }) => {
  const first = test.start(['run', 'up'])
  await first.seen(/holding/)
  const second = test.start(['run', 'show'])
  await second.seen(held('stack'))
  test.write({ '.env.local': 'PORT=2\n', go: '' })
  assert.is((await second.ended).exitCode, 0)
  assert.is(marks(test), 'up+ up- port 2')
})

locks('waiting for a run lock can be interrupted, and ends with --timeout', async ({ test }) => {
  const first = test.start(['run', 'up'])
  await first.seen(/holding/)
  const second = test.start(['run', 'show'])
  await second.seen(held('stack'))
  second.signal('SIGTERM')
  assert.is((await second.ended).exitCode, 130)
  assert.is((await test.run(['run', 'show', '--timeout', '100ms'])).exitCode, 3)
  first.signal('SIGKILL')
  await first.ended
  await test.succeed(['run', 'show'])
  assert.is(marks(test), 'up+ port 1')
})

locks.run()
