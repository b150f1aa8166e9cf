import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { placeOfThrown } from '../../../lib/cli/place.ts'
import { DevstackError, formatError, type Place } from '../../../lib/errors.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const places = suite('places of errors')

/** Loads the files' first one as a config is loaded, and gives the place of what it throws, relative to its folder. */
async function placeIn(files: Readonly<Record<string, string>>): Promise<Place> {
  const { path, remove } = await temporaryFolder('devstack-place-')
  try {
    for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
    const config = join(path, Object.keys(files)[0]!)
    let thrown: unknown
    try {
      await (await import(`${pathToFileURL(config).href}?v=1`)).default
    } catch (error) {
      thrown = error
    }
    const place = placeOfThrown(thrown, config)
    assert.ok(place.file.startsWith(path), place.file)
    return { ...place, file: place.file.slice(path.length + 1) }
  } finally {
    await remove()
  }
}

places('a syntax error in TypeScript', async () => {
  const place = await placeIn({ 'c.ts': 'const a: number = 1\nexport default {\n  tasks: = a,\n}\n' })
  assert.equal(place, { file: 'c.ts', line: 3, column: 10, text: '  tasks: = a,' })
})

places('TypeScript that can not be stripped', async () => {
  const place = await placeIn({ 'c.ts': '\n\nenum A { B }\nexport default A\n' })
  assert.is(place.line, 3)
  assert.is(place.text, 'enum A { B }')
})

places('a syntax error in JavaScript, whose place V8 keeps to itself', async () => {
  const place = await placeIn({ 'c.mjs': 'export default {\n  tasks: = 1,\n}\n' })
  assert.equal(place, { file: 'c.mjs', line: 2, column: 10, text: '  tasks: = 1,' })
})

places('a syntax error in an imported file', async () => {
  const place = await placeIn({ 'c.ts': "import './other.ts'\n", 'other.ts': 'const = 1\n' })
  assert.is(place.file, 'other.ts')
  assert.is(place.line, 1)
})

places('an error thrown by the config, also inside a promise', async () => {
  const text = 'function make(): never {\n  throw new TypeError("no")\n}\nexport default make()\n'
  assert.equal(await placeIn({ 'c.ts': text }), {
    file: 'c.ts',
    line: 2,
    column: 9,
    text: '  throw new TypeError("no")',
  })
  const late = 'export default (async () => {\n  await null\n  throw new Error("late")\n})()\n'
  assert.is((await placeIn({ 'c.ts': late })).line, 3)
  assert.is((await placeIn({ 'c.ts': '\nexport default nothing.there\n' })).line, 2)
})

places('a missing package, file or export', async () => {
  const missing = await placeIn({ 'c.ts': '\nimport { x } from "no-such-package-here"\nexport default x\n' })
  assert.equal(missing, {
    file: 'c.ts',
    line: 2,
    column: 20,
    text: 'import { x } from "no-such-package-here"',
  })
  assert.is((await placeIn({ 'c.ts': '\n\nimport "./gone.ts"\n' })).line, 3)
  const noExport = await placeIn({ 'c.ts': '\nimport { y } from "./o.ts"\n', 'o.ts': 'export const x = 1\n' })
  assert.is(noExport.file, 'c.ts')
  assert.is(noExport.line, 2)
})

places('frames of packages and of devstack itself are passed over', () => {
  const error = new Error('x')
  const own = new URL('../../../lib/config/define.ts', import.meta.url).href
  error.stack = [
    'Error: x',
    '    at parse (file:///p/node_modules/zod/index.js:1:1)',
    `    at defineConfig (${own}:2:2)`,
    '    at Object.<anonymous> (/p/my config (1).ts:7:3)',
    '    at node:internal/modules/esm:1:1',
  ].join('\n')
  const place = placeOfThrown(error, '/p/devstack.config.ts')
  assert.equal(place, { file: '/p/my config (1).ts', line: 7, column: 3 })
})

places('what tells nothing gives the file alone', () => {
  const hostile = {
    get stack(): string {
      throw new Error('trap')
    },
    get message(): string {
      throw new Error('trap')
    },
  }
  for (const thrown of [
    undefined,
    null,
    'text',
    7,
    {},
    { stack: 7 },
    hostile,
    Object.create(null),
    new Error('x', {}),
  ]) {
    if (thrown instanceof Error) thrown.stack = ''
    assert.equal(placeOfThrown(thrown, '/p/c.ts'), { file: '/p/c.ts' })
  }
})

places('is shown with the line and a caret', async () => {
  const place = await placeIn({ 'c.ts': 'export default {\n  a: = 1,\n}\n' })
  const text = formatError(new DevstackError({ kind: 'config', code: 'X', message: 'Broken.', place }))
  assert.is(text, 'Broken.\n  at c.ts:2:6\n  2 |   a: = 1,\n           ^')
})

places.run()
