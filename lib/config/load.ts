/** Finds the config (cosmiconfig), reads it whole or not at all, and registers its tasks. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import { DevstackError, messageOf, type Place } from '../errors.ts'
import { checkConfig } from './check.ts'
import type { Config, Pack, PackContext } from './define.ts'
import { Registry } from './registry.ts'

const names = ['devstack.config']
const extensions = ['ts', 'mts', 'js', 'mjs', 'json', 'yaml', 'yml']
const fileNames = names.flatMap((name) => extensions.map((extension) => `${name}.${extension}`))
const searchPlaces = [
  ...fileNames,
  'package.json',
  ...extensions.map((extension) => `.config/devstack.config.${extension}`),
  ...extensions.map((extension) => `.config/devstack.${extension}`),
]

export interface LoadOptions {
  /** Where to look, going up; absolute. */
  readonly directory: string
  /** A file named by the user; then nothing is searched. */
  readonly file?: string
  readonly environment: Readonly<Record<string, string>>
  /** Finds file, line and column in what a config threw. */
  readonly placeOf?: (thrown: unknown, file: string) => Promise<Place>
  /** Makes a pack of compose files, for YAML configs. */
  readonly composePack?: (files: readonly string[]) => Promise<Pack>
}

export interface LoadedConfig {
  readonly file: string
  /** Folder of the config (of the project, for a config in `.config/`); absolute. */
  readonly directory: string
  readonly project: string
  /** The given environment with the project's env files below it. */
  readonly environment: Readonly<Record<string, string>>
  readonly config: Config
  readonly registry: Registry
  readonly packs: readonly Pack[]
  /** Every file that was read, for watching and for the completion cache. */
  readonly files: readonly string[]
}

/** The config that applies in `directory`. Throws CONFIG_NOT_FOUND, CONFIG_FAILED, CONFIG_INVALID, CONFIG_SYNTAX. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  const file = options.file === undefined ? await search(options.directory) : resolve(options.directory, options.file)
  if (!existsSync(file)) {
    throw new DevstackError({ kind: 'config', code: 'CONFIG_NOT_FOUND', message: `There is no config at ${file}.` })
  }
  const { config, compose } = await read(file, options)
  const directory = rootOf(file)
  const environment = readEnvironment(directory, config.envFiles ?? ['.env', '.env.local'], options.environment)
  const registry = new Registry()
  const files = [file]
  const packs: Pack[] = []
  let name = config.name
  const project = (): string => {
    name ??= projectName(directory)
    return name
  }
  await register(
    { config, compose, file, directory, prefix: '' },
    { options, project, environment, registry, files, packs },
  )
  return {
    file,
    directory,
    get project() {
      return project()
    },
    environment,
    config,
    registry,
    packs,
    files,
  }
}

interface Registration {
  readonly options: LoadOptions
  /** Told when asked: without engine or packs nobody needs it, and the hash in it costs more than loading the config. */
  readonly project: () => string
  readonly environment: Readonly<Record<string, string>>
  readonly registry: Registry
  readonly files: string[]
  readonly packs: Pack[]
}

interface ReadConfig {
  readonly config: Config
  readonly compose: readonly string[]
  readonly file: string
  readonly directory: string
  readonly prefix: string
}

async function register(read_: ReadConfig, into: Registration): Promise<void> {
  const { config, compose, file, directory, prefix } = read_
  const packs = [...(config.use ?? [])]
  if (compose.length > 0 && into.options.composePack) packs.push(await into.options.composePack(compose))
  for (const pack of packs) {
    const context: PackContext = {
      directory,
      environment: into.environment,
      get project() {
        return into.project()
      },
    }
    const tree = typeof pack.tasks === 'function' ? await pack.tasks(context) : pack.tasks
    into.registry.add(tree, { directory, origin: `pack "${pack.name}"`, prefix })
    into.packs.push(pack)
  }
  into.registry.add(config.tasks ?? {}, {
    directory,
    origin: relative(into.options.directory, file) || basename(file),
    file,
    prefix,
    override: true,
  })
  for (const [namespace, path] of Object.entries(config.include ?? {})) {
    const target = resolve(directory, path)
    const included = existsSync(target) && statSync(target).isDirectory() ? findIn(target) : target
    if (included === undefined || !existsSync(included)) {
      throw new DevstackError({
        kind: 'config',
        code: 'CONFIG_INCLUDE_NOT_FOUND',
        message: `The include "${namespace}" of ${file} names ${target}, where there is no config.`,
      })
    }
    if (into.files.includes(included)) {
      throw new DevstackError({
        kind: 'config',
        code: 'CONFIG_INCLUDE_CYCLE',
        message: `Configs include each other: ${[...into.files.slice(into.files.indexOf(included)), included].join(' → ')}.`,
      })
    }
    into.files.push(included)
    const child = await read(included, into.options)
    const name = prefix === '' ? namespace : `${prefix}:${namespace}`
    await register({ ...child, file: included, directory: rootOf(included), prefix: name }, into)
  }
}

async function search(directory: string): Promise<string> {
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

function findIn(directory: string): string | undefined {
  return searchPlaces
    .map((place) => join(directory, place))
    .find((place) => existsSync(place) && basename(place) !== 'package.json')
}

function rootOf(file: string): string {
  const directory = dirname(file)
  return basename(directory) === '.config' ? dirname(directory) : directory
}

async function read(file: string, options: LoadOptions): Promise<{ config: Config; compose: readonly string[] }> {
  if (/\.(json|ya?ml)$/.test(file)) {
    const { parsePackageConfig, parsePlainConfig } = await import('./plain.ts')
    return (basename(file) === 'package.json' ? parsePackageConfig : parsePlainConfig)(readText(file), file)
  }
  let exported: unknown
  try {
    const version = statSync(file).mtimeMs
    exported = await ((await import(`${pathToFileURL(file).href}?v=${version}`)) as { default?: unknown }).default
  } catch (thrown) {
    throw await loadFailure(thrown, file, options)
  }
  if (typeof exported !== 'object' || exported === null) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_INVALID',
      message: `${file} exports ${exported === undefined ? 'no default' : `a default that is ${exported === null ? 'null' : `a ${typeof exported}`}`}.`,
      hint: 'End it with: export default defineConfig({ ... })',
    })
  }
  return { config: checkConfig(exported as Config, file), compose: [] }
}

async function loadFailure(thrown: unknown, file: string, options: LoadOptions): Promise<DevstackError> {
  if (thrown instanceof DevstackError && thrown.place) return thrown
  const place = (await options.placeOf?.(thrown, file)) ?? { file }
  if (thrown instanceof DevstackError) {
    const { kind, code, message, hint, details } = thrown
    return new DevstackError({
      kind,
      code,
      message,
      details,
      place,
      cause: thrown,
      ...(hint === undefined ? {} : { hint }),
    })
  }
  const missing = /Cannot find (?:package|module) '([^']+)'/.exec(messageOf(thrown))?.[1]
  return new DevstackError({
    kind: 'config',
    code: 'CONFIG_FAILED',
    message: `The config could not be loaded: ${messageOf(thrown).split('\n')[0]}`,
    place,
    cause: thrown,
    ...(missing === undefined ? {} : { hint: `Install it (npm install --save-dev ${missing}) or correct the import.` }),
  })
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_UNREADABLE',
      message: `${file} can not be read: ${messageOf(thrown)}`,
      cause: thrown,
    })
  }
}

/** `<folder>-<4 hex of its path>`: two checkouts of one repository never share containers. */
export function projectName(directory: string): string {
  const folder =
    basename(directory)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^-+|-+$/g, '') || 'project'
  return `${folder.slice(0, 24)}-${createHash('sha256').update(directory).digest('hex').slice(0, 4)}`
}

/** The environment with the files' variables below it; a later file wins, a missing one is nothing. */
export function readEnvironment(
  directory: string,
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const merged: Record<string, string> = {}
  for (const name of files) {
    const file = resolve(directory, name)
    if (!existsSync(file)) continue
    try {
      Object.assign(merged, parseEnv(readFileSync(file, 'utf8')))
    } catch (thrown) {
      throw new DevstackError({
        kind: 'config',
        code: 'ENV_FILE_UNREADABLE',
        message: `${file} can not be read: ${messageOf(thrown)}`,
        hint: `Check who owns it and its mode: ls -l ${file}`,
        cause: thrown,
      })
    }
  }
  return { ...merged, ...environment }
}
