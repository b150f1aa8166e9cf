/** `devstack init`: a config made from what is here. Reads and plans first; writing is a step of its own. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DevstackError, messageOf } from '../../errors.ts'
import { importNames } from '../grammar.ts'
import type { Draft } from './draft.ts'
import { renderConfig } from './render.ts'

export type ImportName = (typeof importNames)[number]

export interface InitPlan {
  /** Absolute path of the config to write. */
  readonly file: string
  readonly text: string
  /** What it was made from. */
  readonly imported: readonly { readonly source: ImportName; readonly file: string; readonly tasks: number }[]
  /** What was left out or renamed, and why. */
  readonly notes: readonly string[]
}

const candidates: Readonly<Record<ImportName, readonly string[]>> = {
  'package.json': ['package.json'],
  // In the order in which make and task look themselves.
  makefile: ['GNUmakefile', 'makefile', 'Makefile'],
  compose: ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml'],
  taskfile: [
    'Taskfile.yml',
    'taskfile.yml',
    'Taskfile.yaml',
    'taskfile.yaml',
    'Taskfile.dist.yml',
    'Taskfile.dist.yaml',
  ],
}

/** The files in a folder that could be imported, by source. */
async function findImports(directory: string): Promise<ReadonlyMap<ImportName, string>> {
  const names = new Set(await readFolder(directory))
  const found = new Map<ImportName, string>()
  for (const source of importNames) {
    const file = candidates[source].find((name) => names.has(name))
    if (file !== undefined) found.set(source, file)
  }
  return found
}

/**
 * The config for a folder, without writing anything: `devstack.config.ts`, or `.mts` where the nearest package.json is not
 * one of ES modules. Imports `from`, or everything that is found. Throws CONFIG_EXISTS when there is a config already,
 * IMPORT_NOT_FOUND when a chosen source is not there, IMPORT_UNREADABLE when it is broken.
 */
export async function planInit(options: {
  /** Absolute. */
  readonly directory: string
  readonly from?: readonly ImportName[]
}): Promise<InitPlan> {
  const { directory } = options
  const existing = await existingConfig(directory)
  if (existing !== undefined) throw configExists(existing)
  const found = await findImports(directory)
  const drafts: Draft[] = []
  for (const source of options.from ?? importNames) {
    const file = found.get(source)
    if (file !== undefined) drafts.push(await importFrom(source, directory, file))
    else if (options.from !== undefined) {
      const here = [...found].map(([name, path]) => `--from ${name} (${path})`).join(', ')
      throw new DevstackError({
        kind: 'usage',
        code: 'IMPORT_NOT_FOUND',
        message: `There is no ${candidates[source].join(' or ')} in ${directory}.`,
        hint: here === '' ? 'Leave --from out for a config to start from.' : `There is ${here}.`,
      })
    }
  }
  const { text, notes } = renderConfig(drafts)
  return {
    file: join(directory, `devstack.config.${(await isModule(directory)) ? 'ts' : 'mts'}`),
    text,
    imported: drafts.map(({ source, file, tasks }) => ({ source, file, tasks: tasks.length })),
    notes,
  }
}

/** Whether the nearest package.json makes a `.ts` file an ES module; where it does not, Node and tsc need `.mts`. */
async function isModule(directory: string): Promise<boolean> {
  const text = await readFile(join(directory, 'package.json'), 'utf8').catch(() => undefined)
  if (text !== undefined) return /"type"\s*:\s*"module"/.test(text)
  // Without any package.json Node finds out by itself.
  return dirname(directory) === directory || (await isModule(dirname(directory)))
}

/** Writes the planned config. Throws CONFIG_EXISTS rather than to overwrite one that appeared meanwhile. */
export async function writeInit(plan: InitPlan): Promise<void> {
  try {
    await writeFile(plan.file, plan.text, { flag: 'wx' })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') throw configExists(plan.file)
    throw new DevstackError({
      kind: 'state',
      code: 'CONFIG_NOT_WRITTEN',
      message: `${plan.file} can not be written: ${messageOf(cause)}`,
      hint: 'Print it instead with "devstack init --dry-run".',
      cause,
    })
  }
}

/** What init did, as text for a person. */
export function formatInit(plan: InitPlan): string {
  const lines = [`Wrote ${plan.file}.`]
  for (const { source, file, tasks } of plan.imported) {
    lines.push(source === 'compose' ? `  ${file}: its services` : `  ${file}: ${tasks} task${tasks === 1 ? '' : 's'}`)
  }
  if (plan.imported.length === 0) lines.push('  There was nothing to import, so it has one task to start from.')
  if (plan.notes.length > 0) lines.push('', 'To know:', ...plan.notes.map((note) => `  ${note}`))
  lines.push('', 'Next: "devstack list" shows the tasks. Add .devstack/ to .gitignore.')
  return lines.join('\n')
}

async function importFrom(source: ImportName, directory: string, file: string): Promise<Draft> {
  if (source === 'compose') return { source, file, tasks: [], notes: [] }
  const text = await readText(join(directory, file))
  switch (source) {
    case 'package.json':
      return (await import('./scripts.ts')).importScripts(text, file)
    case 'makefile':
      return (await import('./makefile.ts')).importMakefile(text, file)
    case 'taskfile':
      return (await import('./taskfile.ts')).importTaskfile(text, file)
  }
}

async function existingConfig(directory: string): Promise<string | undefined> {
  const isConfig = (name: string) => /^devstack\.config\.(ts|mts|js|mjs|json|ya?ml)$/.test(name)
  const here = (await readFolder(directory)).find(isConfig)
  if (here !== undefined) return join(directory, here)
  const below = (await readdir(join(directory, '.config')).catch(() => [])).find(
    (name) => isConfig(name) || /^devstack\.(ts|mts|js|mjs|json|ya?ml)$/.test(name),
  )
  return below === undefined ? undefined : join(directory, '.config', below)
}

async function readFolder(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (cause) {
    throw new DevstackError({
      kind: 'usage',
      code: 'FOLDER_UNREADABLE',
      message: `The folder ${directory} can not be read: ${messageOf(cause)}`,
      hint: `Check what it is, who owns it and its mode: ls -ld ${directory}`,
      cause,
    })
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new DevstackError({
      kind: 'config',
      code: 'IMPORT_UNREADABLE',
      message: `${path} can not be read: ${messageOf(cause)}`,
      hint: 'Choose what to import with --from.',
      cause,
    })
  }
}

function configExists(file: string): DevstackError {
  return new DevstackError({
    kind: 'usage',
    code: 'CONFIG_EXISTS',
    message: `There is a config already: ${file}.`,
    hint: 'Remove it first, or look at what an import would give elsewhere with "devstack init --cwd DIR --dry-run".',
  })
}
