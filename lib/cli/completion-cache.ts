/**
 * What completion must know of a config, left in `.devstack/completion.json` by whoever loaded it. Read by hand-written
 * checks, since starting zod would cost more than everything else here.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { AnyDefinition } from '../engine/task.ts'
import { runIds } from '../state/journal-files.ts'
import { describeParams, optionNames, type Param } from './param.ts'

export interface CompletionParam {
  /** With their dashes: `--verify` and `--no-verify`. */
  readonly names: readonly string[]
  readonly takesValue: boolean
  readonly many?: boolean
  readonly positional?: 'one' | 'rest'
  readonly choices?: readonly string[]
  /** Its value is a path; set with `.meta({ file: true })` or `'directory'`. */
  readonly file?: 'file' | 'directory'
  readonly description?: string
}

export interface CompletionTask {
  readonly name: string
  readonly description?: string
  readonly aliases?: readonly string[]
  readonly params?: readonly CompletionParam[]
}

/** Content of `.devstack/completion.json`. */
export interface CompletionCache {
  readonly format: 1
  /** The config and every other file it was made from; the cache is fresh while none of them changes. */
  readonly sources: readonly { readonly file: string; readonly mtimeMs: number; readonly size: number }[]
  /** Without private ones, in the order of the config. */
  readonly tasks: readonly CompletionTask[]
}

interface TaskEntry {
  readonly name: string
  /** As typed, with their namespace; default as the definition has them. */
  readonly aliases?: readonly string[]
  readonly definition: AnyDefinition
}

const cacheName = 'completion.json'

/**
 * Writes the cache into `stateDirectory`, whole or not at all. Does nothing when the one that is there is fresh. Never
 * throws for what the file system refuses: completion is a comfort, and no run should fail of it.
 */
export async function writeCompletionCache(given: {
  /** Absolute path of `.devstack/`. */
  readonly stateDirectory: string
  /** Absolute paths. */
  readonly sources: readonly string[]
  readonly tasks: readonly TaskEntry[]
}): Promise<void> {
  const path = join(given.stateDirectory, cacheName)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const sources = given.sources.map(stamp)
    const before = readCache(path)
    if (before && JSON.stringify(before.sources) === JSON.stringify(sources)) return
    const tasks = await Promise.all(given.tasks.filter(({ definition }) => !definition.private).map(describe))
    const cache: CompletionCache = { format: 1, sources, tasks }
    mkdirSync(given.stateDirectory, { recursive: true })
    writeFileSync(temporary, JSON.stringify(cache))
    renameSync(temporary, path)
  } catch {
    remove(temporary)
  }
}

function remove(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // what refused the file refuses this too
  }
}

function stamp(file: string): CompletionCache['sources'][number] {
  const { mtimeMs, size } = statSync(file)
  return { file, mtimeMs, size }
}

function isUnchanged({ file, mtimeMs, size }: CompletionCache['sources'][number]): boolean {
  try {
    const now = stamp(file)
    return now.mtimeMs === mtimeMs && now.size === size
  } catch {
    return false
  }
}

async function describe({ name, definition, aliases = definition.aliases ?? [] }: TaskEntry): Promise<CompletionTask> {
  // A params schema that can not be read is the run's error to tell; the name still completes.
  const params = await describeParams(definition.params).catch(() => [])
  return {
    name,
    ...(definition.description === undefined ? {} : { description: definition.description }),
    ...(aliases.length === 0 ? {} : { aliases }),
    ...(params.length === 0 ? {} : { params: params.map(completionParam) }),
  }
}

function completionParam(param: Param): CompletionParam {
  const { shape, positional, description, choices } = param
  const names = [...optionNames(param.option, shape), ...(param.short === undefined ? [] : [`-${param.short}`])]
  const file = shape.meta.file === 'directory' ? 'directory' : shape.meta.file ? 'file' : undefined
  return {
    names,
    takesValue: optionNames(param.option, shape).length === 1,
    ...(param.many ? { many: true } : {}),
    ...(positional ? { positional } : {}),
    ...(choices.length > 0 ? { choices } : {}),
    ...(file === undefined ? {} : { file }),
    ...(description === undefined ? {} : { description }),
  }
}

/**
 * The cache of the nearest project at or above `directory`, and whether it still tells the truth; `undefined` when there is
 * none or it can not be read.
 */
export function readCompletionCache(
  directory: string,
): { readonly cache: CompletionCache; readonly fresh: boolean; readonly stateDirectory: string } | undefined {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const stateDirectory = join(at, '.devstack')
    const cache = readCache(join(stateDirectory, cacheName))
    if (cache) return { cache, fresh: cache.sources.every(isUnchanged), stateDirectory }
    if (dirname(at) === at) return undefined
  }
}

function readCache(path: string): CompletionCache | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<CompletionCache> | null
    if (value?.format !== 1 || !Array.isArray(value.sources) || !Array.isArray(value.tasks)) return undefined
    const isSound = value.tasks.every(
      (task: CompletionTask | null) =>
        typeof task?.name === 'string' &&
        (task.params === undefined ||
          (Array.isArray(task.params) && task.params.every((param) => Array.isArray(param?.names)))),
    )
    const hasSources = value.sources.every((source: { file?: unknown } | null) => typeof source?.file === 'string')
    return isSound && hasSources ? (value as CompletionCache) : undefined
  } catch {
    return undefined
  }
}

/** Ids of the latest runs, newest first, for `show`, `resume` and `undo`; empty when there are none. */
export function recentRuns(stateDirectory: string, most = 20): readonly string[] {
  try {
    return runIds(stateDirectory).slice(0, most)
  } catch {
    return []
  }
}
