#!/usr/bin/env node
// Plain JavaScript that every Node reads: finds a Node that is new enough, then starts the command line.
import module from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const [major, minor] = process.versions.node.split('.').map(Number)
const root = dirname(dirname(fileURLToPath(import.meta.url)))
// not imported: for an ES module Node loads the streams of node:fs, too, a fifth of the start
const require = module.createRequire(import.meta.url)

if (major > 22 || (major === 22 && minor >= 18)) {
  module.enableCompileCache?.(join(root, 'node_modules', '.cache', 'devstack'))
  const built = join(root, 'dist', 'core.cjs')
  if (!require('node:fs').existsSync(built)) {
    process.stderr.write(`devstack is not built: ${built} is missing.\n  → Run: npm run build\n`)
    process.exitCode = 1
  } else {
    await require(built).main()
  }
} else {
  const { startWithNewerNode } = await import('./newer-node.js')
  await startWithNewerNode(root)
}
