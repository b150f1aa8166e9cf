// deadline: 600s
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

const config = (project: string) => `
import { command, defineConfig, group, task, z } from 'devstack'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const first = task({ run: () => { mark('first'); return { port: 5432 } }, undo: ({ value }) => mark('undo first ' + value.port) })
const second = task({ needs: { first }, run: ({ needs }) => mark('second ' + needs.first.port), undo: () => { if (existsSync('undo-fails')) throw new Error('not now'); mark('undo second') } })
const third = task({ needs: { second }, run: () => { if (!existsSync('mended')) throw new Error('not yet'); mark('third') }, undo: () => mark('undo third') })
const fourth = task({ needs: { third }, run: ({ flags }) => mark('fourth ' + flags.noBackup), undo: () => mark('undo fourth') })
const secretive = task({ run: ({ secret }) => { secret('hunter2hunter2'); mark('secretive'); return { password: 'hunter2hunter2' } } })
const uses = task({ needs: { secretive, third }, run: ({ needs }) => mark('uses ' + needs.secretive.password) })
const takes = task({ params: z.object({ to: z.string() }), needs: { third }, run: ({ params }) => mark('takes ' + params.to) })
const image = task({ run: () => mark('image'), undo: () => mark('undo image') })
const placed = task({ needs: { image }, undoOn: 'on-failure', run: () => { mark('placed'); return 7 }, undo: ({ value }) => mark('undo placed ' + value) })
const routed = task({ needs: { placed }, undoOn: 'on-failure', run: () => mark('routed'), undo: () => mark('undo routed') })
const checked = task({ needs: { routed }, run: () => { throw new Error('unhealthy') } })
const long = task({ needs: { first }, run: async ({ signal, log }) => { if (existsSync('mended')) return mark('long'); log('long is running'); await new Promise((resolve) => { const t = setInterval(() => {}, 1000); signal.addEventListener('abort', () => { clearInterval(t); resolve() }) }); throw new Error('ended') } })
const looks = task({ effect: 'read', run: () => mark('looks') })
const drop = task({ effect: 'destroy', destroys: () => ['all of it'], needs: { first }, run: () => mark('drop') })
const afterDrop = task({ needs: { drop, third }, run: () => mark('afterDrop') })
export default defineConfig({ name: '${project}', tasks: { first, second, third, fourth, secretive, uses, takes, image, placed, routed, checked, long, looks, drop, afterDrop } })
`

const resumes = suite<{ test: Checkout }>('journal, resume and undo')
resumes.before.each((context) => {
  context.test = checkout({ name: 'resume', files: (project) => ({ 'devstack.config.ts': config(project) }) })
})
resumes.after.each(async ({ test }) => test.remove())

const marks = (test: Checkout): string => {
  const file = join(test.directory, 'marks')
  return existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ', ') : ''
}
const journals = (test: Checkout): readonly string[] => {
  const runs = join(test.directory, '.devstack', 'runs')
  return readdirSync(runs)
    .filter((name) => name.endsWith('.jsonl'))
    .sort()
    .map((name) => join(runs, name))
}

resumes('a failed run goes on where it stopped, with recorded values, and says which', async ({ test }) => {
  assert.is((await test.run(['run', 'fourth', '--no-backup'])).exitCode, 1)
  assert.is(marks(test), 'first, second 5432')
  test.write({ mended: '' })
  const resumed = await test.succeed(['resume'])
  assert.match(resumed, /first.*reused.*done in the run that is continued/)
  // what the first run was asked for holds on
  assert.is(marks(test), 'first, second 5432, third, fourth true')
  assert.match(await test.refused(['resume']), 'has succeeded')
  assert.match(await test.succeed(['runs']), /continues/)
})

resumes('resume --dry-run tells and changes nothing', async ({ test }) => {
  await test.run(['run', 'fourth'])
  const plan = await test.succeed(['resume', '--dry-run'])
  assert.match(plan, /second.*done in the run that is continued/)
  assert.is(marks(test), 'first, second 5432')
})

resumes('a task whose code has changed runs again, and what needs its value with it', async ({ test }) => {
  await test.run(['run', 'fourth'])
  test.write({ mended: '', 'devstack.config.ts': config(test.project).replace('port: 5432', 'port: 6543') })
  const resumed = await test.succeed(['resume'])
  assert.match(resumed, 'second')
  assert.is(marks(test), 'first, second 5432, first, second 6543, third, fourth false')
})

resumes('a run that was interrupted or killed goes on', async ({ test }) => {
  for (const signal of ['SIGINT', 'SIGKILL'] as const) {
    test.write({ marks: '' })
    const running = test.start(['run', 'long', '--verbose'])
    await running.seen(/long is running/)
    running.signal(signal)
    await running.ended
    assert.match(await test.succeed(['runs']), signal === 'SIGINT' ? 'cancelled' : 'interrupted')
    test.write({ mended: '' })
    await test.succeed(['resume'])
    assert.is(marks(test), 'first, long')
    await test.run(['run', 'first'])
    rmSync(join(test.directory, 'mended'))
  }
})

resumes('a secret is in no journal, so its task runs again', async ({ test }) => {
  await test.run(['run', 'uses'])
  assert.not.match(readFileSync(journals(test)[0]!, 'utf8'), 'hunter2')
  test.write({ mended: '' })
  await test.succeed(['resume'])
  assert.match(marks(test), /secretive.*secretive.*uses hunter2hunter2/)
})

resumes('params are those of the first run', async ({ test }) => {
  await test.run(['run', 'takes', '--to', '$(x) y'])
  test.write({ mended: '' })
  await test.succeed(['resume'])
  assert.match(marks(test), 'takes $(x) y')
})

resumes('what was destroyed already is not asked about again', async ({ test }) => {
  await test.run(['run', 'afterDrop', '--yes'])
  test.write({ mended: '' })
  await test.succeed(['resume'])
  assert.is(
    marks(test)
      .split(', ')
      .filter((mark) => mark === 'drop').length,
    1,
  )
})

resumes('undo goes backwards, stops at a failure, and goes on', async ({ test }) => {
  test.write({ mended: '' })
  await test.succeed(['run', 'fourth'])
  test.write({ marks: '', 'undo-fails': '' })
  assert.match(await test.succeed(['undo', '--dry-run']), /fourth[\s\S]*third[\s\S]*second[\s\S]*first/)
  const unasked = await test.run(['undo'])
  assert.is(unasked.exitCode, 2)
  assert.match(unasked.stderr, /no terminal to ask on: This undoes, in this order\n {2}fourth\n {2}third[\s\S]*--yes/)
  assert.is(marks(test), '', 'nothing was undone')
  const failed = await test.run(['undo', '--yes'])
  assert.is(failed.exitCode, 1)
  const [, run] = /go on: {2}devstack undo (\S+)/.exec(failed.stdout)!
  assert.is(marks(test), 'undo fourth, undo third')
  rmSync(join(test.directory, 'undo-fails'))
  await test.succeed(['undo', run!, '--yes'])
  assert.is(marks(test), 'undo fourth, undo third, undo second, undo first 5432')
  assert.match(await test.succeed(['undo', '--yes']), 'nothing that can be undone any more')
})

resumes('undo without a run passes over what only looked, but not over what was undone already', async ({ test }) => {
  await test.succeed(['run', 'image'])
  await test.succeed(['run', 'first'])
  await test.succeed(['run', 'looks'])
  await test.run(['run', 'checked', '--no-such-option'])
  await test.succeed(['undo', '--yes'])
  assert.match(marks(test), /looks, undo first 5432$/)
  assert.match(await test.succeed(['undo', '--yes']), 'nothing that can be undone any more')
  // nor over what changed something and has no undo
  await test.succeed(['run', 'secretive'])
  assert.match(await test.succeed(['undo', '--yes']), 'nothing that can be undone')
  assert.not.match(marks(test), 'undo image')
})

resumes("a failed run takes back what says undoOn: 'on-failure'", async ({ test }) => {
  const ended = await test.run(['run', 'checked'])
  assert.is(ended.exitCode, 1)
  assert.is(marks(test), 'image, placed, routed, undo routed, undo placed 7')
  assert.match(await test.succeed(['runs']), 'failed')
  test.write({ marks: '' })
  await test.succeed(['undo', '--yes'])
  assert.is(marks(test), 'undo image')
})

resumes('journals that are empty, torn, corrupt or newer', async ({ test }) => {
  await test.run(['run', 'fourth'])
  const [journal] = journals(test)
  const text = readFileSync(journal!, 'utf8')
  writeFileSync(journal!, text.trimEnd().split('\n').slice(0, -1).join('\n') + '\n{"at":17,"type":"node-do')
  const torn = readFileSync(journal!, 'utf8')
  assert.match((await test.run(['show'])).stderr, /torn.*was ignored/)
  assert.match((await test.run(['resume', '--dry-run'])).stderr, 'torn')
  assert.is(readFileSync(journal!, 'utf8'), torn)
  test.write({ mended: '' })
  assert.match((await test.run(['resume'])).stderr, /torn.*was cut off/)
  assert.is(torn.indexOf(readFileSync(journal!, 'utf8')), 0)
  assert.not.match((await test.run(['show', journal!.slice(-12, -6)])).stderr, 'torn')
  assert.not.match((await test.run(['undo', '--dry-run'])).stderr, 'torn')
  assert.is(marks(test), 'first, second 5432, third, fourth false')
  const bad = (content: string) =>
    writeFileSync(join(test.directory, '.devstack', 'runs', '99990101-000000-bad000.jsonl'), content)
  bad('')
  assert.match(await test.refused(['resume', 'bad000']), 'ended before it began')
  assert.match(await test.succeed(['runs']), 'empty')
  bad(text.replace('"format":1', '"format":99'))
  assert.match(await test.refused(['show', 'bad000'], { exitCode: 1 }), 'newer devstack')
  bad('{"a":1}\n' + text)
  const corrupt = /Line 1 of the journal is no event[\s\S]*bad000\.jsonl:1\n[\s\S]*\{"a":1\}[\s\S]*Remove the file/
  assert.match(await test.refused(['show', 'bad000'], { exitCode: 1 }), corrupt)
  assert.match(await test.succeed(['runs']), /bad000 +unreadable/)
  assert.match(await test.succeed(['runs']), corrupt)
  assert.match(await test.refused(['show', 'nope']), 'There is no run "nope"')
  await test.succeed(['run', 'first'])
})

resumes.run()

/** Eight effects, each a folder: making it twice or removing it twice is an error. `KILL_AT` names the step to die at. */
const effects = (project: string) => `
import { defineConfig, task } from 'devstack'
import { existsSync, mkdirSync, rmdirSync } from 'node:fs'
let step = 0
const point = () => { step += 1; if (step === Number(process.env.KILL_AT)) process.kill(process.pid, 'SIGKILL') }
const effect = (name, needs) => task({
  needs,
  observe: () => existsSync('effects/' + name) ? { state: 'fresh', cause: 'is there', value: { name } } : { state: 'stale', cause: 'is not there' },
  run: async () => { point(); mkdirSync('effects/' + name); point(); await new Promise((r) => setTimeout(r, 2)); point(); return { name } },
  undo: ({ value }) => { point(); if (value.name !== name) throw new Error('wrong value'); rmdirSync('effects/' + value.name); point() },
})
const a = effect('a', {}), b = effect('b', {}), c = effect('c', { a }), d = effect('d', { a, b })
const e = effect('e', { c }), f = effect('f', { c, d }), g = effect('g', { d }), h = effect('h', { e, f, g })
export default defineConfig({ name: '${project}', concurrency: 2, tasks: { a, b, c, d, e, f, g, h } })
`
const all = [...'abcdefgh']
const random = (below: number): number => Math.floor(Math.random() * below)

/** Kills a command: at a step of its own choice, or from outside after some time. */
async function killed(test: Checkout, args: readonly string[], how: { step: number } | { ms: number }): Promise<void> {
  if ('step' in how) return void (await test.run(args, { env: { KILL_AT: String(how.step) } }))
  const running = test.start(args)
  await Promise.race([running.seen(/started|undoing/).catch(() => undefined), running.ended])
  await new Promise((resolve) => setTimeout(resolve, how.ms))
  running.signal('SIGKILL')
  await running.ended
}

async function atOnePoint(index: number): Promise<void> {
  const test = checkout({ name: 'kill', files: (project) => ({ 'devstack.config.ts': effects(project) }) })
  mkdirSync(join(test.directory, 'effects'))
  const there = (): readonly string[] => readdirSync(join(test.directory, 'effects')).sort()
  const how = index % 3 === 2 ? { ms: random(40) } : { step: 1 + random(24) }
  const undoing = index % 2 === 1
  const undoStep = 1 + random(16)
  try {
    await killed(test, ['run', 'h'], how)
    if (!undoing) {
      const ended = await test.run(['resume'])
      // one that was killed after its end has nothing to go on with
      const over = /has succeeded/.test(ended.stderr)
      assert.ok(ended.exitCode === 0 || over, ended.stdout + ended.stderr)
      assert.equal(there(), all)
      return
    }
    await killed(test, ['undo', '--yes'], { step: undoStep })
    await test.succeed(['undo', '--yes'])
    assert.equal(there(), [])
  } catch (thrown) {
    const failure = thrown as Error
    failure.message += `\nkilled at ${JSON.stringify(how)}${undoing ? `, undo at step ${undoStep}` : ''}`
    throw failure
  } finally {
    await test.remove()
  }
}

const kills = suite('SIGKILL at random points')

kills('after resume each of 50 runs has every effect once, or after undo none', async () => {
  const points = Array.from({ length: 50 }, (_, index) => index)
  const work = async (): Promise<void> => {
    for (let index = points.shift(); index !== undefined; index = points.shift()) await atOnePoint(index)
  }
  await Promise.all([work(), work(), work()])
})

/** Effects of child processes, which outlive a killed runner: a line each, that comes some time after the start. */
const byChildren = (project: string) => `
import { defineConfig, task } from 'devstack'
import { existsSync, readFileSync } from 'node:fs'
const lines = () => existsSync('effects') ? readFileSync('effects', 'utf8').trim().split('\\n') : []
const effect = (name, needs, seconds) => task({ needs,
  observe: () => lines().includes(name) ? { state: 'fresh', cause: 'is there', value: 1 } : { state: 'stale', cause: 'is not there' },
  run: async ({ $ }) => { await $\`sleep \${seconds}; echo \${name} >> effects\`; return 1 },
  undo: async ({ $ }) => { await $\`sleep \${seconds}; echo undo \${name} >> effects\` } })
const a = effect('a', {}, 0.2), b = effect('b', {}, 0.3), c = effect('c', { a, b }, 0.2), d = effect('d', { c }, 0.1)
const charged = effect('charged', {}, 2)
export default defineConfig({ name: '${project}', concurrency: 2, tasks: { a, b, c, d, charged } })
`

async function withChildren(act: (test: Checkout, there: () => readonly string[]) => Promise<void>): Promise<void> {
  const test = checkout({ name: 'orphans', files: (project) => ({ 'devstack.config.ts': byChildren(project) }) })
  const file = join(test.directory, 'effects')
  try {
    await act(test, () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').sort() : []))
  } finally {
    await test.remove()
  }
}

kills('a child that outlives its runner is ended before the run is continued or undone', async () => {
  for (const command of ['resume', 'undo']) {
    await withChildren(async (test, there) => {
      const running = test.start(['run', 'charged'])
      await running.seen(/started/)
      await sleep(300)
      running.signal('SIGKILL')
      await running.ended
      const { exitCode, stderr, stdout } = await test.run([command, '--yes'])
      assert.is(exitCode, 0, stderr)
      assert.match(stderr + stdout, /Run \S+ was killed, and \d+ process(es)? of it went on: ended/)
      await sleep(2500)
      assert.equal(there(), command === 'resume' ? ['charged'] : [])
    })
  }
})

kills('after resume each of 8 runs has every effect of its children once', async () => {
  for (let index = 0; index < 8; index += 1) {
    await withChildren(async (test, there) => {
      const ms = random(600)
      await killed(test, ['run', 'd'], { ms })
      const ended = await test.run(['resume'])
      assert.ok(ended.exitCode === 0 || /has succeeded/.test(ended.stderr), ended.stdout + ended.stderr)
      await sleep(350)
      assert.equal(there(), ['a', 'b', 'c', 'd'], `killed after ${ms} ms`)
    })
  }
})

kills.run()
