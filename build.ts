/**
 * Builds what is published: bundles in dist/ (esbuild) and, with --types, declarations (tsc). With --sources dist/ only
 * points at the sources.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build } from 'esbuild'

// loaded only when used, or too large to be read at every start
const external = [
  'zx',
  'zx/core',
  'dockerode',
  'listr2',
  '@inquirer/confirm',
  '@inquirer/select',
  'tar-fs',
  'ignore',
  'pg',
  'node-pg-migrate',
  'tar-stream',
]

const entryPoints = { cli: 'lib/cli/main.ts', index: 'lib/index.ts', packs: 'tasks/index.ts' }
/** Loading zod takes as long as starting Node, so it waits until the first schema is made. */
const lazyZod = `
let loaded
const file = import.meta.url.includes('/chunks/') ? '../zod.js' : './zod.js'
const load = () => {
  if (!loaded) {
    loaded = require(file).z
    // compiling a schema pays for itself after many uses, and most are used once a process
    loaded.config({ jitless: true })
  }
  return loaded
}
export const z = new Proxy({}, {
  get: (_, key) => load()[key],
  has: (_, key) => key in load(),
  ownKeys: () => Reflect.ownKeys(load()),
  getOwnPropertyDescriptor: (_, key) => ({ ...Reflect.getOwnPropertyDescriptor(load(), key), configurable: true }),
})
`
/** As an ES module, node:http hands out fetch and WebSocket too, and loads all of undici for it: a third of a start. */
const plainHttp = (name: string): string => `
const found = process.getBuiltinModule('${name}')
export const { Agent, request, createServer } = found
export default found
`
/** A devstack that runs meanwhile may still load its chunks. */
const keptForMs = process.argv.includes('--types') ? 0 : 3_600_000

if (process.argv.includes('--sources')) {
  // for coverage: a line of a bundle can not be traced back to its source well enough
  const files = Object.entries(entryPoints).map(([name, path]) => ({
    path: join('dist', `${name}.js`),
    text: `export * from '../${path}'\n`,
  }))
  write(files)
} else await bundle()

async function bundle(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: { ...entryPoints, zod: 'zod' },
    plugins: [
      {
        name: 'lazy-zod',
        setup: ({ onResolve, onLoad }) => {
          onResolve({ filter: /^zod$/ }, ({ importer }) =>
            importer === '' ? undefined : { path: 'zod', namespace: 'lazy-zod' },
          )
          onLoad({ filter: /./, namespace: 'lazy-zod' }, () => ({ contents: lazyZod }))
        },
      },
      {
        name: 'plain-http',
        setup: ({ onResolve, onLoad }) => {
          onResolve({ filter: /^node:https?$/ }, ({ path, kind }) =>
            kind === 'require-call' ? undefined : { path, namespace: 'plain-http' },
          )
          onLoad({ filter: /./, namespace: 'plain-http' }, ({ path }) => ({ contents: plainHttp(path) }))
        },
      },
    ],
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    external,
    // the ES module of yaml: its CommonJS build loses its names behind a dynamic import
    // docker-modem without ssh2, a third of its start-up: ssh:// is refused before it is reached
    alias: { yaml: './node_modules/yaml/browser/index.js', ssh2: './lib/runtime/docker/no-ssh.ts' },
    chunkNames: 'chunks/[name]-[hash]',
    logLevel: 'warning',
    legalComments: 'none',
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
    write: false,
  })
  write(outputFiles)
}

/** Puts every file in place whole, chunks before what imports them, and then removes what is out of date. */
function write(files: readonly { readonly path: string; readonly text: string }[]): void {
  const inOrder = [...files].sort((a, b) => Number(b.path.includes('chunks')) - Number(a.path.includes('chunks')))
  for (const { path, text } of inOrder) {
    mkdirSync(dirname(path), { recursive: true })
    if (textOf(path) === text) continue
    const draft = `${path}.${process.pid}`
    writeFileSync(draft, text)
    renameSync(draft, path)
  }
  const current = new Set(files.map(({ path }) => path.replace(/^.*[\\/]/, '')))
  for (const folder of ['dist', join('dist', 'chunks')]) {
    for (const name of names(folder)) {
      const file = join(folder, name)
      const stat = statSync(file, { throwIfNoEntry: false })
      if (!stat?.isFile() || current.has(name) || Date.now() - stat.mtimeMs < keptForMs) continue
      rmSync(file, { force: true })
    }
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

if (process.argv.includes('--types')) {
  rmSync(join('dist', 'types'), { recursive: true, force: true })
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '--project', 'tsconfig.build.json'],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
