/** Finds the config (cosmiconfig), reads it whole or not at all, and registers its tasks. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseEnv } from 'node:util'
import { DevstackError, messageOf, type Place } from '../errors.ts'
import { checkConfig, projectNamePattern } from './check.ts'
import type { Config, Pack, PackContext } from './define.ts'
import { Registry } from './registry.ts'

const usualEnvFiles = ['.env', '.env.local']
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
  /** Reads env files that are more than plain `NAME=value` lines; without it Node's own reader does. */
  readonly readVariables?: VariablesReader
}

/** Variables of an env file's text. `${NAME}` is looked up in `environment`, then above in the text, then in `earlier` files. */
export type VariablesReader = (
  source: { readonly file: string; readonly text: string },
  environment: Readonly<Record<string, string>>,
  earlier: Readonly<Record<string, string>>,
) => Promise<Readonly<Record<string, string>>>

export interface LoadedConfig {
  readonly file: string
  /** Folder of the config (of the project, for a config in `.config/`); absolute. */
  readonly directory: string
  readonly project: string
  /** The given environment with the project's env files below it. */
  readonly environment: Readonly<Record<string, string>>
  /** That one and those of the included configs, whose env files lie above the project's. */
  readonly environments: readonly Readonly<Record<string, string>>[]
  /** Names of variables that any config or pack declares secret. */
  readonly secrets: readonly string[]
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
  const environment = await readProjectEnvironment(directory, config.envFiles ?? usualEnvFiles, options)
  const registry = new Registry()
  const into: Gathered = { environments: [environment], secrets: [], files: [file], packs: [] }
  let name = config.name ?? namedByEnvironment(environment)
  const project = (): string => {
    name ??= projectName(directory)
    return name
  }
  await register(
    { config, compose, file, directory, environment, including: [file] },
    {
      ...into,
      options,
      project,
      nameBy: async (pack) => {
        name ??= await pack.projectName?.({ directory, environment })
      },
      registry,
      included: new Map(),
    },
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
    ...into,
  }
}

/** What the configs bring together. */
interface Gathered {
  readonly environments: Readonly<Record<string, string>>[]
  readonly secrets: string[]
  readonly files: string[]
  readonly packs: Pack[]
}

interface Registration extends Gathered {
  readonly options: LoadOptions
  /** Told when asked: without engine or packs nobody needs it, and the hash in it costs more than loading the config. */
  readonly project: () => string
  /** Takes the project's name from the pack when nobody gave one. */
  readonly nameBy: (pack: Pack) => Promise<void>
  readonly registry: Registry
  /** By file: a config that is included twice has its tasks once. */
  readonly included: Map<string, Awaited<ReturnType<typeof read>>>
}

interface ReadConfig {
  readonly config: Config
  readonly compose: readonly string[]
  readonly file: string
  readonly directory: string
  /** Missing for the project's own config. */
  readonly namespace?: string
  readonly environment: Readonly<Record<string, string>>
  /** The files that lead to this one, itself last. */
  readonly including: readonly string[]
}

async function register(read_: ReadConfig, into: Registration): Promise<void> {
  const { config, compose, file, directory, namespace: own, environment, including } = read_
  const place = { directory, ...(own === undefined ? {} : { namespace: own, environment }) }
  into.secrets.push(...(config.secrets ?? []))
  const packs = [...(config.use ?? [])]
  if (compose.length > 0 && into.options.composePack) packs.push(await into.options.composePack(compose))
  if (own === undefined) for (const pack of packs) await into.nameBy(pack)
  for (const pack of packs) {
    const context: PackContext = {
      directory,
      environment,
      get project() {
        return into.project()
      },
    }
    const tree = typeof pack.tasks === 'function' ? await pack.tasks(context) : pack.tasks
    into.registry.add(tree, { ...place, origin: `pack "${pack.name}"` })
    into.secrets.push(...(pack.secrets ?? []))
    if (!into.packs.includes(pack)) into.packs.push(pack)
  }
  into.registry.add(config.tasks ?? {}, {
    ...place,
    origin: relative(into.options.directory, file) || basename(file),
    file,
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
    if (including.includes(included)) {
      throw new DevstackError({
        kind: 'config',
        code: 'CONFIG_INCLUDE_CYCLE',
        message: `Configs include each other: ${[...including.slice(including.indexOf(included)), included].join(' → ')}.`,
        hint: 'Remove one of these includes.',
      })
    }
    if (!into.files.includes(included)) into.files.push(included)
    const child = into.included.get(included) ?? (await read(included, into.options))
    into.included.set(included, child)
    const root = rootOf(included)
    const files = await readProjectEnvironment(root, child.config.envFiles ?? usualEnvFiles, {
      ...into.options,
      environment: {},
    })
    const variables = { ...environment, ...files, ...into.options.environment }
    into.environments.push(variables)
    await register(
      {
        ...child,
        file: included,
        directory: root,
        namespace: own === undefined ? namespace : `${own}:${namespace}`,
        environment: variables,
        including: [...including, included],
      },
      into,
    )
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
    exported = await importDefault(`${pathToFileURL(file).href}?v=${version}`)
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

async function importDefault(url: string): Promise<unknown> {
  return ((await import(url)) as { default?: unknown }).default
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
    ...(missing === undefined ? {} : { hint: importHint(missing) }),
  })
}

/** `missing` is a package's name, or where a relative import led to. */
function importHint(missing: string): string {
  if (/^(?:[./\\]|file:|[A-Za-z]:[\\/])/.test(missing)) return 'Make the file, or correct the import.'
  return `Install it (npm install --save-dev ${missing}) or correct the import.`
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

/** COMPOSE_PROJECT_NAME, as docker compose takes it; empty is none. */
function namedByEnvironment(environment: Readonly<Record<string, string>>): string | undefined {
  const name = environment['COMPOSE_PROJECT_NAME']
  if (!name) return undefined
  if (projectNamePattern.test(name)) return name
  throw new DevstackError({
    kind: 'config',
    code: 'PROJECT_NAME_INVALID',
    message: `COMPOSE_PROJECT_NAME is "${name}", which can not be a project's name.`,
    hint: 'It begins with a letter or digit and holds a-z, 0-9, _ and - only.',
  })
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

/** Lines that every reader of env files takes alike: loading the one of compose files costs more than reading these. */
const plainVariables = /^(?:#.*|[A-Za-z_]\w*=[^\s'"`#$\\]*|)$/

/** The environment with the files' variables below it, as compose files are given them; a later file wins, a missing one is nothing. */
export async function readProjectEnvironment(
  directory: string,
  files: readonly string[],
  { environment, readVariables }: Pick<LoadOptions, 'environment' | 'readVariables'>,
): Promise<Record<string, string>> {
  const merged: Record<string, string> = {}
  for (const name of files) {
    const file = resolve(directory, name)
    const text = readEnvironmentText(file)
    if (text === undefined) continue
    const plain = !readVariables || text.split(/\r?\n/).every((line) => plainVariables.test(line))
    Object.assign(merged, plain ? parseEnv(text) : await readVariables({ file, text }, environment, merged))
  }
  return { ...merged, ...environment }
}

/** The environment with the variables of a task's own env files below it, read by Node; a later file wins, a missing one is nothing. */
export function readEnvironment(
  directory: string,
  files: readonly string[],
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const merged: Record<string, string> = {}
  for (const name of files) {
    const text = readEnvironmentText(resolve(directory, name))
    if (text !== undefined) Object.assign(merged, parseEnv(text))
  }
  return { ...merged, ...environment }
}

function readEnvironmentText(file: string): string | undefined {
  if (!existsSync(file)) return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (thrown) {
    throw new DevstackError({
      kind: 'config',
      code: 'ENV_FILE_UNREADABLE',
      message: `${file} can not be read: ${messageOf(thrown)}`,
      hint: `Check what it is, who owns it and its mode: ls -ld ${file}`,
      cause: thrown,
    })
  }
}
