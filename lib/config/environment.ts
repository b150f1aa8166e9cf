/** Env files: the environment of a project, and that of a task. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseEnv } from 'node:util'
import { DevstackError, messageOf } from '../errors.ts'

/** Those of a config that names none. */
export const usualEnvFiles = ['.env', '.env.local']

/** Variables of an env file's text. `${NAME}` is looked up in `environment`, then above in the text, then in `earlier` files. */
export type VariablesReader = (
  source: { readonly file: string; readonly text: string },
  environment: Readonly<Record<string, string>>,
  earlier: Readonly<Record<string, string>>,
) => Promise<Readonly<Record<string, string>>>

/** Lines that every reader of env files takes alike: loading the one of compose files costs more than reading these. */
const plainVariables = /^(?:#.*|[A-Za-z_]\w*=[^\s'"`#$\\]*|)$/

export interface ProjectEnvironmentOptions {
  readonly environment: Readonly<Record<string, string>>
  /** Reads env files that are more than plain `NAME=value` lines; without it Node's own reader does. */
  readonly readVariables?: VariablesReader
}

/** The environment with the files' variables below it, as compose files are given them; a later file wins, a missing one is nothing. */
export async function readProjectEnvironment(
  directory: string,
  files: readonly string[],
  { environment, readVariables }: ProjectEnvironmentOptions,
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
