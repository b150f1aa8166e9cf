/** Reads a config whole or not at all, with those it includes, and registers their tasks. */
import { existsSync, statSync } from 'node:fs'
import { basename, relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DevstackError, messageOf, type Place } from '../errors.ts'
import { checkConfig } from './check.ts'
import type { Config, Pack, PackContext } from './define.ts'
import { type ProjectEnvironmentOptions, readProjectEnvironment, usualEnvFiles } from './environment.ts'
import { configIn, findConfig, readText, rootOf } from './find.ts'
import { namedByEnvironment, projectName } from './project-name.ts'
import { Registry } from './registry.ts'

export interface LoadOptions extends ProjectEnvironmentOptions {
  /** Where to look, going up; absolute. */
  readonly directory: string
  /** A file named by the user; then nothing is searched. */
  readonly file?: string
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
  const file =
    options.file === undefined ? await findConfig(options.directory) : resolve(options.directory, options.file)
  if (!existsSync(file)) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_NOT_FOUND',
      message: `There is no config at ${file}.`,
      hint: 'Without --config the nearest one is taken: devstack doctor says which.',
    })
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

/** Adds the tasks of a config: those of its packs, its own, then those of the configs that it includes. */
async function register(given: ReadConfig, into: Registration): Promise<void> {
  const { config, compose, file, directory, namespace: own, environment } = given
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
  for (const [name, path] of Object.entries(config.include ?? {})) {
    const included = fileOfInclude(name, path, given)
    await register(await readInclude(included, own === undefined ? name : `${own}:${name}`, given, into), into)
  }
}

/** The config that an include names. Throws CONFIG_INCLUDE_NOT_FOUND, CONFIG_INCLUDE_CYCLE. */
function fileOfInclude(name: string, path: string, { file, directory, including }: ReadConfig): string {
  const target = resolve(directory, path)
  const included = existsSync(target) && statSync(target).isDirectory() ? configIn(target) : target
  if (included === undefined || !existsSync(included)) {
    throw new DevstackError({
      kind: 'config',
      code: 'CONFIG_INCLUDE_NOT_FOUND',
      message: `The include "${name}" of ${file} names ${target}, where there is no config.`,
      hint: 'Name a folder that has a config of its own, or the config itself.',
    })
  }
  if (!including.includes(included)) return included
  throw new DevstackError({
    kind: 'config',
    code: 'CONFIG_INCLUDE_CYCLE',
    message: `Configs include each other: ${[...including.slice(including.indexOf(included)), included].join(' → ')}.`,
    hint: 'Remove one of these includes.',
  })
}

/** An included config, with its env files over those of `outer`, which names it. */
async function readInclude(
  file: string,
  namespace: string,
  outer: ReadConfig,
  { options, files, included, environments }: Registration,
): Promise<ReadConfig> {
  if (!files.includes(file)) files.push(file)
  const found = included.get(file) ?? (await read(file, options))
  included.set(file, found)
  const directory = rootOf(file)
  const own = await readProjectEnvironment(directory, found.config.envFiles ?? usualEnvFiles, {
    ...options,
    environment: {},
  })
  const environment = { ...outer.environment, ...own, ...options.environment }
  environments.push(environment)
  return { ...found, file, directory, namespace, environment, including: [...outer.including, file] }
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
