import { access, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { parseEnvironment } from './environment.ts'
import { composeError, type Source, type Spot } from './tree.ts'

const sizeLimit = 8 * 1024 * 1024

/** What a file is to its reader, for messages. */
export type FileRole = 'compose file' | 'included file' | 'extended file' | 'env file' | 'label file'

export interface ReadOptions {
  readonly path: string
  /** As shown in messages; default: the path. */
  readonly shown?: string
  readonly role: FileRole
  readonly directory?: string
  readonly environment: Readonly<Record<string, string>>
  /** Where the file is named, if anywhere. */
  readonly namedAt?: Spot
}

/** A file's text as a source. Throws when it is missing, no file, unreadable, binary, no UTF-8 or larger than 8 MiB. */
export async function readSource(options: ReadOptions): Promise<Source> {
  const { path, shown = path, role, environment } = options
  const code = role === 'env file' ? 'ENV_FILE' : 'FILE'
  const at = options.namedAt ? { at: options.namedAt } : {}
  const place = { file: shown }
  let content: Buffer
  try {
    content = await readFile(path)
  } catch (error) {
    const { code: cause } = error as NodeJS.ErrnoException
    if (cause === 'ENOENT' || cause === 'ENOTDIR') {
      const hint =
        role === 'compose file'
          ? 'Check the path, or create the file'
          : 'Check the path: it counts from the file that names it'
      throw composeError(`${code}_MISSING`, `The ${role} ${shown} does not exist`, { ...at, hint })
    }
    if (cause === 'EISDIR') throw composeError(`${code}_UNREADABLE`, `The ${role} ${shown} is a folder`, { ...at })
    const why = cause === 'EACCES' || cause === 'EPERM' ? 'no permission' : (cause ?? 'unknown reason')
    throw composeError(`${code}_UNREADABLE`, `The ${role} ${shown} can not be read: ${why}`, {
      ...at,
      hint: `Try: ls -l ${shown}`,
      cause: error,
    })
  }
  if (content.length > sizeLimit)
    throw composeError(`${code}_UNREADABLE`, `The ${role} ${shown} is larger than 8 MiB`, { ...at })
  if (content.includes(0))
    throw composeError('ENCODING', `The ${role} ${shown} is binary: it holds a NUL byte`, { place })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(content)
  } catch {
    const loose = content.toString('utf8')
    const line = loose.slice(0, loose.indexOf('\uFFFD')).split('\n').length
    throw composeError('ENCODING', `The ${role} ${shown} is no UTF-8 text`, {
      place: { ...place, line },
      hint: 'Save it as UTF-8',
    })
  }
  return { file: shown, path, text, directory: options.directory ?? dirname(path), environment }
}

/** `environment` over the variables of the folder's `.env`; the path of that file when there is one. */
export async function withDotEnv(directory: string, environment: Readonly<Record<string, string>>) {
  const path = join(directory, '.env')
  try {
    const source = await readSource({ path, role: 'env file', environment })
    return { environment: { ...parseEnvironment(source), ...environment } as Record<string, string>, files: [path] }
  } catch (error) {
    if ((error as { code?: string }).code !== 'COMPOSE_ENV_FILE_MISSING') throw error
    return { environment: { ...environment }, files: [] as string[] }
  }
}

/**
 * Variables of one env file, such as `.env.local`, in the syntax of `.env`; `environment` is what `${NAME}` in it looks up first. A file
 * that is missing, unreadable or broken throws a DevstackError with its place.
 */
export async function readEnvironmentFile(
  path: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<Readonly<Record<string, string>>> {
  return parseEnvironment(await readSource({ path, role: 'env file', environment }))
}

/** The compose files a folder has under their usual names: the first of compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml, and its override file. */
export async function findComposeFiles(directory: string): Promise<readonly string[]> {
  const exists = (name: string) =>
    access(join(directory, name)).then(
      () => true,
      () => false,
    )
  for (const stem of ['compose', 'docker-compose']) {
    for (const extension of stem === 'compose' ? ['yaml', 'yml'] : ['yml', 'yaml']) {
      const main = `${stem}.${extension}`
      if (!(await exists(main))) continue
      for (const override of [`${stem}.override.yaml`, `${stem}.override.yml`])
        if (await exists(override)) return [join(directory, main), join(directory, override)]
      return [join(directory, main)]
    }
  }
  return []
}

/** The project name that a folder gives when nobody names one: its base name with only a-z, 0-9, _ and -. */
export function defaultProjectName(directory: string): string {
  const name = basename(directory)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
  return name === '' ? 'default' : name
}
