import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'

const test = suite('compose documentation')
const root = join(import.meta.dirname, '../../..')
const guide = readFileSync(join(root, 'docs/compose.md'), 'utf8')
const sources = globSync('lib/compose/*.ts', { cwd: root }).map((path) => readFileSync(join(root, path), 'utf8'))

test('names every error code', () => {
  const codes = sources.flatMap((text) => [...text.matchAll(/composeError\(\s*'([A-Z_]+)'/g)].map((found) => found[1]!))
  assert.ok(codes.length > 40)
  for (const code of new Set(codes)) assert.ok(guide.includes(`\`${code}\``), `docs/compose.md does not name ${code}`)
})

test('names every key that is refused', () => {
  const keys = sources.flatMap((text) => [...text.matchAll(/^ +([a-z_0-9]+): refuse\(/gm)].map((found) => found[1]!))
  assert.ok(keys.length > 40)
  for (const key of new Set(keys))
    assert.match(guide, new RegExp(`[\`.]${key}\``), `docs/compose.md does not name ${key}`)
})

test.run()
