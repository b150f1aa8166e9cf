import { existsSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from './checkout.ts'

const config = (project: string) => `
import { defineConfig, task, z } from 'devstack'
const greet = task({
  description: 'Greets',
  params: z.object({ name: z.string().default('world') }),
  run: ({ params, log }) => log('hello ' + params.name),
})
const wait = task({
  description: 'Waits until it is interrupted',
  run: ({ log, signal }) => new Promise((_, reject) => {
    log('waiting now')
    const alive = setInterval(() => undefined, 1000)
    signal.addEventListener('abort', () => { clearInterval(alive); reject(signal.reason) }, { once: true })
  }),
})
export default defineConfig({ name: '${project}', tasks: { greet, wait } })
`

const checkouts = suite<{ test: Checkout }>('checkout')
checkouts.before.each((context) => {
  context.test = checkout({ name: 'checkout', files: (project) => ({ 'devstack.config.ts': config(project) }) })
})
checkouts.after.each(async ({ test }) => {
  await test.remove()
  assert.not(existsSync(test.directory))
})

checkouts('runs devstack with a config that imports it', async ({ test }) => {
  assert.match(await test.succeed(['run', 'greet', '--name', 'ada']), 'hello ada')
})

checkouts('gives what was refused, with its exit code', async ({ test }) => {
  assert.match(await test.refused(['run', 'gret']), /gret/)
})

checkouts('waits for output, signals, and tells the exit code', async ({ test }) => {
  const running = test.start(['run', 'wait'])
  await running.seen(/waiting now/)
  running.signal('SIGINT')
  assert.is((await running.ended).exitCode, 130)
})

checkouts('rejects when a command ends without what was waited for', async ({ test }) => {
  try {
    await test.start(['--version']).seen(/no such text/)
  } catch (thrown) {
    assert.match((thrown as Error).message, 'ended with 0 before /no such text/')
    return
  }
  assert.unreachable('nothing was thrown')
})

checkouts.run()
