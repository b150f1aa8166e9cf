/**
 * Builds what is published: bundles in dist/ (esbuild) and, with --types, declarations (tsc). With --sources dist/ only
 * points at the sources.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

// loaded only when used, or too large to be read at every start
const external = [
  'zx',
  'zx/core',
  'dockerode',
  'docker-modem',
  'listr2',
  '@inquirer/confirm',
  '@inquirer/select',
  'tar-fs',
  'ignore',
]

const entryPoints = { cli: 'lib/cli/main.ts', index: 'lib/index.ts', packs: 'tasks/index.ts' }

rmSync('dist', { recursive: true, force: true })
if (process.argv.includes('--sources')) {
  // for coverage: a line of a bundle can not be traced back to its source well enough
  mkdirSync('dist')
  for (const [name, path] of Object.entries(entryPoints))
    writeFileSync(`dist/${name}.js`, `export * from '../${path}'\n`)
} else await bundle()

async function bundle(): Promise<void> {
  await build({
    entryPoints,
    outdir: 'dist',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    external,
    // the ES module of yaml: its CommonJS build loses its names behind a dynamic import
    alias: { yaml: './node_modules/yaml/browser/index.js' },
    chunkNames: 'chunks/[name]-[hash]',
    logLevel: 'warning',
    legalComments: 'none',
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  })
}

if (process.argv.includes('--types')) {
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '--project', 'tsconfig.build.json'],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
