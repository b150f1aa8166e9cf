/**
 * Writes docs/reference/ from the code: `node docs/generate.ts`. With `--check` nothing is written; what differs is named
 * and the exit code is 1.
 */
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { commandsPage } from './commands.ts'
import { environmentPage, readVariables } from './environment.ts'
import { errorsPage, readErrors } from './errors.ts'
import { servicesPage } from './services.ts'
import { tasksPage } from './tasks.ts'

const root = dirname(import.meta.dirname)
const folder = join(root, 'docs', 'reference')

function sources(...patterns: readonly string[]): readonly string[] {
  return globSync([...patterns], { cwd: root })
    .sort()
    .map((path) => readFileSync(join(root, path), 'utf8'))
}

const code = sources('lib/**/*.ts', 'tasks/**/*.ts')
const composeFiles = globSync('compose/*.yml', { cwd: root, exclude: ['**/*.override.yml'] }).sort()
const pages: Readonly<Record<string, string>> = {
  'commands.md': commandsPage(),
  'errors.md': errorsPage(code.flatMap(readErrors)),
  'services.md': servicesPage(
    Object.fromEntries(composeFiles.map((path) => [path, readFileSync(join(root, path), 'utf8')])),
  ),
  'tasks.md': tasksPage(),
  'environment.md': environmentPage([...code, ...sources('bin/*.js')].flatMap(readVariables)),
}

const marker = '<!-- Made by `npm run docs` from the code; do not edit. -->\n\n'
const wanted = new Map(Object.entries(pages).map(([name, text]) => [name, marker + text]))
const present = new Map(
  (existsSync(folder) ? globSync('*.md', { cwd: folder }) : []).map((name) => [
    name,
    readFileSync(join(folder, name), 'utf8'),
  ]),
)
const changed = [...wanted].filter(([name, text]) => present.get(name) !== text).map(([name]) => name)
const stale = [...present.keys()].filter((name) => !wanted.has(name))

if (process.argv.includes('--check')) {
  for (const name of [...changed, ...stale])
    console.error(`docs/reference/${name} is not what the code says; run: npm run docs`)
  if (changed.length + stale.length > 0) process.exitCode = 1
} else {
  mkdirSync(folder, { recursive: true })
  for (const name of changed) writeFileSync(join(folder, name), wanted.get(name)!)
  for (const name of stale) rmSync(join(folder, name))
  console.log(changed.length + stale.length === 0 ? 'nothing changed' : `wrote ${[...changed, ...stale].join(', ')}`)
}
