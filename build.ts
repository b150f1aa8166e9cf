/** Builds what is published: bundles in dist/ (esbuild) and, with --types, declarations (tsc). */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
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
  'pg',
  'ioredis',
]

rmSync('dist', { recursive: true, force: true })
await build({
  entryPoints: { cli: 'lib/cli/main.ts', index: 'lib/index.ts', packs: 'tasks/index.ts' },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node22',
  external,
  chunkNames: 'chunks/[name]-[hash]',
  logLevel: 'warning',
  legalComments: 'none',
  // for coverage: what a bundled command runs counts for its sources
  sourcemap: process.argv.includes('--sourcemap') ? 'linked' : false,
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
})

if (process.argv.includes('--types')) {
  const { status } = spawnSync(
    process.execPath,
    ['node_modules/typescript/bin/tsc', '--project', 'tsconfig.build.json'],
    { stdio: 'inherit' },
  )
  if (status !== 0) process.exitCode = 1
}
