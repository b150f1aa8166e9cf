import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout, executable } from '../support/checkout.ts'

const config = (project: string) => `
import { command, defineConfig, DevstackError, group, task, z } from 'devstack'
import { appendFileSync } from 'node:fs'

const mark = (text) => appendFileSync('marks', text + '\\n')
const fine = task({ run: () => mark('fine') })
const broken = task({ run: () => { throw new Error('it broke') } })
const shell = task({ ...command('echo before; echo oops >&2; exit 7') })
const multi = task({ run: async ({ $ }) => {
  await $({ quiet: true })\`echo \${'two words'} &&
    exit 2\`
} })
const hit = task({ run: ({ $ }) => $\`kill -9 $$\` })
const lost = task({ cwd: 'nowhere', run: ({ $ }) => $\`echo x\` })
const lostToo = task({ cwd: 'nowhere', ...command('echo x') })
const later = task({ needs: { broken }, run: () => mark('later') })
const slow = task({ run: async ({ $ }) => { await $\`sleep 60\`; mark('slow') } })
const patient = task({ timeout: '100ms', run: ({ $ }) => $\`sleep 60\` })
const gate = { description: 'the impossible', hold: async () => { throw new DevstackError({ kind: 'gate', code: 'GATE_DEADLINE', message: 'never held', exitCode: 3 }) } }
class Autopsied extends DevstackError {
  autopsy = { question: 'GET /', asked: 1, waitedMs: 5, answers: [], logs: [], blocked: [], next: 'devstack run logs api' }
}
const watchedOver = task({ gate: { description: 'it answers', hold: async () => { throw new Autopsied({ kind: 'gate', code: 'GATE_DEADLINE', message: 'never held' }) } }, run: () => 1 })
const gated = task({ gate, run: () => 1 })
const string = task({ run: () => { throw 'just a string' } })
const nothing = task({ run: () => { throw undefined } })
const object = task({ run: () => Promise.reject({ code: 5 }) })
const circular = task({ run: () => { const a = {}; a.a = a; throw a } })
const escaped = task({ run: async ({ signal }) => {
  setTimeout(() => { throw new Error('thrown by a timer') }, 10)
  await new Promise((resolve) => { const t = setInterval(() => {}, 1000); signal.addEventListener('abort', () => { clearInterval(t); resolve() }) })
}, cleanup: () => mark('cleaned') })
const notJson = task({ run: () => ({ when: new Date() }) })
const long = task({ run: ({ $ }) => $\`node -e \${'process.stdout.write("x".repeat(10 * 1024 * 1024))'}\` })
const binary = task({ run: ({ $ }) => $\`head -c 100000 /dev/urandom\` })
const echo = task({
  params: z.object({ text: z.string() }),
  run: async ({ $, exec, params, log }) => {
    const zx = await $\`printf %s \${params.text}\`
    const plain = await exec(['printf', '%s', params.text])
    mark(JSON.stringify([zx.stdout, plain.stdout]))
  },
})
const letters = task({ run: async ({ exec, log }) => {
  // written in pieces that end within a letter
  const script = 'const b = Buffer.from("é".repeat(100_000)); process.stdout.write(b.subarray(0, 77_777)); setTimeout(() => process.stdout.write(b.subarray(77_777)), 50)'
  for (const quiet of [true, false]) mark(String((await exec([process.execPath, '-e', script], { quiet })).stdout === 'é'.repeat(100_000)))
  mark(JSON.stringify((await exec(['echo', 'x'], { capture: false })).stdout))
} })
const __tasks = { ['__proto__']: task({ run: () => mark('proto') }), constructor: task({ run: () => mark('constructor') }) }
const never = task({ run: () => new Promise(() => {}), cleanup: () => new Promise(() => {}) })
const unseen = task({ observe: () => new Promise(() => {}), run: () => 1, cleanup: () => mark('cleaned') })
const shut = task({ gate: { description: 'a closed gate', hold: () => new Promise(() => {}) }, run: () => 1, cleanup: () => mark('cleaned') })
const untaken = task({ run: () => 1, undo: () => new Promise(() => {}) })
const deaf = task({ run: () => new Promise(() => setInterval(() => {}, 1000)) })
const killer = task({ run: async ({ $ }) => { mark('running'); await $\`sleep 60\`; mark('survived') }, cleanup: () => mark('killer cleaned') })
const delayed = task({ run: async ({ $ }) => { for (;;) { const { readFileSync } = await import('node:fs'); try { if (readFileSync('marks', 'utf8').includes('running')) break } catch {} await new Promise((r) => setTimeout(r, 10)) } throw new Error('late failure') } })
const finishing = task({ run: async ({ $ }) => { mark('running'); await $\`sleep 0.5\`; mark('finished') } })
const read = task({ description: 'Takes two params', params: z.object({ count: z.coerce.number().int().min(1).describe('how often'), mode: z.enum(['fast', 'slow']).default('fast') }), run: ({ params }) => mark(JSON.stringify(params)) })
const bothEnd = group({ finishing, delayed })
const bothKilled = group({ killer, delayed })
const mixed = group({ later, fine })
export default defineConfig({ name: '${project}', concurrency: 2, cancel: { interrupt: '300ms', terminate: '300ms' }, tasks: {
  fine, broken, shell, multi, hit, lost, lostToo, later, slow, patient, gated, watchedOver, string, nothing, object, circular, escaped, notJson, long, binary, letters, echo, deaf, never, unseen, shut, untaken,
  killer, delayed, finishing, read, bothEnd, bothKilled, mixed, ...__tasks } })
`

const exits = suite<{ test: Checkout }>('exit codes and bad tasks')
exits.before((context) => {
  context.test = checkout({ name: 'exit', files: (project) => ({ 'devstack.config.ts': config(project) }) })
})
exits.before.each(({ test }) => test.write({ marks: '' }))
exits.after(async ({ test }) => test.remove())

const marks = (test: Checkout): readonly string[] =>
  readFileSync(join(test.directory, 'marks'), 'utf8').split('\n').filter(Boolean)
const code = async (test: Checkout, ...args: readonly string[]): Promise<number> => (await test.run(args)).exitCode

exits('0 for success, 1 for a failed task, 2 for bad usage, 3 for a deadline', async ({ test }) => {
  assert.is(await code(test, 'run', 'fine'), 0)
  assert.is(await code(test, 'run', 'broken'), 1)
  assert.is(await code(test, 'run', 'shell'), 1)
  assert.is(await code(test, 'run', 'nope'), 2)
  assert.is(await code(test, 'run', 'fine', '--nope'), 2)
  assert.is(await code(test, 'nope'), 2)
  assert.is(await code(test, 'run', 'gated'), 3)
})

exits('--timeout ends the run and gives 3', async ({ test }) => {
  const { exitCode, stdout } = await test.run(['run', 'slow', '--timeout', '300ms'])
  assert.is(exitCode, 3, stdout)
  assert.equal(marks(test), [])
})

exits("a task's own timeout names its limit", async ({ test }) => {
  const { exitCode, stdout } = await test.run(['run', 'patient'])
  assert.is(exitCode, 1)
  assert.match(stdout, 'longer than its timeout of 100 ms')
})

exits('a failure is shown with its place, its last output and no stack', async ({ test }) => {
  const failed = await test.run(['run', 'broken'])
  assert.match(failed.stdout, 'it broke')
  assert.match(failed.stdout, /devstack\.config\.ts:\d+:\d+/)
  assert.not.match(failed.stdout, /^\s+at .*\(.*\)$/m)
  const command = await test.run(['run', 'shell'])
  assert.match(command.stdout, 'exit code 7')
  assert.match(command.stdout, 'oops')
})

exits('whatever is thrown is told', async ({ test }) => {
  const ended = await test.run(['run', '--keep-going', 'string', '--', 'nothing', '--', 'object', '--', 'circular'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stdout, 'just a string')
  assert.match(ended.stdout, '{"code":5}')
  assert.match(ended.stdout, '4 failed')
})

exits('what is thrown outside of any promise ends the run with its cleanups', async ({ test }) => {
  const ended = await test.run(['run', 'escaped'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stdout + ended.stderr, 'thrown by a timer')
  assert.match(ended.stdout + ended.stderr, /at devstack\.config\.ts:\d+:\d+/)
  assert.equal(marks(test), ['cleaned'])
})

exits('a value that JSON can not hold fails its task', async ({ test }) => {
  const ended = await test.run(['run', 'notJson'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stdout, 'value.when is an instance of Date')
})

exits('a task that never settles is given up after a cancellation', async ({ test }) => {
  test.write({
    'deaf.config.ts':
      "import { defineConfig, task } from 'devstack'\nexport default defineConfig({ cancel: { interrupt: '1ms', terminate: '1ms', abandon: '200ms' }, tasks: { deaf: task({ run: () => new Promise(() => setInterval(() => {}, 1000)) }) } })\n",
  })
  const running = test.start(['run', 'deaf', '--config', 'deaf.config.ts'])
  await running.seen(/deaf : started/)
  running.signal('SIGINT')
  const ended = await running.ended
  assert.is(ended.exitCode, 130)
  assert.match(ended.stdout, 'did not end within')
})

exits('10 MB on one line', async ({ test }) => {
  rmSync(join(test.directory, '.devstack'), { recursive: true, force: true })
  const ended = await test.run(['run', 'long', '--verbose'])
  assert.is(ended.exitCode, 0, ended.stdout.slice(-500))
  // shown in part, kept in full
  assert.ok(ended.stdout.length < 100_000)
  const file = readdirSync(join(test.directory, '.devstack', 'runs')).find((name) => name.endsWith('.jsonl'))
  const journal = readFileSync(join(test.directory, '.devstack', 'runs', file!), 'utf8')
  assert.ok(journal.split('x').length > 10 * 1024 * 1024)
})

exits('binary output', async ({ test }) => {
  const ended = await test.run(['run', 'binary', '--verbose'])
  assert.is(ended.exitCode, 0)
  for (const shown of ['\x1b', '\x07', '\x00']) assert.not(ended.stdout.includes(shown))
})

exits('params are literal arguments, whatever they hold', async ({ test }) => {
  const nasty = '$(touch pwned) `touch pwned` "a" \'b\' \\ ; touch pwned\nsecond $HOME *'
  await test.succeed(['run', 'echo', '--text', nasty])
  assert.equal(JSON.parse(marks(test)[0]!), [nasty, nasty])
  assert.not(existsSync(join(test.directory, 'pwned')))
})

exits('a task gets all of what a command printed, whole letters', async ({ test }) => {
  await test.succeed(['run', 'letters'])
  assert.equal(marks(test), ['true', 'true', '""'])
})

exits('tasks may be called __proto__ and constructor', async ({ test }) => {
  await test.succeed(['run', '__proto__', '--', 'constructor'])
  assert.equal([...marks(test)].sort(), ['constructor', 'proto'])
  assert.match(await test.succeed(['list']), '__proto__')
})

exits('--fail-fast lets what runs finish, --kill does not', async ({ test }) => {
  assert.is(await code(test, 'run', 'bothEnd'), 1)
  assert.equal(marks(test), ['running', 'finished'])
  test.write({ marks: '' })
  assert.is(await code(test, 'run', 'bothKilled', '--kill'), 1)
  assert.equal(marks(test), ['running', 'killer cleaned'])
})

exits('--keep-going runs what a failure does not reach', async ({ test }) => {
  const ended = await test.run(['run', 'mixed', '--keep-going', '-j', '1'])
  assert.is(ended.exitCode, 1)
  assert.equal(marks(test), ['fine'])
})

exits('a wrong param is named, with what was expected and the near name', async ({ test }) => {
  assert.match(await test.refused(['run', 'read', '--count', 'x']), '--count of read needs')
  assert.match(await test.refused(['run', 'read', '--cuont', '1']), 'Did you mean "--count"?')
  assert.match(await test.refused(['run', 'read', '--count', '2', '--mode', 'fsat']), 'Did you mean "fast"?')
  await test.succeed(['run', 'read', '--count', '2'])
  assert.equal(JSON.parse(marks(test)[0]!), { count: 2, mode: 'fast' })
  const help = await test.succeed(['help', 'read'])
  for (const part of ['--count', 'how often', 'fast', 'slow']) assert.match(help, part)
})

exits('an autopsy names no task that the config does not have', async ({ test }) => {
  const { stdout } = await test.run(['run', 'watchedOver'])
  assert.match(stdout, 'asked     GET /')
  assert.not.match(stdout, 'run logs')
  test.write({
    'devstack.config.ts': config(test.project).replace('tasks: {', 'tasks: { logs: task({ run: () => 1 }),'),
  })
  assert.match((await test.run(['run', 'watchedOver'])).stdout, 'further   devstack run logs api')
})

exits('a failed command is named with its text, its end and its place', async ({ test }) => {
  const secret = { env: { API_TOKEN: 'two words' } }
  for (const [name, message, place, more] of [
    ['multi', "`echo $'two words' && exit 2` failed with exit code 2", /devstack\.config\.ts:\d+:\d+/],
    ['multi', "`echo $'***' && exit 2` failed with exit code 2", /devstack\.config\.ts/, secret],
    ['hit', '`kill -9 $$` failed with signal SIGKILL', /devstack\.config\.ts:\d+:\d+/],
    ['shell', '`echo before; echo oops >&2; exit 7` failed with exit code 7', /devstack\.config\.ts/],
    ['lost', /The working directory .*\/nowhere of `echo x` does not exist/, /devstack\.config\.ts:\d+:\d+/],
    ['lostToo', /The working directory .*\/nowhere of `echo x` does not exist/, /devstack\.config\.ts/],
  ] as const) {
    const ended = await test.run(['run', name], more)
    assert.is(ended.exitCode, 1)
    assert.match(ended.stdout, message)
    assert.match(ended.stdout, place)
    const { stdout } = await test.run(['run', '--renderer', 'github', name], more)
    assert.match(
      stdout,
      place.source.includes('d+')
        ? /::error file=devstack\.config\.ts,line=\d+,col=/
        : /::error file=devstack\.config\.ts/,
    )
  }
})

exits('a reader that goes away ends the output, not with a stack', async ({ test }) => {
  const running = test.start(['run', 'long', '--verbose'])
  running.child.stdout?.destroy()
  const ended = await running.ended
  assert.not.match(ended.stderr, 'EPIPE')
})

exits('an output that cannot be written is said once, with no stack, and the work is done', ({ test }) => {
  for (const words of [['run', 'fine'], ['list']]) {
    const shell = ['-c', '"$0" "$@" > /dev/full', process.execPath, executable, ...words]
    const { status, stderr } = spawnSync('sh', shell, { cwd: test.directory, encoding: 'utf8' })
    assert.is(status, 1)
    assert.is(stderr.match(/Standard output could not be written: ENOSPC/g)?.length, 1, stderr)
    assert.not.match(stderr, /^\s+at /m)
  }
  assert.equal(marks(test), ['fine'])
})

exits('what waits for something that can not come fails, and is named', async ({ test }) => {
  const says = (what: string) => `${what} waits for something that can not come`
  for (const more of [[], ['--json'], ['--renderer', 'tree']]) {
    const { exitCode, stdout } = await test.run(['run', 'never', ...more])
    assert.is(exitCode, 1)
    assert.match(stdout.replaceAll('\\"', '"'), says('Task "never"'))
    assert.match(stdout.replaceAll('\\"', '"'), says('The cleanup of task "never"'))
  }
  assert.match(await test.succeed(['runs']), /failed/)
  const shut = await test.run(['run', 'shut'])
  assert.is(shut.exitCode, 1)
  assert.match(shut.stdout, says('Gate "a closed gate" of "shut"'))
  assert.equal(marks(test), ['cleaned'])
  const unseen = await test.run(['run', 'unseen'])
  assert.is(unseen.exitCode, 1)
  assert.match(unseen.stdout, says('The look at task "unseen"'))
  assert.match(await test.refused(['plan', 'unseen'], { exitCode: 1 }), says('The look at task "unseen"'))
  await test.succeed(['run', 'untaken'])
  assert.match((await test.run(['undo', '--yes'])).stdout, says('The undo of task "untaken"'))
  test.write({ 'devstack.config.ts': 'export default new Promise(() => {})\n' })
  assert.match(await test.refused(['list']), says('devstack'))
})

exits('commands name folders from that of their task, wherever devstack is started', async ({ test }) => {
  test.write({
    'folders.config.ts': `
import { defineConfig, task } from 'devstack'
const folders = task({ cwd: 'api', run: async ({ $, exec }) => {
  const inside = $({ cwd: 'src' })
  for (const { stdout } of [await $\`pwd\`, await inside\`pwd\`, await exec('pwd', { cwd: 'src' }), await exec('pwd', { cwd: '/' })])
    console.log(stdout.trim())
} })
const lost = task({ cwd: 'api', run: ({ $ }) => $({ cwd: 'nowhere' })\`pwd\` })
export default defineConfig({ tasks: { folders, lost } })
`,
    'api/src/file': '',
    'sub/file': '',
  })
  const from = { cwd: 'sub' }
  const stdout = await test.succeed(
    ['run', '--config', '../folders.config.ts', '--renderer', 'silent', 'folders'],
    from,
  )
  const api = join(test.directory, 'api')
  assert.equal(stdout.trim().split('\n'), [api, join(api, 'src'), join(api, 'src'), '/'])
  const ended = await test.run(['run', '--config', '../folders.config.ts', 'lost'], from)
  assert.match(ended.stdout, `The working directory ${join(api, 'nowhere')} of`)
})

exits.run()
