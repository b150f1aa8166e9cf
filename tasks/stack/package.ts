/** Where devstack's own compose files and images are. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the installed package, which holds compose/ and infrastructure/. */
export function packageFolder(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  while (!isRoot(directory)) directory = dirname(directory)
  return directory
}

function isRoot(directory: string): boolean {
  if (dirname(directory) === directory) return true
  const file = join(directory, 'package.json')
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'devstack'
}
