import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { interpolate } from '../../../lib/compose/interpolate.ts'
import { refusal } from '../../support/refusal.ts'
import { load } from './folder.ts'

const test = suite('compose interpolation')
const variables: Readonly<Record<string, string>> = { A: 'a', B: 'b', EMPTY: '', N_1: 'n', DEEP: '${A}' }

function expand(text: string): string {
  return interpolate(text, {
    lookup: (name) => variables[name],
    fail: (problem) => {
      throw new Error(`${problem.kind}@${problem.index}: ${problem.message}`)
    },
  })
}

const cases: readonly (readonly [string, string])[] = [
  ['plain', 'plain'],
  ['$A', 'a'],
  ['${A}', 'a'],
  ['$A$B', 'ab'],
  ['x$N_1-y', 'xn-y'],
  ['$$A', '$A'],
  ['$$$A', '$a'],
  ['$${A}', '${A}'],
  ['${NO}', ''],
  ['$NO.', '.'],
  ['${A:-x}', 'a'],
  ['${NO:-x}', 'x'],
  ['${NO-x}', 'x'],
  ['${EMPTY:-x}', 'x'],
  ['${EMPTY-x}', ''],
  ['${A:+x}', 'x'],
  ['${NO:+x}', ''],
  ['${EMPTY:+x}', ''],
  ['${EMPTY+x}', 'x'],
  ['${NO+x}', ''],
  ['${A:?m}', 'a'],
  ['${EMPTY?m}', ''],
  ['${NO:-${B}}', 'b'],
  ['${NO:-${NEITHER:-${A}c}d}e', 'acde'],
  ['${NO:-$A:$B}', 'a:b'],
  ['${NO:-}', ''],
  ['${NO:-a b:c/d}', 'a b:c/d'],
  ['${NO-$$}', '$'],
  ['${A:-${REQUIRED:?never asked}}', 'a'],
  ['${A:+${NO:-${B}}}', 'b'],
  ['${DEEP}', '${A}'],
  ['{"a": "$A"}', '{"a": "a"}'],
]

for (const [text, expected] of cases) {
  test(`${text} becomes ${JSON.stringify(expected)}`, () => assert.is(expand(text), expected))
}

const broken: readonly (readonly [string, RegExp])[] = [
  ['${NO:?set it}', /required@0: the required variable NO is not set: set it/],
  ['${NO?}', /the required variable NO is not set$/],
  ['${EMPTY:?m}', /the required variable EMPTY is empty: m/],
  ['x${NO:?${A} and ${B}}', /required@1: .*: a and b/],
  ['${A', /syntax@0/],
  ['${A:-x', /syntax@0: a "}" is missing/],
  ['${}', /syntax/],
  ['${1A}', /syntax/],
  ['costs 5$', /syntax@7/],
  ['$ A', /syntax/],
  ['${A!x}', /syntax/],
  ['${A:x}', /syntax/],
]

for (const [text, expected] of broken) {
  test(`${text} is refused`, () => assert.throws(() => expand(text), expected))
}

test('any text survives once its dollar signs are doubled', () => {
  fc.assert(fc.property(fc.string(), (text) => expand(text.replaceAll('$', '$$$$')) === text))
})

test('what has no dollar sign is left alone', () => {
  fc.assert(
    fc.property(
      fc.string().filter((text) => !text.includes('$')),
      (text) => expand(text) === text,
    ),
  )
})

test('values of every kind are interpolated in a file, keys are not', async () => {
  const model = await load(
    `
services:
  web:
    image: "nginx:\${TAG}"
    init: \${INIT}
    ports: ["\${PORT:-8080}:80"]
    environment: { $TAG: $TAG }
    healthcheck: { retries: "\${RETRIES}", interval: "\${EVERY:-5}s" }
    x-note: "$TAG"
`,
    { environment: { TAG: '1.25', INIT: 'true', RETRIES: '3' } },
  )
  const web = model.services['web']!
  assert.is(web.image, 'nginx:1.25')
  assert.is(web.init, true)
  assert.equal(web.ports, [{ target: 80, published: 8080, protocol: 'tcp' }])
  assert.equal(web.environment, { $TAG: '1.25' })
  assert.equal(web.healthcheck, { interval: 5000, retries: 3 })
  assert.equal(web.extensions, { 'x-note': '1.25' })
})

test('a variable that is not set is told once, at its first place', async () => {
  const model = await load('services:\n  web:\n    image: "nginx:1$NOPE"\n    user: "1$NOPE"\n')
  assert.is(model.warnings.length, 1)
  assert.match(model.warnings[0]!.message, /NOPE is not set/)
  assert.is(model.warnings[0]!.place?.line, 3)
})

test('.env stands below the environment, and may build on itself', async () => {
  const files = {
    '.env': 'TAG=from-file\nNAME=${TAG}-x\nOTHER="a ${NAME}"\n',
    'compose.yaml': 'services: { web: { image: "i:$TAG", environment: { N: $NAME, O: $OTHER } } }',
  }
  const below = await load(files)
  assert.is(below.services['web']!.image, 'i:from-file')
  assert.equal(below.services['web']!.environment, { N: 'from-file-x', O: 'a from-file-x' })
  const above = await load(files, { environment: { TAG: 'given' } })
  assert.is(above.services['web']!.image, 'i:given')
  assert.is(above.services['web']!.environment['N'], 'given-x')
})

test('the project name is known to the files', async () => {
  const text = 'name: one\nservices: { web: { image: "$COMPOSE_PROJECT_NAME" } }'
  assert.is((await load(text)).services['web']!.image, 'one')
  const given = await load(text, { projectName: 'two' })
  assert.is(given.name, 'two')
  assert.is(given.services['web']!.image, 'two')
  assert.is((await load(text, { environment: { COMPOSE_PROJECT_NAME: 'three' } })).name, 'three')
})

test('an unset required variable is named with its place', async () => {
  const error = await refusal(() => load('services:\n  web:\n    image: nginx:${TAG:?which one}\n'))
  assert.is(error.code, 'COMPOSE_VARIABLE_REQUIRED')
  assert.is(error.kind, 'compose')
  assert.is(error.message, 'The required variable TAG is not set: which one')
  assert.equal(error.place, { file: 'compose.yaml', line: 3, column: 18, text: '    image: nginx:${TAG:?which one}' })
})

test('variables made of variables can not grow without end', async () => {
  const lines = ['A0=xxxxxxxxxx', ...Array.from({ length: 9 }, (_, i) => `A${i + 1}=${`\${A${i}}`.repeat(10)}`)]
  const error = await refusal(() => load({ '.env': lines.join('\n'), 'compose.yaml': 'services: { a: { image: i } }' }))
  assert.is(error.code, 'COMPOSE_ENV_FILE')
  assert.match(error.message, /too long/)
})

test.run()
