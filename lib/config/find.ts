/** Where a config is. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DevstackError, messageOf } from '../errors.ts'

const names = ['devstack.config']
const extensions = ['ts', 'mts', 'js', 'mjs', 'json', 'yaml', 'yml']
const fileNames = names.flatMap((name) => extensions.map((extension) => `${name}.${extension}`))
const searchPlaces = [
  ...fileNames,
  'package.json',
  ...extensions.map((extension) => `.config/devstack.config.${extension}`),
  ...extensions.map((extension) => `.config/devstack.${extension}`),
]

/** The config that applies in a folder. Throws CONFIG_NOT_FOUND, and CONFIG_SYNTAX for a package.json on the way that can not be read. */
export async function findConfig(directory: string): Promise<string> {
  // what cosmiconfig would look at first; loading it takes a quarter as long as starting Node
  const here = fileNames.map((name) => join(directory, name)).find(existsSync)
  if (here) return here
  const { cosmiconfig } = await import('cosmiconfig')
  let found: { filepath: string } | null
  try {
    const explorer = cosmiconfig('devstack', {
      searchPlaces,
      stopDir: '/',
      searchStrategy: 'global',
      cache: false,
      // only the place is wanted here: reading is ours, so that errors carry line and column
      loaders: Object.fromEntries([
        ...['.ts', '.mts', '.js', '.mjs', '.yaml', '.yml', 'noExt'].map((key) => [key, () => ({})]),
        ['.json', (path: string, text: string) => (basename(path) === 'package.json' ? JSON.parse(text) : {})],
      ]),
    })
    found = await explorer.search(directory)
  } catch (thrown) {
    // cosmiconfig looks into package.json for settings of its own, too, and tells no place
    const { parsePackage } = await import('./plain.ts')
    for (let at = directory; ; at = dirname(at)) {
      const file = join(at, 'package.json')
      if (existsSync(file)) parsePackage(readText(file), file)
      if (dirname(at) === at) break
    }
    throw new DevstackError({ kind: 'config', code: 'CONFIG_SYNTAX', message: messageOf(thrown), cause: thrown })
  }
  if (found) return found.filepath
  throw new DevstackError({
    kind: 'config',
    code: 'CONFIG_NOT_FOUND',
    message: `There is no devstack config in ${directory} or above it.`,
    hint: 'devstack init writes one.',
  })
}

/** The config of this very folder; a package.json is none here. */
export function configIn(directory: string): string | undefined {
  return searchPlaces
    .map((place) => join(directory, place))
    .find((place) => existsSync(place) && basename(place) !== 'package.json')
}

/** The folder that a config is for. */
export function rootOf(file: string): string {
  const directory = dirname(file)
  return basename(directory) === '.config' ? dirname(directory) : directory
}

/** The text of a file. Throws CONFIG_UNREADABLE. */
export function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_UNREADABLE',
      message: `${file} can not be read: ${messageOf(thrown)}`,
      hint: `Check what it is, who owns it and its mode: ls -ld ${file}`,
      cause: thrown,
    })
  }
}
