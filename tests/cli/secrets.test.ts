// deadline: 120s
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

const config = (project: string) => `
import { after, defineConfig, task, z } from 'devstack'
import { appendFileSync, existsSync } from 'node:fs'
const mark = (text) => appendFileSync('marks', text + '\\n')
const params = z.object({ secret: z.string() })
const withP = task({ params, inputs: [], run: ({ params }) => { mark(params.secret); if (existsSync('fail')) throw new Error('not ' + params.secret) } })
const own = task({ env: { API_TOKEN: 'tok-of-its-own' }, run: ({ exec }) => exec('echo $API_TOKEN').then(() => {}) })
const kept = task({ inputs: [], run: ({ secret }) => { mark('kept'); secret('tok-abcdef'); return { token: 'tok-abcdef' } } })
const login = task({ params: z.object({ password: z.string(), user: z.string() }), run: ({ params }) => mark(params.user) })
const made = task({ run: ({ secret }) => { secret('tok-abcdef'); return { id: 7, token: 'tok-abcdef' } }, undo: ({ value }) => mark('undo made ' + value.id) })
const holds = { description: 'it holds', hold: async () => ({ asked: 1 }) }
const gated = task({ needs: { made: after(withoutUndo(), { until: holds }) }, run: () => 1, undo: ({ needs }) => mark('undo gated ' + needs.made.id) })
function withoutUndo() { return task({ run: ({ secret }) => { secret('tok-abcdef'); return { id: 7, token: 'tok-abcdef' } } }) }
const plainMade = task({ run: () => ({ id: 8 }) })
const plainGated = task({ needs: { made: after(plainMade, { until: holds }) }, run: () => 1, undo: ({ needs, value }) => mark('undo plain ' + needs.made.id + value) })
const last = task({ needs: { made }, run: () => 2, undo: () => mark('undo last') })
const both = task({ needs: { a: after(withP, { params: { secret: process.env.DB_PASSWORD ?? '' } }), b: after(withP, { params: { secret: process.env.API_TOKEN ?? '' } }) }, run: () => mark('both') })
export default defineConfig({ name: '${project}', tasks: { withP, own, kept, login, both, made, last, gated, plainMade, plainGated } })
`
const value = 'sup3rs3cretvalue'

const secrets = suite<{ test: Checkout }>('secrets in params')
secrets.before.each((context) => {
  context.test = checkout({ name: 'secrets', files: (project) => ({ 'devstack.config.ts': config(project) }) })
})
secrets.after.each(async ({ test }) => test.remove())

/** Files of the project that hold the text, in their name or content. */
function holding(directory: string, text: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules') && entry.name !== 'marks')
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => file.includes(text) || readFileSync(file, 'utf8').includes(text))
}

secrets('the value of a variable that is secret is neither shown nor stored', async ({ test }) => {
  const env = { DB_PASSWORD: value }
  const args = ['run', '--junit', 'j.xml', '--trace', 't.json', '--json', 'withP', '--secret', value]
  test.write({ fail: '' })
  const ended = await test.run(args, { env })
  assert.is(ended.exitCode, 1)
  const plan = await test.succeed(['plan', 'withP', '--secret', value], { env })
  for (const text of [ended.stdout, ended.stderr, plan]) assert.not.match(text, value)
  assert.match(plan, 'withP(secret="***")')
  assert.equal(holding(test.directory, value), [])
})

secrets('so is that of a param whose name says secret', async ({ test }) => {
  const out = await test.succeed(['run', '--junit', 'j.xml', 'login', '--user', 'jo', '--password', value])
  assert.match(out, 'login(password="***", user="jo")')
  assert.equal(holding(test.directory, value), [])
})

secrets("what looks secret in a task's own variables is masked, too", async ({ test }) => {
  const out = await test.succeed(['run', 'own', '--verbose'])
  assert.match(out, /\*\*\*/)
  assert.not.match(out, 'tok-of-its-own')
})

secrets('a value that holds a secret is not remembered', async ({ test }) => {
  for (let round = 0; round < 2; round += 1) assert.match(await test.succeed(['run', 'kept']), 'is not remembered')
  assert.equal(readFileSync(join(test.directory, 'marks'), 'utf8'), 'kept\nkept\n')
  // the config itself has it
  assert.equal(
    holding(test.directory, 'tok-abcdef').map((file) => basename(file)),
    ['devstack.config.ts'],
  )
})

secrets('tasks that differ in a secret only are two, and are remembered by it', async ({ test }) => {
  const run = (args: string[], one = 'first-secret', two = 'second-secret') =>
    test.succeed(args, { env: { DB_PASSWORD: one, API_TOKEN: two } })
  const out = await run(['run', 'both'])
  for (const id of ['withP(secret="***")', 'withP(secret="***") #2']) assert.match(out, id)
  assert.equal(holding(test.directory, 'first-secret'), [])
  const steps = JSON.parse(await run(['plan', 'both', '--json'])) as { node: string; decision: string }[]
  assert.equal(
    steps.map(({ decision }) => decision),
    ['reuse', 'reuse', 'run'],
  )
  const [first, second] = JSON.parse(await run(['plan', 'both', '--json'], 'other-secret')) as typeof steps
  assert.equal([first!.decision, second!.decision], ['run', 'reuse'])
})

secrets('a run whose params were masked is not continued or undone with the mask in their place', async ({ test }) => {
  test.write({ fail: '' })
  const env = { DB_PASSWORD: value }
  await test.run(['run', 'withP', '--secret', value], { env })
  for (const args of [['resume'], ['resume', '--dry-run'], ['undo'], ['undo', '--dry-run']]) {
    const refused = await test.refused(args, { env })
    for (const part of ['param "secret" of task "withP"', 'masked']) assert.match(refused, part)
    if (args[0] === 'resume') assert.match(refused, 'devstack run withP')
  }
  assert.is(readFileSync(join(test.directory, 'marks'), 'utf8'), `${value}\n`)
})

secrets('undo is refused as a whole where it would need a value that was masked', async ({ test }) => {
  await test.succeed(['run', 'last'])
  for (const more of [[], ['--dry-run']]) {
    const refused = await test.refused(['undo', ...more])
    for (const part of ['"made"', 'masked']) assert.match(refused, part)
  }
  await test.succeed(['run', 'gated'])
  assert.match((await test.run(['undo', '--yes'])).stdout, 'value of "gated.made"')
  await test.succeed(['run', 'plainGated'])
  await test.succeed(['undo', '--yes'])
  assert.is(readFileSync(join(test.directory, 'marks'), 'utf8'), 'undo plain 81\n')
})

secrets.run()
