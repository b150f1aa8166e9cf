import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

/** `broken` is what a killed run left; a `stubborn` one can not be mended. */
const config = (project: string) => `
import { defineConfig, definePack, task } from 'devstack'
import { existsSync, rmSync } from 'node:fs'
const pack = definePack({
  name: 'fragile',
  tasks: { work: task({ run: () => undefined }) },
  urgent: ({ directory }) => existsSync(directory + '/broken'),
  recover: async ({ note, project }) => {
    if (!existsSync(project.directory + '/broken')) return
    if (existsSync(project.directory + '/stubborn')) throw new Error('it does not give in')
    rmSync(project.directory + '/broken')
    note('Mended.')
  },
})
export default defineConfig({ name: '${project}', use: [pack] })
`

const test = suite<{ place: Checkout }>('what a killed run left')
test.before.each((context) => {
  context.place = checkout({
    name: 'mend',
    files: (project) => ({ 'devstack.config.ts': config(project), broken: '' }),
  })
})
test.after.each(({ place }) => place.remove())

const isBroken = (place: Checkout): boolean => existsSync(join(place.directory, 'broken'))

for (const words of [
  ['list', '--json'],
  ['plan', 'work', '--json'],
  ['runs', '--json'],
  ['locks', '--json'],
]) {
  test(`is mended by ${words.join(' ')}, whose output stays clean`, async ({ place }) => {
    const { stdout, stderr, exitCode } = await place.run(words)
    assert.is(exitCode, 0, stderr)
    assert.type(JSON.parse(stdout), 'object')
    assert.match(stderr, /^Mended\.$/m)
    assert.not.ok(isBroken(place))
    assert.is((await place.run(words)).stderr, '', 'once')
  })
}

test('is mended once by a run', async ({ place }) => {
  const { stderr, exitCode } = await place.run(['run', 'work'])
  assert.is(exitCode, 0, stderr)
  assert.is(stderr.match(/Mended/g)?.length, 1)
  assert.not.ok(isBroken(place))
})

test('and can not be mended is said by who only looks, and refused by a run', async ({ place }) => {
  place.write({ stubborn: '' })
  const looked = await place.run(['list'])
  assert.is(looked.exitCode, 0)
  assert.match(looked.stderr, /Warning: .*it does not give in/)
  assert.match(looked.stdout, /^ *work\b/m)
  const ran = await place.run(['run', 'work'])
  assert.is.not(ran.exitCode, 0)
  assert.match(ran.stderr, /Error: .*it does not give in/)
  assert.ok(isBroken(place))
})

test('is left alone by completion', async ({ place }) => {
  const { stderr } = await place.run(['__complete', '--', 'devstack', 'run', ''])
  assert.is(stderr, '')
  assert.ok(isBroken(place))
})

test.run()
