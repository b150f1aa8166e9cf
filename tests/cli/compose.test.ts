/** Compose files as the command line reads them: what `compose config` shows is what a run uses. */
import { spawnSync } from 'node:child_process'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout, executable } from '../support/checkout.ts'

const test = suite<{ test: Checkout }>('compose on the command line')
test.before.each((context) => {
  context.test = checkout({ name: 'composecli', files: {} })
})
test.after.each(async (context) => context.test.remove())

const config = (settings = '') => ({
  'devstack.config.ts': `import { defineConfig, task } from 'devstack'
import { compose } from 'devstack/packs'
export default defineConfig({ ${settings} use: [compose('compose.yaml')], tasks: {
  values: task({ run: ({ env, note }) => note(JSON.stringify([env.IMG, env.LITERAL, env.LOCAL])) }) } })
`,
})

test('values of .env and .env.local are interpolated, in compose files and for tasks', async ({ test: place }) => {
  place.write({
    ...config(),
    '.env': 'TAG=bookworm-slim\nIMG="debian:${TAG}"\nLITERAL=\'a${TAG}\'\n',
    '.env.local': 'LOCAL=${TAG}-${GIVEN:-none}\n',
    'compose.yaml': 'services:\n  a:\n    image: ${IMG}\n    command: ["$LITERAL", "$LOCAL"]\n    network_mode: none\n',
  })
  const shown = await place.succeed(['compose', 'config', '--format', 'json'], { env: { GIVEN: 'given' } })
  const { a } = JSON.parse(shown).services
  assert.is(a.image, 'debian:bookworm-slim')
  assert.equal(a.command, ['a$${TAG}', 'bookworm-slim-given'])
  assert.match(await place.succeed(['run', 'values']), '["debian:bookworm-slim","a${TAG}","bookworm-slim-none"]')
})

test('a line of .env that is none is told with its place', async ({ test: place }) => {
  place.write({ ...config(), '.env': 'A=1\nB="open\n', 'compose.yaml': 'services:\n  a:\n    image: debian\n' })
  for (const args of [
    ['plan', 'up'],
    ['compose', 'config'],
  ])
    assert.match(await place.refused(args), /A quoted value is not closed\n.*\.env:2:3/)
})

test('a variable that is not set is one warning with its place', async ({ test: place }) => {
  place.write({
    ...config(),
    'compose.yaml': 'services:\n  a:\n    image: debian\n    command: [sleep, "${UNSET}", "${UNSET}", "${UNSET-1}"]\n',
  })
  const { exitCode, stderr } = await place.run(['compose', 'config'])
  assert.is(exitCode, 0)
  const warning = /^Warning: The variable UNSET is not set: it counts as empty \(.*compose\.yaml:4:22\)\.\n$/
  assert.match(stderr, warning)
})

const twoServices = `services:
  a: { image: debian, network_mode: none }
  b: { image: debian, network_mode: none, profiles: [more] }
`

async function shown(place: Checkout, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
  const model = JSON.parse(await place.succeed(['compose', 'config', '--format', 'json', ...args], { env }))
  return { name: model.name as string, services: Object.keys(model.services) }
}

test("the project's name: the config's, else the variable, else the file's, else the folder's", async ({
  test: place,
}) => {
  const folder = /^dst-composecli-.*-[0-9a-f]{4}$/
  place.write({ ...config("name: 'config',"), 'compose.yaml': `name: file-\${X:-x}\n${twoServices}` })
  const variable = { COMPOSE_PROJECT_NAME: 'variable' }
  assert.is((await shown(place, [], variable)).name, 'config')
  place.write(config())
  assert.is((await shown(place, [], variable)).name, 'variable')
  assert.is((await shown(place, [], { X: 'y' })).name, 'file-y')
  place.write({ 'more.yaml': 'services:\n  a: { image: other }\n' })
  assert.is((await shown(place, ['--file', 'compose.yaml', '--file', 'more.yaml'])).name, 'file-x')
  place.write({ 'compose.yaml': twoServices })
  assert.match((await shown(place)).name, folder)
  assert.match(
    await place.refused(['list'], { env: { COMPOSE_PROJECT_NAME: 'Not One' } }),
    /COMPOSE_PROJECT_NAME is "Not One"/,
  )
  place.write({ 'compose.yaml': `name: Not One\n${twoServices}` })
  assert.match(await place.refused(['plan', 'up']), /"Not One" can not be a project's name\n.*compose\.yaml:1:7/)
})

test('a run takes the name and the profiles that compose config shows', async ({ test: place }) => {
  place.write({
    'compose.yaml': `name: file\n${twoServices}`,
    'devstack.config.ts': `import { defineConfig, task } from 'devstack'
import { compose } from 'devstack/packs'
export default defineConfig({ use: [compose('compose.yaml')], tasks: { who: task({ run: ({ project, note }) => note(project.name) }) } })
`,
  })
  assert.match(await place.succeed(['run', 'who']), /^file$/m)
  assert.match(await place.succeed(['run', 'who'], { env: { COMPOSE_PROJECT_NAME: 'variable' } }), /^variable$/m)
  const graph = ['graph', 'up', '--format', 'mermaid']
  assert.not.match(await place.succeed(graph), '"b"')
  assert.match(await place.succeed(graph, { env: { COMPOSE_PROFILES: 'other, more' } }), '"b"')
  assert.equal((await shown(place)).services, ['a'])
  assert.equal((await shown(place, [], { COMPOSE_PROFILES: 'more' })).services, ['a', 'b'])
  assert.equal((await shown(place, ['--profile', 'more'], { COMPOSE_PROFILES: 'other' })).services, ['a', 'b'])
})

test('compose config takes the override file, and the stack of the config', async ({ test: place }) => {
  place.write({ 'compose.yaml': twoServices, 'compose.override.yaml': 'services:\n  c: { image: debian }\n' })
  assert.equal((await shown(place)).services, ['a', 'c'])
  assert.equal((await shown(place, ['--file', 'compose.yaml'])).services, ['a'])
  place.write(config())
  assert.equal((await shown(place)).services, ['a'], 'the config names one file')
  place.write({ 'devstack.config.ts': config()['devstack.config.ts'].replace("compose('", "compose('no-") })
  assert.match(await place.refused(['compose', 'config']), 'no-compose.yaml does not exist')
  place.write({
    'devstack.config.ts': `import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'
export default defineConfig({ name: 'ha', use: [haStack({ applications: false })] })
`,
  })
  const stack = await shown(place)
  assert.is(stack.name, 'ha')
  assert.is(stack.services.length, 12)
})

test('--env-file is ours, not that of the Node that starts', async ({ test: place }) => {
  place.write({ 'compose.yaml': 'services:\n  a: { image: "${IMG}" }\n', 'my.env': 'IMG=from-file\n' })
  const call = (file: string) =>
    spawnSync(executable, ['compose', 'config', '--env-file', file], { cwd: place.directory, encoding: 'utf8' })
  assert.match(call('my.env').stdout, 'image: from-file')
  const { status, stderr } = call('none.env')
  assert.is(status, 2, stderr)
  assert.match(stderr, /There is no file .*none\.env, which --env-file names/)
})

test.run()
