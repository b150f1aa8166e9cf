/**
 * A build's context: which files go in, as `.dockerignore` says, their fingerprint and their tar. Rules of ignoring:
 * docs.docker.com/build/concepts/context/#dockerignore-files (patterns are anchored at the context's root).
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises'
import { isAbsolute, join, relative, resolve, sep } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { PackOptions } from 'tar-fs'
import { DevstackError, messageOf } from '../errors.ts'
import type { BuildOptions } from './runtime.ts'

export interface ContextEntry {
  /** Relative to the context, with `/`. */
  readonly path: string
  readonly kind: 'file' | 'directory' | 'link'
  /** Permission bits. */
  readonly mode: number
  readonly size: number
  /** Of a link. */
  readonly target?: string
}

export interface BuildContext {
  readonly directory: string
  readonly entries: readonly ContextEntry[]
  /** What the engine is told: a path inside the tar. */
  readonly dockerfile: string
  readonly dockerfileText: string
  /** The Dockerfile is not among the entries and has to be added under `dockerfile`. */
  readonly dockerfileOutside: boolean
}

/**
 * Reads a context. Throws RUNTIME_CONTEXT_MISSING and RUNTIME_DOCKERFILE_MISSING, each naming the path.
 * Links stay links, also when they lead nowhere; sockets and pipes are left out.
 */
export async function readContext(options: BuildOptions): Promise<BuildContext> {
  const directory = resolve(options.context)
  const stats = await stat(directory).catch(() => undefined)
  if (!stats?.isDirectory())
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_CONTEXT_MISSING',
      message: `The build context ${directory} is ${stats ? 'no folder' : 'not there'}.`,
      hint: 'Mend `context` of the service, or of the build.',
    })
  const dockerfile = await readDockerfile(options, directory)
  const rules = await ignoreRules(directory, dockerfile.path)
  const entries = await list(directory, rules)
  const inside = entries.some(({ path, kind }) => path === dockerfile.inside && kind !== 'directory')
  const outside = dockerfile.inside === undefined || !inside
  return {
    directory,
    entries,
    dockerfile: outside ? outsideName(dockerfile.text) : dockerfile.inside!,
    dockerfileText: dockerfile.text,
    dockerfileOutside: outside,
  }
}

const outsideName = (text: string): string =>
  `.dockerfile.${createHash('sha256').update(text).digest('hex').slice(0, 20)}`

interface Dockerfile {
  readonly text: string
  /** Absolute; undefined for an inline one. */
  readonly path?: string
  /** Path inside the context; undefined when it lies outside. */
  readonly inside?: string
}

async function readDockerfile(options: BuildOptions, directory: string): Promise<Dockerfile> {
  if (options.dockerfileInline !== undefined) return { text: options.dockerfileInline }
  const named = options.dockerfile ?? 'Dockerfile'
  const path = isAbsolute(named) ? named : join(directory, named)
  const within = relative(directory, path)
  const inside = within.startsWith('..') || isAbsolute(within) ? undefined : within.split(sep).join('/')
  try {
    return { text: await readFile(path, 'utf8'), path, ...(inside !== undefined && { inside }) }
  } catch (error) {
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_DOCKERFILE_MISSING',
      message: `The Dockerfile ${path} cannot be read: ${messageOf(error)}.`,
      hint: 'Name it by `dockerfile`, relative to the context.',
      place: { file: path },
      cause: error,
    })
  }
}

interface Rules {
  ignores(path: string): boolean
  /** Something below an ignored folder may be taken back in. */
  readonly negations: boolean
}

/** `<Dockerfile>.dockerignore` beside the Dockerfile wins over the context's `.dockerignore`. */
async function ignoreRules(directory: string, dockerfile: string | undefined): Promise<Rules> {
  const read = (file: string): Promise<string | undefined> => readFile(file, 'utf8').catch(() => undefined)
  const text =
    (dockerfile === undefined ? undefined : await read(`${dockerfile}.dockerignore`)) ??
    (await read(join(directory, '.dockerignore')))
  return dockerignore(text ?? '')
}

interface Rule {
  readonly negated: boolean
  readonly ignores: (path: string) => boolean
}

/**
 * Rules of a .dockerignore: patterns are anchored, the last that matches a path or one of its parents wins, `!` takes back
 * in, also below an ignored folder (which .gitignore never does). Each pattern is matched by the library `ignore`.
 */
export async function dockerignore(text: string): Promise<Rules> {
  const { default: ignore } = await import('ignore')
  const rules: Rule[] = []
  for (const raw of text.replace(/^\uFEFF/, '').split(/\r?\n/)) {
    if (raw.startsWith('#')) continue
    const trimmed = raw.trim()
    const negated = trimmed.startsWith('!')
    const pattern = clean(negated ? trimmed.slice(1).trim() : trimmed)
    if (pattern === '') continue
    if (pattern === '.') {
      rules.push({ negated, ignores: () => true })
      continue
    }
    const matcher = ignore({ ignorecase: false, allowRelativePaths: false }).add(`/${pattern}`)
    // A path below a matching folder is matched as well.
    rules.push({ negated, ignores: (path) => matcher.ignores(path) || matcher.ignores(`${path}/`) })
  }
  return {
    negations: rules.some(({ negated }) => negated),
    ignores(path) {
      let ignored = false
      for (const rule of rules) if (rule.negated === ignored && rule.ignores(path)) ignored = !rule.negated
      return ignored
    },
  }
}

/** Go's filepath.Clean for patterns: no leading or trailing slash, no `.` and `..` elements. */
function clean(pattern: string): string {
  if (pattern === '') return ''
  const parts: string[] = []
  for (const part of pattern.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return parts.length === 0 ? '.' : parts.join('/')
}

async function list(directory: string, rules: Rules): Promise<readonly ContextEntry[]> {
  const entries: ContextEntry[] = []
  const walk = async (folder: string): Promise<boolean> => {
    const names = (await readdir(join(directory, folder))).sort()
    let kept = false
    for (const name of names) {
      const path = folder === '' ? name : `${folder}/${name}`
      const stats = await lstat(join(directory, path))
      const ignored = rules.ignores(path)
      if (stats.isDirectory()) {
        if (ignored && !rules.negations) continue
        const at = entries.length
        const inner = await walk(path)
        // An ignored folder is there only for what was taken back in below it.
        if (ignored && !inner) continue
        entries.splice(at, 0, { path, kind: 'directory', mode: stats.mode & 0o7777, size: 0 })
        kept = true
      } else if (!ignored && stats.isSymbolicLink()) {
        const target = await readlink(join(directory, path))
        entries.push({ path, kind: 'link', mode: 0o777, size: 0, target })
        kept = true
      } else if (!ignored && stats.isFile()) {
        entries.push({ path, kind: 'file', mode: stats.mode & 0o7777, size: stats.size })
        kept = true
      }
    }
    return kept
  }
  await walk('')
  return entries
}

/**
 * SHA-256 (hexadecimal) over everything that decides what a build makes: relative paths, kinds, modes, contents and link
 * targets of what is not ignored, the Dockerfile, arguments, target, platform and labels. Times and owners do not count.
 */
export async function contextFingerprint(options: BuildOptions): Promise<string> {
  return fingerprintOf(await readContext(options), options)
}

/** The fingerprint of a context that is read already. */
export async function fingerprintOf(context: BuildContext, options: BuildOptions): Promise<string> {
  const hash = createHash('sha256')
  const add = (...parts: readonly string[]): void => {
    // Lengths keep neighbours apart: "ab","c" is not "a","bc".
    for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  }
  add('devstack context 1', context.dockerfileText, options.target ?? '', options.platform ?? '', options.network ?? '')
  for (const record of [options.args ?? {}, options.labels ?? {}])
    for (const [name, value] of Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1))) add(name, value)
  for (const entry of context.entries) {
    add(entry.path, entry.kind, entry.mode.toString(8), entry.target ?? '')
    if (entry.kind !== 'file') continue
    const content = createHash('sha256')
    await pipeline(createReadStream(join(context.directory, entry.path)), content)
    add(content.digest('hex'))
  }
  return hash.digest('hex')
}

/** The context as a tar stream, owners set to root as `docker build` does. */
export async function packContext(context: BuildContext): Promise<Readable> {
  const { pack } = await import('tar-fs')
  const kept = new Set(['', ...context.entries.map(({ path }) => path)])
  const options: PackOptions & { sort: boolean; umask: number } = {
    // The types do not know these two, which make equal contexts equal tars.
    sort: true,
    ignore: (name) => !kept.has(relative(context.directory, name).split(sep).join('/')),
    umask: 0,
    map: (header) => ({ ...header, uid: 0, gid: 0 }),
    ...(context.dockerfileOutside && {
      finalize: false,
      finish(tar) {
        tar.entry({ name: context.dockerfile, mode: 0o600 }, context.dockerfileText, () => tar.finalize())
      },
    }),
  }
  // A stream of streamx: it pipes, iterates and destroys as Node's do.
  return pack(context.directory, options) as unknown as Readable
}
