import { existsSync, readFileSync } from 'node:fs'
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

watches.run()
