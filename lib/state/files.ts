/** Finds files by globs and hashes their content, remembering what has not changed since the last run. */
import { createHash } from 'node:crypto'
import { type BigIntStats, lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { isAbsolute, join, resolve } from 'node:path'
import { messageOf } from '../errors.ts'
import { readChecked, writeChecked } from './checked.ts'

export interface FileHashes {
  /** Paths relative to `cwd`, sorted, each with its hash; a pattern without wildcards that matches nothing gives `missing`. */
  hash(cwd: string, patterns: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** Paths relative to `cwd`, sorted; files and symbolic links. */
  list(cwd: string, patterns: readonly string[]): Promise<readonly string[]>
  /** Forgets what was seen in this run, because a task may have changed files since. The next run's knowledge stays. */
  forget(): void
  /** Writes what was learnt for the next process. Never throws: it is only a cache. */
  save(): void
}

/** size, mtime and ctime in nanoseconds, inode, hash: while the first four are equal, the hash is believed. */
type Known = [size: string, mtime: string, ctime: string, inode: string, hash: string]

export interface FilesOptions {
  /** `.devstack` of the project. */
  readonly directory: string
  /**
   * A file changed this shortly before it was read, in milliseconds, may change again within the same timestamp; it is read
   * again next time. Default 2000: coarse file systems count in steps of two seconds.
   */
  readonly settledMs?: number
}

/** Hashes of files below a project. */
export function openFiles(options: FilesOptions): FileHashes {
  return new Files(join(options.directory, 'cache', 'files.json'), options.settledMs ?? 2_000)
}

class Files implements FileHashes {
  readonly #store: string
  readonly #racyNs: bigint
  #known: Map<string, Known> | undefined
  /** What this process has used: only that is kept, so that the store does not grow for ever. */
  readonly #used = new Map<string, Known>()
  readonly #hashes = new Map<string, string>()
  readonly #globs = new Map<string, Promise<readonly string[]>>()
  #learnt = false

  constructor(store: string, settledMs: number) {
    this.#store = store
    this.#racyNs = BigInt(settledMs) * 1_000_000n
  }

  async hash(cwd: string, patterns: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const paths = await this.list(cwd, patterns)
    const result = new Map<string, string>()
    for (const path of paths) result.set(path, this.#hashOf(join(cwd, path)))
    for (const pattern of patterns) {
      if (!isPlain(pattern) || result.has(normal(pattern))) continue
      const prefix = `${normal(pattern)}/`
      if (!paths.some((path) => path.startsWith(prefix))) result.set(normal(pattern), 'missing')
    }
    return result
  }

  list(cwd: string, patterns: readonly string[]): Promise<readonly string[]> {
    const key = JSON.stringify([cwd, patterns])
    let found = this.#globs.get(key)
    if (!found) {
      found = find(cwd, patterns)
      this.#globs.set(key, found)
    }
    return found
  }

  forget(): void {
    this.#globs.clear()
    this.#hashes.clear()
  }

  save(): void {
    if (!this.#learnt) return
    this.#learnt = false
    for (const [path, known] of this.#load()) if (!this.#used.has(path) && exists(path)) this.#used.set(path, known)
    try {
      writeChecked(this.#store, JSON.stringify({ format: 1, files: Object.fromEntries(this.#used) }))
    } catch {
      // Only speed is lost.
    }
  }

  #hashOf(path: string): string {
    const seen = this.#hashes.get(path)
    if (seen !== undefined) return seen
    const hash = this.#freshHash(path)
    this.#hashes.set(path, hash)
    return hash
  }

  #freshHash(path: string): string {
    let stat: BigIntStats
    const now = BigInt(Date.now()) * 1_000_000n
    try {
      stat = statSync(path, { bigint: true })
    } catch (error) {
      return linkHash(path) ?? `unreadable: ${messageOf(error)}`
    }
    const executable = (stat.mode & 0o111n) === 0n ? '' : '+x'
    if (!stat.isFile()) return stat.isDirectory() ? 'directory' : 'special'
    const key = [stat.size, stat.mtimeNs, stat.ctimeNs, stat.ino].map(String)
    const known = this.#load().get(path)
    if (known && key.every((part, index) => part === known[index])) {
      this.#used.set(path, known)
      return known[4] + executable
    }
    let hash: string
    try {
      hash = createHash('sha256').update(readFileSync(path)).digest('hex')
    } catch (error) {
      return `unreadable: ${messageOf(error)}`
    }
    if (now - stat.mtimeNs > this.#racyNs && now - stat.ctimeNs > this.#racyNs) {
      this.#used.set(path, [...key, hash] as Known)
      this.#learnt = true
    }
    return hash + executable
  }

  #load(): Map<string, Known> {
    if (!this.#known) {
      this.#known = new Map()
      try {
        const { format, files } = JSON.parse(readChecked(this.#store) ?? '{}') as { format?: unknown; files?: object }
        // The checksum vouches for the entries.
        if (format === 1) this.#known = new Map(Object.entries(files ?? {}) as [string, Known][])
      } catch {
        // Whatever it is, it is no cache of ours.
      }
    }
    return this.#known
  }
}

/** The hash of a symbolic link that leads nowhere: its target's name. */
function linkHash(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? `link to ${readlinkSync(path)}` : undefined
  } catch {
    return undefined
  }
}

async function find(cwd: string, patterns: readonly string[]): Promise<readonly string[]> {
  if (patterns.length === 0) return []
  const { glob } = await import('tinyglobby')
  const wantsModules = patterns.some((pattern) => pattern.includes('node_modules'))
  const found = await glob(patterns.map(forward), {
    cwd,
    dot: true,
    onlyFiles: true,
    expandDirectories: true,
    ignore: ['**/.git/**', '**/.devstack/**', ...(wantsModules ? [] : ['**/node_modules/**'])],
  })
  return [...new Set(found.map(forward))].sort()
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** A pattern that names one file or folder. */
function isPlain(pattern: string): boolean {
  return !/[*?[\]{}()!|+@\\]/.test(pattern) && !isAbsolute(pattern)
}

function normal(pattern: string): string {
  return resolve('/', pattern).slice(1) === '' ? '.' : pattern.replace(/^\.\//, '').replace(/\/+$/, '')
}

function forward(path: string): string {
  return process.platform === 'win32' ? path.replaceAll('\\', '/') : path
}
