import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

const config = (project: string) => `
import { command, defineConfig, task, z } from 'devstack'
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const build = task({ inputs: ['src/**'], outputs: ['out/**'], run: async ({ signal, log }) => {
  mark('build')
  mkdirSync('out', { recursive: true })
  writeFileSync('out/app.txt', readFileSync('src/a.txt', 'utf8').toUpperCase())
  if (existsSync('fail')) throw new Error('broken half-way')
  if (existsSync('hang')) { log('hanging'); await new Promise((resolve) => { const t = setInterval(() => {}, 1000); signal.addEventListener('abort', () => { clearInterval(t); resolve() }) }); throw new Error('ended') }
  return { size: readFileSync('out/app.txt', 'utf8').length }
} })
const version = task({ run: () => readFileSync('version', 'utf8').trim() })
const packed = task({ needs: { build, version }, inputs: [], params: z.object({ level: z.number().default(1) }), run: ({ needs, params }) => mark('pack ' + needs.version + ' ' + needs.build.size + ' ' + params.level) })
const changing = task({ inputs: ['src/**'], run: () => { mark('changing'); appendFileSync('src/a.txt', 'x') } })
const early = task({ inputs: ['src/**'], run: () => mark('early') })
const generated = task({ needs: { early }, run: () => writeFileSync('src/made.txt', readFileSync('version', 'utf8')) })
const late = task({ needs: { generated }, inputs: ['src/**'], run: () => mark('late ' + readFileSync('src/made.txt', 'utf8').trim()) })
const flavoured = task({ envFiles: ['my.env', 'absent.env'], inputs: [], run: ({ env }) => mark('flavoured ' + env.FLAVOUR) })
const stamped = task({ needs: { version }, inputs: ['src/**'], run: () => mark('stamped') })
const typed = task({ inputs: [], returns: z.object({ n: z.number() }), run: () => ({ n: 1 }) })
const reads = task({ needs: { typed }, run: ({ needs }) => mark('reads ' + JSON.stringify(needs.typed)) })
const nullable = task({ inputs: [], returns: z.string().nullable(), run: () => { mark('nullable'); return null } })
export default defineConfig({ name: '${project}', tasks: { build, version, packed, changing, early, generated, late, flavoured, stamped, typed, reads, nullable } })
`

const caches = suite<{ test: Checkout }>('cache')
caches.before.each((context) => {
  const files = (project: string) => ({ 'devstack.config.ts': config(project), 'src/a.txt': 'a\n', version: '1\n' })
  context.test = checkout({ name: 'cache', files })
})
caches.after.each(async ({ test }) => test.remove())

/** What ran since this was last asked. */
function ran(test: Checkout): string {
  const file = join(test.directory, 'marks')
  const text = existsSync(file) ? readFileSync(file, 'utf8').trim().replaceAll('\n', ', ') : ''
  writeFileSync(file, '')
  return text
}
const output = (test: Checkout): string => readFileSync(join(test.directory, 'out/app.txt'), 'utf8')

caches('skips what is unchanged, and runs what is not', async ({ test }) => {
  await test.succeed(['run', 'packed'])
  assert.is(ran(test), 'build, pack 1 2 1')
  assert.match(await test.succeed(['run', 'packed']), 'inputs and outputs are unchanged')
  assert.is(ran(test), '')
  test.write({ 'src/a.txt': 'a\n' })
  await test.succeed(['run', 'packed'])
  assert.is(ran(test), '', 'the time of a file counts for nothing')
  test.write({ version: '2\n' })
  await test.succeed(['run', 'packed'])
  assert.is(ran(test), 'pack 2 2 1', 'the value of a need')
  await test.succeed(['run', 'packed', '--level', '9'])
  assert.is(ran(test), 'pack 2 2 9', 'a param')
  test.write({ 'devstack.config.ts': config(test.project).replace("mark('build')", "mark('built anew')") })
  await test.succeed(['run', 'packed'])
  assert.is(ran(test), 'built anew', 'the source of the function')
})

caches('outputs that are gone, edited or of an earlier state are restored', async ({ test }) => {
  await test.succeed(['run', 'build'])
  rmSync(join(test.directory, 'out'), { recursive: true })
  assert.match(await test.succeed(['run', 'build']), 'restored from the cache')
  assert.is(output(test), 'A\n')
  test.write({ 'out/app.txt': 'edited by hand\n' })
  await test.succeed(['run', 'build'])
  assert.is(output(test), 'A\n')
  assert.is(ran(test), 'build')
  test.write({ 'src/a.txt': 'bb\n' })
  await test.succeed(['run', 'build'])
  assert.is(output(test), 'BB\n')
  test.write({ 'src/a.txt': 'a\n' })
  await test.succeed(['run', 'build'])
  assert.is(output(test), 'A\n')
  assert.is(ran(test), 'build')
})

caches('a variable of an env file counts, and why names it', async ({ test }) => {
  test.write({ 'my.env': 'FLAVOUR=mint\nOTHER=1\n' })
  await test.succeed(['run', 'flavoured'])
  await test.succeed(['run', 'flavoured'])
  assert.is(ran(test), 'flavoured mint')
  test.write({ 'my.env': 'FLAVOUR=plain\nOTHER=1\n' })
  assert.match(await test.succeed(['why', 'flavoured']), 'environment variable FLAVOUR changed')
  await test.succeed(['run', 'flavoured'])
  assert.is(ran(test), 'flavoured plain')
  test.write({ 'absent.env': 'MORE=1\n' })
  assert.match(await test.succeed(['why', 'flavoured']), 'environment variable MORE counts now')
})

caches('a recorded value that the schema no longer takes counts as absent', async ({ test }) => {
  await test.succeed(['run', 'reads', '--', 'nullable'])
  assert.match(await test.succeed(['run', 'reads', '--', 'nullable']), /typed.*unchanged/)
  assert.is(ran(test), 'nullable, reads {"n":1}, reads {"n":1}')
  const changed = config(test.project).replace('n: z.number()', 'n: z.coerce.string().min(1).startsWith("x")')
  test.write({ 'devstack.config.ts': changed })
  assert.match(await test.succeed(['why', 'typed']), /would run: its recorded value does not fit any more: n: /)
  test.write({ 'devstack.config.ts': config(test.project).replace('n: z.number()', 'n: z.coerce.string()') })
  await test.succeed(['run', 'reads'])
  assert.is(ran(test), 'reads {"n":"1"}')
})

caches('a plan says what is known where the value of a need is not', async ({ test }) => {
  const step = async (task: string) => {
    const steps = JSON.parse(await test.succeed(['plan', task, '--json'])) as { node: string; cause: string }[]
    return steps.find(({ node }) => node === task)!.cause
  }
  assert.is(await step('stamped'), 'needs "version", which would run')
  await test.succeed(['run', 'stamped'])
  assert.is(await step('stamped'), 'may be reused, if what it needs stays the same: needs "version", which would run')
  assert.match(await test.succeed(['run', 'stamped']), /stamped.*unchanged/)
  test.write({ 'src/a.txt': 'changed' })
  assert.is(await step('stamped'), 'src/a.txt changed; needs "version", which would run')
  test.write({ 'src/b.txt': 'new' })
  const why = await test.succeed(['why', 'stamped'])
  for (const part of ['src/a.txt changed', 'src/b.txt is new', 'needs "version"', 'version would run']) {
    assert.match(why, part)
  }
})

caches('--force runs, --no-cache neither reads nor writes', async ({ test }) => {
  await test.succeed(['run', 'build', '--no-cache'])
  assert.not(existsSync(join(test.directory, '.devstack', 'cache')))
  await test.succeed(['run', 'build'])
  await test.succeed(['run', 'build', '--no-cache'])
  await test.succeed(['run', 'build', '--force'])
  assert.is(ran(test), 'build, build, build, build')
  await test.succeed(['run', 'build'])
  assert.is(ran(test), '')
})

caches('a failed or cancelled task leaves nothing fresh', async ({ test }) => {
  await test.succeed(['run', 'build'])
  test.write({ fail: '', 'src/a.txt': 'new\n' })
  assert.is((await test.run(['run', 'build'])).exitCode, 1)
  rmSync(join(test.directory, 'fail'))
  await test.succeed(['run', 'build'])
  assert.is(ran(test), 'build, build, build')
  test.write({ hang: '', 'src/a.txt': 'newer\n' })
  const running = test.start(['run', 'build'])
  await running.seen(/hanging/)
  running.signal('SIGINT')
  await running.ended
  rmSync(join(test.directory, 'hang'))
  await test.succeed(['run', 'build'])
  assert.is(ran(test), 'build, build')
})

caches('a result whose inputs changed meanwhile is not remembered', async ({ test }) => {
  assert.match(await test.succeed(['run', 'changing']), 'not remembered')
  await test.succeed(['run', 'changing'])
  assert.is(ran(test), 'changing, changing')
})

caches('what any task changed meanwhile is looked at again', async ({ test }) => {
  await test.succeed(['run', 'late'])
  await test.succeed(['run', 'late'])
  assert.is(ran(test), 'early, late 1, early')
  test.write({ version: '2\n' })
  await test.succeed(['run', 'late'])
  assert.is(ran(test), 'late 2', 'early looked at the file before it was changed')
})

caches('truncated, altered and empty entries count as absent', async ({ test }) => {
  const damage: readonly ((file: string) => void)[] = [
    (file) => truncateSync(file, 10),
    (file) => writeFileSync(file, ''),
    (file) => writeFileSync(file, readFileSync(file, 'latin1').replace(/[a-f]/, '0'), 'latin1'),
    (file) => rmSync(file),
  ]
  for (const [index, harm] of damage.entries()) {
    test.write({ 'src/a.txt': `a${index}\n` })
    await test.succeed(['run', 'build'])
    const root = join(test.directory, '.devstack', 'cache')
    for (const folder of ['tasks', 'entries', 'blobs'])
      for (const name of readdirSync(join(root, folder))) harm(join(root, folder, name))
    rmSync(join(test.directory, 'out'), { recursive: true })
    await test.succeed(['run', 'build'])
    assert.is(ran(test), 'build, build', String(harm))
    assert.is(output(test), `A${index}\n`)
  }
})

caches('the store is bounded and pruned', async ({ test }) => {
  for (const text of ['one', 'two', 'three']) {
    test.write({ 'src/a.txt': text.repeat(1000) })
    await test.succeed(['run', 'build'])
  }
  const stats = async () => JSON.parse(await test.succeed(['cache', 'stats', '--json'])) as { entries: number }
  assert.is((await stats()).entries, 3)
  await test.succeed(['cache', 'prune', '--max-size', '6KB'])
  assert.is((await stats()).entries, 1)
  assert.match(await test.succeed(['run', 'build']), 'unchanged')
})

caches('prune removes what was not used for a time, and nothing in a dry run', async ({ test }) => {
  await test.succeed(['run', 'build'])
  test.write({ 'src/a.txt': 'other\n' })
  await test.succeed(['run', 'build'])
  const folder = join(test.directory, '.devstack', 'cache')
  const stored = () => ['entries', 'blobs'].map((name) => readdirSync(join(folder, name)).length)
  const [first] = readdirSync(join(folder, 'entries'))
  const twoDaysAgo = Date.now() / 1000 - 2 * 86_400
  utimesSync(join(folder, 'entries', first!), twoDaysAgo, twoDaysAgo)
  const prune = ['cache', 'prune', '--older-than', '24h']
  assert.match(await test.succeed([...prune, '--dry-run']), '2 files would be removed')
  const everything = await test.succeed(['cache', 'prune', '--max-size', '0', '--dry-run', '--json'])
  assert.equal(JSON.parse(everything), { bytes: 0, removed: 4 })
  assert.equal(stored(), [2, 2])
  assert.match(await test.succeed(prune), '2 files removed')
  assert.equal(stored(), [1, 1])
  assert.not(readdirSync(join(folder, 'entries')).includes(first!))
})

caches.run()
