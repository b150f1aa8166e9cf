import { join } from 'node:path'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseEnvironment } from '../../../lib/compose/environment.ts'
import { readEnvironmentFile } from '../../../lib/compose/index.ts'
import type { Source } from '../../../lib/compose/tree.ts'
import { DevstackError } from '../../../lib/errors.ts'
import { refusal } from '../../support/refusal.ts'
import { load, withFolder } from './folder.ts'

const test = suite('compose environment files')

function source(text: string, environment: Readonly<Record<string, string>> = {}): Source {
  return { file: '.env', path: '/p/.env', text, directory: '/p', environment }
}

const cases: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['', {}],
  ['A=1', { A: '1' }],
  ['A=1\r\nB=2\r\n', { A: '1', B: '2' }],
  ['\uFEFFA=1', { A: '1' }],
  ['# note\n\n  A = 1  \n', { A: '1' }],
  ['export A=1', { A: '1' }],
  ['A: 1', { A: '1' }],
  ['A=', { A: '' }],
  ['A=1 # note', { A: '1' }],
  ['A=1#2', { A: '1#2' }],
  ['A=#note', { A: '' }],
  ["A='x # $B'", { A: 'x # $B' }],
  ['A="x # \\"y\\"\\n\\t\\\\"  # note', { A: 'x # "y"\n\t\\' }],
  ['A="one\ntwo"\nB=3', { A: 'one\ntwo', B: '3' }],
  ['A=1\nB=${A}2\nC="$B"', { A: '1', B: '12', C: '12' }],
  ['A=${OUT:-none}', { A: 'none' }],
  ['A="\\$B"', { A: '$B' }],
  ['A=a=b=c', { A: 'a=b=c' }],
  ['A=1\nA=2', { A: '2' }],
  ['GIVEN\nMISSING\n', { GIVEN: 'g' }],
  ['A=$GIVEN', { A: 'g' }],
]

for (const [text, expected] of cases) {
  test(`${JSON.stringify(text)} is read`, () => assert.equal(parseEnvironment(source(text, { GIVEN: 'g' })), expected))
}

test('a variable of an earlier file counts until the file sets it itself', () => {
  const read = parseEnvironment(source('A=$V\nV=new\nB=$V\nC=$GIVEN', { GIVEN: 'g' }), 'default', {
    V: 'old',
    GIVEN: 'x',
  })
  assert.equal(read, { A: 'old', V: 'new', B: 'new', C: 'g' })
})

test('raw values stand as they are', () => {
  const text = `A="x" # y\nB=$C\n# note\nD='`
  assert.equal(parseEnvironment(source(text), 'raw'), { A: '"x" # y', B: '$C', D: "'" })
})

for (const text of ['no value here', 'A="open', "A='open", '=x', 'A="a"b', 'A=${', '"A"=1']) {
  test(`${JSON.stringify(text)} is refused with its place`, async () => {
    const error = await refusal(() => parseEnvironment(source(`OK=1\n${text}`)))
    assert.is(error.code, 'COMPOSE_ENV_FILE')
    assert.is(error.place?.line, 2)
  })
}

test('any text gives variables or a DevstackError', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.constantFrom('default' as const, 'raw' as const), (text, format) => {
      try {
        for (const value of Object.values(parseEnvironment(source(text), format))) assert.type(value, 'string')
      } catch (error) {
        assert.instance(error, DevstackError)
      }
    }),
    { numRuns: 500 },
  )
})

test('env_file gives variables below environment, the later file over the earlier', async () => {
  const model = await load(
    {
      'a.env': 'A=a\nB=a\nC=a\nD=$TOP\n',
      'deep/b.env': 'B=b\nE=${A}!\n',
      'raw.env': 'R="$X"\n',
      'compose.yaml': `
services:
  web:
    image: i
    env_file:
      - a.env
      - { path: deep/b.env, required: true }
      - { path: none.env, required: false }
      - { path: raw.env, format: raw }
    environment: { C: c, TOP: , GONE: }
`,
    },
    { environment: { TOP: 'top' } },
  )
  assert.equal(model.services['web']!.environment, {
    A: 'a',
    B: 'b',
    C: 'c',
    D: 'top',
    E: 'a!',
    R: '"$X"',
    TOP: 'top',
  })
  assert.equal(
    model.files.map((file) => file.split('/').at(-1)),
    ['compose.yaml', 'a.env', 'b.env', 'raw.env'],
  )
})

test('a missing env_file is named where it is named', async () => {
  const error = await refusal(() => load('services:\n  web:\n    image: i\n    env_file: none.env\n'))
  assert.is(error.code, 'COMPOSE_ENV_FILE_MISSING')
  assert.is(error.place?.line, 4)
})

test('a broken env_file is named with its own place', async () => {
  const error = await refusal(() =>
    load({ 'compose.yaml': 'services: { web: { image: i, env_file: [x.env] } }', 'x.env': 'A=1\noops here\n' }),
  )
  assert.is(error.code, 'COMPOSE_ENV_FILE')
  assert.match(error.place!.file, /x\.env$/)
  assert.is(error.place!.line, 2)
})

test('an env file can be read on its own', async () => {
  await withFolder({ '.env.local': 'A=1\nB=${A}-${C}\n' }, async (directory) => {
    const variables = await readEnvironmentFile(join(directory, '.env.local'), { C: 'c' })
    assert.equal(variables, { A: '1', B: '1-c' })
    const error = await refusal(() => readEnvironmentFile(join(directory, 'none')))
    assert.is(error.code, 'COMPOSE_ENV_FILE_MISSING')
  })
})

test.run()
