import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root of the installed package: the nearest folder above with a package.json. */
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url))
  for (;;) {
    try {
      readFileSync(join(directory, 'package.json'))
      return directory
    } catch {
      if (dirname(directory) === directory) return directory
      directory = dirname(directory)
    }
  }
}

/** The version in package.json. */
export function version(): string {
  return (JSON.parse(readFileSync(join(packageRoot(), 'package.json'), 'utf8')) as { version: string }).version
}
