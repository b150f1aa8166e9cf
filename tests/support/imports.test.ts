import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readImports } from './imports.ts'

const imports = suite('reading imports')
const read = (source: string) => readImports(source).map(({ kind, specifier }) => `${kind} ${specifier}`)

imports('tells value, type and dynamic ones apart', () => {
  const source = [
    `import 'a'`,
    `import { b } from "b"`,
    `import type { C } from 'c'`,
    `import { type D, type E as F } from 'd'`,
    `import { type G, h } from 'e'`,
    `import * as all from 'f'`,
    `import one, { two } from 'g'`,
    `export { x } from 'h'`,
    `export * as y from 'i'`,
    `export type { Z } from 'j'`,
    `export type * from 'k'`,
    `const m = await import('l')`,
    `import {`,
    `  type N,`,
    `} from 'm'`,
    `import type from 'n'`,
  ]
  assert.equal(read(source.join('\n')), [
    'value a',
    'value b',
    'type c',
    'type d',
    'value e',
    'value f',
    'value g',
    'value h',
    'value i',
    'type j',
    'type k',
    'dynamic l',
    'type m',
    'value n',
  ])
})

imports('are not taken from comments, strings, templates or regular expressions', () => {
  const source = [
    `// import 'a'`,
    `/* import 'b'`,
    `import 'c' */`,
    'const d = `',
    `import 'e'`,
    "${f({ g: `import 'h'` })} import 'i'`",
    `const j = /'import "k"/.test("import 'l'")`,
    `const quotient = m / n; import 'o'; const p = q / r`,
    `export const s = 't'`,
    `export function u() { return "from 'v'" }`,
    `object.import('w')`,
  ]
  assert.equal(read(source.join('\n')), ['value o'])
})

imports('carry their line', () => {
  assert.equal(
    readImports(`/* \n\n */ import 'a'\nconst b = \`\n\`\nimport 'c'`).map((found) => found.line),
    [3, 6],
  )
})

imports.run()
