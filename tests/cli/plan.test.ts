import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { onTerminal, terminalMissing } from '../support/terminal.ts'

const config = (project: string) => `
import { after, command, defineConfig, group, task, z } from 'devstack'
import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const build = task({ inputs: ['src/**'], outputs: ['out.txt'], params: z.object({ mode: z.string().default('fast') }), passEnv: ['FLAVOUR'],
  ...command('cat src/a.txt src/b.txt > out.txt; echo built >> marks') })
const deploy = task({ needs: { build }, effect: 'change',
  observe: () => existsSync('deployed') ? { state: 'fresh', cause: 'is deployed', value: { at: 1 } } : { state: 'stale', cause: 'is not deployed' },
  run: () => { mark('deploy'); writeFileSync('deployed', ''); return { at: 1 } } })
const smoke = task({ needs: { deploy }, effect: 'read', run: () => mark('smoke') })
const elsewhere = task({ platforms: ['win32'], run: () => mark('elsewhere') })
const writing = task({ observe: async ({ runtime }) => { await runtime.removeVolume('x'); return { state: 'stale', cause: 'never' } }, run: () => 1 })
const drop = task({ effect: 'destroy', description: 'Drop the database', destroys: () => ['database app (3 tables)', 'role app'], run: () => mark('drop') })
const wipe = task({ effect: 'destroy', destroys: () => ['volume data'], run: () => mark('wipe') })
const empty = task({ effect: 'destroy', destroys: () => [], run: () => mark('empty') })
const first = task({ run: () => mark('first') })
const reset = group({ first, drop, wipe, empty })
const publish = task({ needs: { first }, confirm: 'Sends it to every customer', run: () => mark('publish') })
const both = group({ publish, wipe })
const elsewhereAsked = task({ platforms: ['win32'], confirm: 'Reboots', run: () => mark('elsewhereAsked') })
const elsewhereWipes = task({ platforms: ['win32'], needs: { first }, effect: 'destroy', run: () => mark('elsewhereWipes') })
const release = task({ inputs: ['src/**'], confirm: 'Sends it', run: () => mark('release') })
const rotate = task({ inputs: ['src/**'], effect: 'destroy', destroys: () => ['old keys'], run: () => mark('rotate') })
const holds = { description: 'it holds', hold: async () => ({ asked: 1 }) }
const gated = task({ needs: { first: after(first, { until: holds }) }, inputs: ['src/**'], confirm: 'Perhaps gated', run: () => mark('gated') })
const seen = task({ needs: { first }, observe: () => ({ state: 'fresh', cause: 'is there', value: 1 }), confirm: 'Perhaps seen', run: () => 1 })
const unsure = task({ needs: { first }, inputs: ['src/**'], confirm: 'Perhaps', run: () => mark('unsure') })
const resume = task({ description: 'Thaw it', params: z.object({ which: z.string() }), needs: ({ which }) => (which.length > 3 ? { build } : {}) })
export default defineConfig({ name: '${project}', tasks: { build, deploy, smoke, elsewhere, writing, drop, wipe, empty, first, reset, publish, both, elsewhereAsked, elsewhereWipes, release, rotate, unsure, gated, seen, resume } })
`

const plans = suite<{ test: Checkout }>('plan, why and confirmation')
plans.before.each((context) => {
  const files = (project: string) => ({ 'devstack.config.ts': config(project), 'src/a.txt': 'a\n', 'src/b.txt': 'b\n' })
  context.test = checkout({ name: 'plan', files })
})
plans.after.each(async ({ test }) => test.remove())

const marks = (test: Checkout): string => {
  const file = join(test.directory, 'marks')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ' ') : ''
}

/** Every file with its content, but for what completion and the hashes of files remember. */
function snapshot(directory: string): string {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/completion\.json|node_modules/.test(join(entry.parentPath, entry.name)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => `${file} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
    .join('\n')
}

plans('plan, --dry-run and why change nothing, in text and JSON', async ({ test }) => {
  for (const round of [1, 2]) {
    const before = snapshot(test.directory)
    const asked = [
      ['plan', 'smoke'],
      ['run', '--dry-run', 'smoke'],
      ['plan', '--json', 'smoke'],
      ['why', 'smoke'],
      ['why', '--json', 'build'],
      ['plan', 'reset'],
    ]
    for (const args of asked) await test.succeed(args)
    assert.is(snapshot(test.directory), before, `round ${round}`)
    if (round === 1) await test.succeed(['run', 'smoke'])
  }
})

plans('a plan says what would run, be reused or be skipped, and why', async ({ test }) => {
  const steps = async (...args: string[]) => {
    const found = JSON.parse(await test.succeed(['plan', '--json', ...args])) as {
      node: string
      decision: string
      cause: string
    }[]
    return Object.fromEntries(found.map(({ node, decision, cause }) => [node, `${decision}: ${cause}`]))
  }
  assert.equal(await steps('smoke', '--', 'elsewhere'), {
    build: 'run: never succeeded with these inputs',
    deploy: 'run: is not deployed',
    smoke: 'run: needs "deploy", which would run',
    elsewhere: `skip: only for win32; this is ${process.platform}`,
  })
  await test.succeed(['run', 'smoke'])
  assert.equal(await steps('smoke'), {
    build: 'reuse: inputs and outputs are unchanged',
    deploy: 'reuse: is deployed',
    smoke: 'run: reads anew each time',
  })
  assert.match(await test.succeed(['plan', 'smoke']), /build.*unchanged/)
  assert.is(await test.succeed(['plan', 'smoke']), await test.succeed(['run', 'smoke', '--dry-run']))
})

plans('why names the file, the param and the variable that differ', async ({ test }) => {
  await test.succeed(['run', 'build'])
  const why = (...args: string[]) => test.succeed(['why', 'build', ...args])
  assert.match(await why(), 'would be reused: inputs and outputs are unchanged')
  test.write({ 'src/b.txt': 'changed\n', 'src/c.txt': 'new\n' })
  const files = await why()
  assert.match(files, 'src/b.txt')
  assert.match(files, 'src/c.txt')
  test.write({ 'src/b.txt': 'b\n' })
  assert.match(await test.succeed(['why', 'build'], { env: { FLAVOUR: 'mint' } }), 'FLAVOUR')
  test.write({ 'out.txt': 'by hand' })
  assert.match(await why(), 'src/c.txt')
})

plans('why says how the last run of a task failed, until it has succeeded', async ({ test }) => {
  const config = (body: string) => `import { defineConfig, task } from 'devstack'
export default defineConfig({ tasks: { pack: task({ inputs: ['src/**'], run: () => { ${body} } }) } })`
  test.write({ 'devstack.config.ts': config("throw new Error('no space left')") })
  assert.not.match(await test.succeed(['why', 'pack']), 'failed')
  await test.run(['run', 'pack'])
  const [run] = JSON.parse(await test.succeed(['runs', '--json'])) as { runId: string; startedAt: number }[]
  const day = new Date(run!.startedAt).toISOString().slice(0, 10)
  assert.match(
    await test.succeed(['why', 'pack']),
    new RegExp(`failed the last time, in run ${run!.runId} at ${day} [\\d:]+: .*no space left`),
  )
  const [step] = JSON.parse(await test.succeed(['why', 'pack', '--json'])) as { lastFailure: { runId: string } }[]
  assert.is(step!.lastFailure.runId, run!.runId)
  test.write({ 'devstack.config.ts': config('') })
  await test.succeed(['run', 'pack'])
  test.write({ 'src/b.txt': 'changed\n' })
  assert.not.match(await test.succeed(['why', 'pack']), 'failed')
})

plans('why does without a journal that can not be read', async ({ test }) => {
  await test.succeed(['run', 'build'])
  const runs = join(test.directory, '.devstack', 'runs')
  const [journal] = readdirSync(runs).filter((name) => name.endsWith('.jsonl'))
  const [first, ...rest] = readFileSync(join(runs, journal!), 'utf8').split('\n')
  test.write({ [`.devstack/runs/${journal}`]: [first, 'rubbish', ...rest].join('\n') })
  assert.match(await test.succeed(['why', 'build']), 'inputs and outputs are unchanged')
})

plans('planning can not act, whatever a task tries', async ({ test }) => {
  const ended = await test.run(['plan', 'writing'])
  assert.is(ended.exitCode, 1)
  assert.match(ended.stderr, /removeVolume|plan/)
})

plans('a confirmation is refused without a terminal, and lists everything', async ({ test }) => {
  const refused = await test.refused(['run', 'reset'])
  for (const part of ['drop', 'database app (3 tables)', 'role app', 'wipe', 'volume data', '--yes'])
    assert.match(refused, part)
  assert.not.match(refused, 'empty')
  assert.is(marks(test), '')
  await test.succeed(['run', 'reset', '--yes'])
  assert.equal(marks(test).split(' ').sort(), ['drop', 'empty', 'first', 'wipe'])
})

plans('a task asks what must be agreed to, together with what is destroyed', async ({ test }) => {
  const refused = await test.refused(['run', 'both'])
  for (const part of ['This destroys', 'volume data', 'publish: Sends it to every customer', '--yes'])
    assert.match(refused, part)
  const alone = await test.refused(['run', 'publish'])
  assert.match(alone, 'Sends it to every customer')
  assert.not.match(alone, 'destroys')
  assert.is(marks(test), '')
  const plan = await test.succeed(['plan', 'both'])
  for (const part of ['DESTROYS volume data', 'ASKS Sends it to every customer']) assert.match(plan, part)
  assert.match(await test.succeed(['help', 'publish']), 'Sends it to every customer')
  await test.succeed(['run', 'publish', '--yes'])
  assert.is(marks(test), 'first publish')
})

plans('what the plan skips or reuses is not asked about', async ({ test }) => {
  await test.succeed(['run', 'elsewhereAsked', '--', 'elsewhereWipes'])
  for (const task of ['release', 'rotate', 'unsure', 'gated']) {
    await test.refused(['run', task])
    await test.succeed(['run', task, '--yes'])
  }
  test.write({ marks: '' })
  assert.match(await test.succeed(['run', 'release', '--', 'rotate']), /release.*unchanged/)
  assert.is(marks(test), '')
  // what they need runs each time, and might change what they find
  for (const task of ['unsure', 'gated', 'seen']) assert.match(await test.refused(['run', task]), 'Perhaps')
  assert.match(await test.refused(['run', 'release', '--force']), 'Sends it')
  test.write({ 'src/a.txt': 'changed' })
  assert.match(await test.refused(['run', 'release', '--', 'rotate']), /old keys[\s\S]*Sends it/)
})

plans('help about a command says that a task is called like it', async ({ test }) => {
  assert.match(
    await test.succeed(['help', 'resume']),
    /^Continue a run[\s\S]*There is a task of that name, too: "devstack run resume --help" explains it\.\n$/,
  )
  assert.match(await test.succeed(['run', 'resume', '--help']), 'resume: Thaw it')
  assert.not.match(await test.succeed(['help', 'undo']), 'There is a task')
  test.write({ 'devstack.config.ts': 'export default {' })
  assert.match(await test.succeed(['help', 'resume']), /^Continue a run/)
})

plans('nothing to destroy, nothing to ask', async ({ test }) => {
  await test.succeed(['run', 'empty'])
})

plans('on a terminal one question comes before the first effect; no leaves all as it is', async ({ test }) => {
  const missing = terminalMissing()
  if (missing !== undefined) return void console.log(`not run: ${missing}`)
  const command = join(test.directory, 'node_modules', 'devstack', 'bin', 'devstack.cjs')
  const answer = (press: string) =>
    onTerminal(`${process.execPath} ${command} run reset`, {
      cwd: test.directory,
      env: { CI: '', GITHUB_ACTIONS: '' },
      keyboard: [{ after: /Go on\?/, press }],
    })
  const no = await answer('n\r')
  assert.is(no.exitCode, 1, no.text)
  for (const part of ['database app (3 tables)', 'volume data']) assert.match(no.text, part)
  assert.is(marks(test), '')
  const interrupted = await answer('\x03')
  assert.is(interrupted.exitCode, 130, interrupted.text)
  assert.is(marks(test), '')
  const yes = await answer('y\r')
  assert.is(yes.exitCode, 0, yes.text)
  assert.match(marks(test), 'drop')
})

plans.run()
