/** Holds the directions of imports that docs/architecture.md describes, and that there is no cycle. */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Import, readImports } from './support/imports.ts'

interface Rule {
  /** Layers that may be imported in any way, beside the own one. */
  readonly uses: readonly string[]
  /** Layers of which types alone may be imported. */
  readonly types?: readonly string[]
}

const everything = [
  'errors',
  'context',
  'engine',
  'report',
  'state',
  'config',
  'runtime',
  'docker',
  'gate',
  'compose',
  'stack',
  'session',
]
const rules: Readonly<Record<string, Rule>> = {
  errors: { uses: [] },
  engine: { uses: ['errors'] },
  context: { uses: [], types: ['engine', 'runtime'] },
  report: { uses: ['errors', 'engine'] },
  state: { uses: ['errors', 'engine'] },
  config: { uses: ['errors', 'engine'], types: ['context', 'compose'] },
  runtime: { uses: ['errors'], types: ['engine'] },
  docker: { uses: ['errors', 'runtime'], types: ['engine'] },
  gate: { uses: ['errors', 'engine', 'runtime'] },
  compose: { uses: ['errors', 'engine', 'runtime'], types: ['gate'] },
  stack: { uses: ['errors', 'engine', 'config', 'runtime', 'gate', 'compose', 'state'], types: ['context'] },
  session: { uses: everything },
  index: { uses: everything },
  cli: { uses: [...everything, 'index', 'tasks'] },
  tasks: { uses: ['index'] },
}

/** Packages that one place alone knows. */
const confined: Readonly<Record<string, RegExp>> = {
  dockerode: /^lib\/runtime\/docker\//,
  'docker-modem': /^lib\/runtime\/docker\//,
  listr2: /^lib\/report\//,
  cosmiconfig: /^lib\/config\//,
  'p-retry': /^lib\/engine\//,
}

/** What library code leaves to the command line, as text that must not occur outside lib/cli. */
const forbidden: readonly (readonly [string, RegExp])[] = [
  ['ends the process', /\bprocess\.(?:exit|abort)\(|\bprocess\.exitCode\s*=/],
  ['handles signals', /\bprocess\.(?:on|once|addListener)\(/],
  ['writes to the terminal', /\bprocess\.std(?:out|err)\.write\(|\bconsole\.\w+\(/],
  ['suppresses the compiler', /@ts-(?:ignore|nocheck|expect-error)/],
]

const root = dirname(import.meta.dirname)
const files = globSync(['lib/**/*.ts', 'tasks/**/*.ts'], { cwd: root }).sort()
const sources = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const imports = new Map<string, readonly Import[]>([...sources].map(([file, source]) => [file, readImports(source)]))

/**
 * `lib/engine/task.ts` is of the layer engine, `lib/index.ts` of index, everything below tasks/ of tasks. The engine
 * behind the runtime's contract is a layer of its own, docker.
 */
function layerOf(file: string): string {
  if (file.startsWith('lib/runtime/docker/')) return 'docker'
  const [top, second] = file.split('/') as [string, string]
  return top === 'tasks' ? 'tasks' : second.replace(/\.ts$/, '')
}

function targetOf(file: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(posix.dirname(file), specifier) : undefined
}

const directions = suite('imports')

directions('run in the allowed directions', () => {
  const wrong: string[] = []
  for (const [file, found] of imports) {
    const layer = layerOf(file)
    const rule = rules[layer]
    if (!rule) {
      wrong.push(`${file}: no rule for lib/${layer}; add one to this test and to docs/architecture.md`)
      continue
    }
    for (const { specifier, kind, line } of found) {
      const target = targetOf(file, specifier)
      if (target === undefined) continue
      const other = layerOf(target)
      const allowed = other === layer || rule.uses.includes(other) || (kind === 'type' && rule.types?.includes(other))
      if (!allowed)
        wrong.push(`${file}:${line} (${layer}) imports ${target} (${other}${kind === 'type' ? ', types' : ''})`)
    }
  }
  assert.equal(wrong, [])
})

directions('name files that exist, with their extension', () => {
  const wrong: string[] = []
  for (const [file, found] of imports) {
    for (const { specifier, line } of found) {
      const target = targetOf(file, specifier)
      if (target !== undefined && !sources.has(target)) wrong.push(`${file}:${line} imports ${specifier}`)
    }
  }
  assert.equal(wrong, [])
})

directions('form no cycle', () => {
  const done = new Set<string>()
  const cycles: string[] = []
  const visit = (file: string, path: readonly string[]) => {
    const start = path.indexOf(file)
    if (start !== -1) {
      cycles.push([...path.slice(start), file].join(' -> '))
      return
    }
    if (done.has(file)) return
    for (const { specifier } of imports.get(file) ?? []) {
      const target = targetOf(file, specifier)
      if (target !== undefined) visit(target, [...path, file])
    }
    done.add(file)
  }
  for (const file of files) visit(file, [])
  assert.equal(cycles, [])
})

directions('keep each engine, renderer and loader in its one place', () => {
  const wrong: string[] = []
  for (const [file, found] of imports) {
    for (const { specifier, line } of found) {
      const place = confined[specifier]
      if (place && !place.test(file)) wrong.push(`${file}:${line} imports ${specifier}`)
    }
  }
  assert.equal(wrong, [])
})

directions('are of packages that package.json names', () => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>
  }
  const wrong: string[] = []
  for (const [file, found] of imports) {
    for (const { specifier, kind, line } of found) {
      if (specifier.startsWith('.') || specifier.startsWith('node:')) continue
      const name = /^(?:@[^/]+\/)?[^/]+/.exec(specifier)![0]
      if (!(name in manifest.dependencies) && kind !== 'type') wrong.push(`${file}:${line} imports ${specifier}`)
    }
  }
  assert.equal(wrong, [])
})

directions.run()

const manners = suite('library code')
for (const [what, pattern] of forbidden) {
  manners(`never ${what} outside lib/cli`, () => {
    const wrong: string[] = []
    for (const [file, source] of sources) {
      if (file.startsWith('lib/cli/')) continue
      for (const [index, line] of source.split('\n').entries())
        if (pattern.test(line) && !/^\s*(?:\*|\/\/|\/\*)/.test(line)) wrong.push(`${file}:${index + 1}: ${line.trim()}`)
    }
    assert.equal(wrong, [])
  })
}

manners.run()
