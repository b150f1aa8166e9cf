/** From an invocation to a loaded config and a session. */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { VariablesReader } from '../config/environment.ts'
import { type LoadedConfig, loadConfig } from '../config/load.ts'
import { DevstackError } from '../errors.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { redactorOf } from '../session/secrets.ts'
import { delaysOf, projectOf, type Session } from '../session/session.ts'
import { createTerminal } from '../session/terminal.ts'
import { writeCompletionCache } from './completion-cache.ts'
import type { Io } from './io.ts'
import type { Options } from './options.ts'

/** The folder devstack acts in. Throws USAGE_NO_FOLDER when `--cwd` is none. */
export function directoryOf(options: Options, io: Io): string {
  const directory = resolve(io.cwd, options.cwd ?? '.')
  if (options.cwd !== undefined && !(existsSync(directory) && statSync(directory).isDirectory())) {
    throw new DevstackError({
      kind: 'usage',
      code: 'USAGE_NO_FOLDER',
      message: `There is no folder ${directory}.`,
      hint: `-C counts from ${io.cwd}.`,
    })
  }
  return directory
}

/** The config that applies, with the completion cache refreshed. Nothing is mended: see `openConfig`. */
export async function readConfig(options: Options, io: Io): Promise<LoadedConfig> {
  const loaded = await loadConfig({
    directory: directoryOf(options, io),
    ...(options.config === undefined ? {} : { file: resolve(io.cwd, options.config) }),
    environment: io.environment,
    placeOf: async (thrown, file) => (await import('./place.ts')).placeOfThrown(thrown, file),
    composePack: async (files) => (await import('../../tasks/index.ts')).compose(files),
    readVariables,
  })
  await writeCompletionCache({
    stateDirectory: join(loaded.directory, '.devstack'),
    sources: loaded.files,
    tasks: loaded.registry.entries().map((registered) => ({
      name: registered.name,
      aliases: loaded.registry.aliasesOf(registered),
      definition: registered.task.definition,
    })),
  })
  return loaded
}

/** Env files in the syntax of compose files. */
export const readVariables: VariablesReader = async ({ file, text }, environment, earlier) => {
  const { parseEnvironment } = await import('../compose/environment.ts')
  return parseEnvironment({ file, path: file, text, directory: dirname(file), environment }, 'default', earlier)
}

export interface SessionOptions {
  readonly loaded: LoadedConfig
  readonly options: Options
  readonly io: Io
  readonly runtime: Runtime
  /** Aborts the run: the process's signals and `--timeout`. */
  readonly signal: AbortSignal
  readonly suspend: () => () => void
}

/** A session for one command. */
export function openSession(given: SessionOptions): Session {
  const { loaded, options, io } = given
  const redactor = redactorOf(loaded)
  const yes = options.yes ?? false
  return {
    loaded,
    project: projectOf(loaded),
    runtime: given.runtime,
    terminal: createTerminal({
      streams: io.terminal,
      yes,
      environment: io.environment,
      redact: (text) => redactor.redact(text),
      suspend: given.suspend,
      signal: given.signal,
    }),
    redactor,
    signal: given.signal,
    urgency: io.urgency,
    delays: delaysOf(loaded),
    flags: { yes, noBackup: options.backup === false },
    force: options.force ?? false,
    cache: options.cache !== false,
    suspend: given.suspend,
  }
}
