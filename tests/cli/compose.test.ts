/** Compose files as the command line reads them: what `compose config` shows is what a run uses. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

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

test.run()
