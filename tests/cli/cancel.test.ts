import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout, type RunningCommand } from '../support/checkout.ts'
import { leftovers } from '../support/processes.ts'
import { onTerminal, terminalMissing } from '../support/terminal.ts'

/** Ignores every signal that can be ignored, starts a grandchild in a session of its own, and says when both are up. */
const stubborn = `
import { spawn } from 'node:child_process'
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(name, () => {})
const depth = Number(process.argv[2] ?? 1)
if (depth > 0) spawn(process.execPath, [process.argv[1], String(depth - 1)], { detached: true, stdio: 'inherit' })
else console.log('all up')
setInterval(() => {}, 1000)
`

const config = (project: string) => `
import { defineConfig, task } from 'devstack'
import { appendFileSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const polite = task({ run: ({ $ }) => $\`echo ready; exec sleep 60\`, cleanup: () => mark('cleaned') })
const stubborn = task({ run: ({ $ }) => $\`exec node stubborn.mjs 2\`, cleanup: async ({ $ }) => { await $\`echo cleaned >> marks\` } })
const orphaning = task({ run: async ({ $ }) => { await $\`node stubborn.mjs 1 > /dev/null 2>&1 & echo left\` } })
const after = task({ needs: { orphaning }, run: ({ $ }) => $\`echo ready; exec sleep 60\` })
const failing = task({ run: async ({ $ }) => { await $\`node stubborn.mjs 1 > up 2>&1 & while ! grep -q up up 2>/dev/null; do sleep 0.05; done; exit 1\` } })
const bare = task({ run: ({ $ }) => $\`env -i /bin/sleep 986 > /dev/null 2>&1 & echo $! > bare.pid; echo ready; exec sleep 96\` })
const bareBefore = task({ run: async ({ $ }) => { await $\`env -i /bin/sleep 987 > /dev/null 2>&1 & echo $! > bare.pid\` } })
const bareAfter = task({ needs: { bareBefore }, run: ({ $ }) => $\`echo ready; exec sleep 60\` })
const retried = task({ retry: { attempts: 1, delay: 1 }, timeout: '2s', run: async ({ $, attempt }) => { mark('try ' + attempt); await $\`exec node stubborn.mjs 1\` } })
const never = task({ needs: { polite }, run: () => mark('never') })
const stuck = task({ run: ({ $ }) => $\`echo ready; exec sleep 60\`, cleanup: async ({ $ }) => { await $\`trap "" INT TERM; echo cleaning; exec node stubborn.mjs 0\` } })
export default defineConfig({ name: '${project}', cancel: { interrupt: '400ms', terminate: '400ms' }, tasks: { polite, stubborn, orphaning, after, failing, bare, bareAfter, retried, never, stuck } })
`

const cancels = suite<{ test: Checkout; mark: string }>('cancellation')
cancels.before.each((context) => {
  context.mark = `cancel-${process.pid}-${Math.random().toString(36).slice(2)}`
  context.test = checkout({
    name: 'cancel',
    files: (project) => ({ 'devstack.config.ts': config(project), 'stubborn.mjs': stubborn }),
    env: { CANCEL_TEST: context.mark },
  })
})
cancels.after.each(async ({ test }) => test.remove())

const marks = (test: Checkout): string => {
  const file = join(test.directory, 'marks')
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

async function nothingLeft(mark: string): Promise<void> {
  assert.equal(await leftovers('CANCEL_TEST', mark), [])
}

async function interrupted(running: RunningCommand, pattern: RegExp, ...signals: NodeJS.Signals[]) {
  await running.seen(pattern)
  for (const [index, signal] of signals.entries()) {
    running.signal(signal)
    // two signals at once are one to the kernel
    if (index < signals.length - 1) await running.seen(index === 0 ? /again to hurry/ : /again: ending/)
  }
  return running.ended
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  cancels(`${signal} ends what runs, runs cleanups, and gives 130`, async ({ test, mark }) => {
    const ended = await interrupted(test.start(['run', 'never', '--verbose']), /ready/, signal)
    assert.is(ended.exitCode, 130, ended.stdout + ended.stderr)
    assert.is(marks(test), 'cleaned\n')
    await nothingLeft(mark)
  })
}

cancels('children that ignore signals and grandchildren in other sessions are ended', async ({ test, mark }) => {
  const ended = await interrupted(test.start(['run', 'stubborn', '--verbose']), /all up/, 'SIGINT')
  assert.is(ended.exitCode, 130, ended.stdout + ended.stderr)
  assert.is(marks(test), 'cleaned\n')
  await nothingLeft(mark)
})

cancels('two and three interrupts hurry', async ({ test, mark }) => {
  test.write({
    'slow.config.ts': config(test.project).replace(
      /interrupt: '400ms', terminate: '400ms'/,
      "interrupt: '60s', terminate: '60s'",
    ),
  })
  const running = test.start(['run', '--config', 'slow.config.ts', 'stubborn', '--verbose'], { timeout: 50_000 })
  await running.seen(/all up/)
  running.signal('SIGINT')
  await running.seen(/again to hurry/)
  // longer than the delays of the other config: these are in force, two minutes in all
  await sleep(2000)
  assert.is(running.child.exitCode, null)
  const hurried = performance.now()
  running.signal('SIGINT')
  await running.seen(/again: ending/)
  running.signal('SIGINT')
  const ended = await running.ended
  assert.ok(performance.now() - hurried < 30_000)
  assert.is(ended.exitCode, 130, ended.stdout + ended.stderr)
  assert.is(marks(test), 'cleaned\n')
  await nothingLeft(mark)
})

cancels('what an earlier task left in the background ends with the run', async ({ test, mark }) => {
  const ended = await interrupted(test.start(['run', 'after', '--verbose']), /ready/, 'SIGINT')
  assert.is(ended.exitCode, 130)
  await nothingLeft(mark)
})

cancels('what hides from the environment mark ends with its group', async ({ test }) => {
  for (const name of ['bare', 'bareAfter']) {
    const ended = await interrupted(test.start(['run', name, '--verbose']), /ready\n/, 'SIGINT')
    assert.is(ended.exitCode, 130)
    const pid = readFileSync(join(test.directory, 'bare.pid'), 'utf8').trim()
    // a zombie is left where nobody takes note of orphans
    const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : ''
    assert.is(command, '', name)
  }
})

cancels('a failed task leaves nothing running', async ({ test, mark }) => {
  assert.is((await test.run(['run', 'failing'])).exitCode, 1)
  await nothingLeft(mark)
})

cancels('each try of a task is ended before the next', async ({ test, mark }) => {
  const ended = await test.run(['run', 'retried'])
  assert.is(ended.exitCode, 1, ended.stdout)
  assert.is(marks(test), 'try 1\ntry 2\n')
  await nothingLeft(mark)
})

cancels('a signal that comes while the config is loaded counts, with --timeout as well', async ({ test }) => {
  test.write({
    'slow.config.ts': `
import { defineConfig, task } from 'devstack'
process.on('SIGINT', () => (seen = true))
let seen = false
console.log('loading')
while (!seen) await new Promise((resolve) => setTimeout(resolve, 5))
export default defineConfig({ tasks: { late: task({ run: () => console.log('it ran') }) } })
`,
  })
  for (const more of [[], ['--timeout', '1h']]) {
    const running = test.start(['run', '--config', 'slow.config.ts', ...more, 'late'])
    const { exitCode, stdout } = await interrupted(running, /loading/, 'SIGINT')
    assert.is(exitCode, 130)
    assert.not.match(stdout, 'it ran')
  }
})

cancels('--timeout ends the same way', async ({ test, mark }) => {
  const ended = await test.run(['run', 'stubborn', '--timeout', '2s'])
  assert.is(ended.exitCode, 3, ended.stdout)
  await nothingLeft(mark)
})

cancels('Ctrl-C on a terminal brings the terminal back', async ({ test, mark }) => {
  const missing = terminalMissing()
  if (missing !== undefined) return void console.log(`not run: ${missing}`)
  const command = join(test.directory, 'node_modules', 'devstack', 'bin', 'devstack.cjs')
  const shown = await onTerminal(`${process.execPath} ${command} run polite --verbose`, {
    cwd: test.directory,
    env: { CANCEL_TEST: mark, CI: '', GITHUB_ACTIONS: '' },
    keyboard: [{ after: /ready/, press: '\x03' }],
  })
  assert.is(shown.exitCode, 130, shown.text)
  assert.match(shown.text, 'cancelled')
  // the cursor is shown again if it was hidden
  assert.ok(shown.raw.lastIndexOf('\x1b[?25h') >= shown.raw.lastIndexOf('\x1b[?25l'))
  assert.is(marks(test), 'cleaned\n')
  await nothingLeft(mark)
})

cancels('an undo that ignores its signal is given up', async ({ test }) => {
  test.write({
    'devstack.config.ts':
      "import { defineConfig, task } from 'devstack'\nexport default defineConfig({ cancel: { interrupt: '1ms', terminate: '1ms', abandon: '300ms' }, tasks: { deaf: task({ run: () => 1, undo: ({ log }) => { log('undoing'); return new Promise((resolve) => setTimeout(resolve, 60_000)) } }) } })\n",
  })
  await test.succeed(['run', 'deaf'])
  const ended = await interrupted(test.start(['undo', '--yes'], { timeout: 30_000 }), /undoing/, 'SIGINT')
  assert.is(ended.exitCode, 130)
  assert.match(ended.stdout, 'The undo of task "deaf" did not end within 302 ms')
})

cancels.run()
