/** Hashes the content of files, remembering what has not changed since the last run. */
import { hash } from 'node:crypto'
import { lstatSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { messageOf } from '../errors.ts'
import { readChecked, writeChecked } from './checked.ts'
import { type FileType, isPlain, openGlobs } from './globs.ts'

export interface FileHashes {
  /** Paths relative to `cwd`, sorted, each with its hash; a pattern without wildcards that matches nothing gives `missing`. */
  hash(cwd: string, patterns: readonly string[]): Promise<ReadonlyMap<string, string>>
  /** Paths relative to `cwd`, sorted; files and symbolic links. */
  list(cwd: string, patterns: readonly string[]): Promise<readonly string[]>
  /** SHA-256 of a file's content; read only when it is not the very file that was read before. Throws what reading throws. */
  content(path: string, stat: Stats): string
  /** Forgets what was seen in this run, because a task may have changed files since. The next run's knowledge stays. */
  forget(): void
  /** Writes what was learnt for the next process. Never throws: it is only a cache. */
  save(): void
}

/** size, mtime and ctime in milliseconds, inode, hash: while the first four are equal, the hash is believed. */
type Known = readonly [size: number, mtime: number, ctime: number, inode: number, hash: string]

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
  readonly #settledMs: number
  #known: Map<string, Known> | undefined
  /** What this process has used: only that is kept, so that the store does not grow for ever. */
  readonly #used = new Map<string, Known>()
  readonly #stats = new Map<string, Stats | string>()
  readonly #hashes = new Map<string, string>()
  readonly #globs = openGlobs((path) => this.#typeOf(path))
  #learnt = false

  constructor(store: string, settledMs: number) {
    this.#store = store
    this.#settledMs = settledMs
  }

  async hash(cwd: string, patterns: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const paths = await this.list(cwd, patterns)
    const result = new Map<string, string>()
    for (const path of paths) result.set(path, this.#hashOf(join(cwd, path)))
    for (const pattern of patterns) {
      if (!isPlain(pattern) || result.has(pattern) || result.has(normal(pattern))) continue
      const prefix = `${normal(pattern)}/`
      if (!paths.some((path) => path.startsWith(prefix))) result.set(normal(pattern), 'missing')
    }
    return result
  }

  list(cwd: string, patterns: readonly string[]): Promise<readonly string[]> {
    return this.#globs.find(cwd, patterns)
  }

  content(path: string, stat: Stats): string {
    const { size, mtimeMs, ctimeMs, ino } = stat
    const known = this.#used.get(path) ?? this.#load().get(path)
    if (known && known[0] === size && known[1] === mtimeMs && known[2] === ctimeMs && known[3] === ino) {
      this.#used.set(path, known)
      return known[4]
    }
    const settled = Date.now() - this.#settledMs
    const found = hash('sha256', readFileSync(path))
    if (mtimeMs < settled && ctimeMs < settled) {
      this.#used.set(path, [size, mtimeMs, ctimeMs, ino, found])
      this.#learnt = true
    }
    return found
  }

  forget(): void {
    this.#globs.forget()
    this.#stats.clear()
    this.#hashes.clear()
  }

  save(): void {
    if (!this.#learnt) return
    this.#learnt = false
    for (const [path, known] of this.#load()) if (!this.#used.has(path) && exists(path)) this.#used.set(path, known)
    try {
      writeChecked(this.#store, JSON.stringify({ format: 2, files: Object.fromEntries(this.#used) }))
    } catch {
      // Only speed is lost.
    }
  }

  #hashOf(path: string): string {
    let found = this.#hashes.get(path)
    if (found === undefined) {
      found = this.#freshHash(path)
      this.#hashes.set(path, found)
    }
    return found
  }

  #freshHash(path: string): string {
    const stat = this.#stat(path)
    if (typeof stat === 'string') return linkHash(path) ?? `unreadable: ${stat}`
    if (!stat.isFile()) return stat.isDirectory() ? 'directory' : 'special'
    const executable = (stat.mode & 0o111) === 0 ? '' : '+x'
    try {
      return this.content(path, stat) + executable
    } catch (error) {
      return `unreadable: ${messageOf(error)}`
    }
  }

  #typeOf(path: string): FileType {
    const stat = this.#stat(path)
    if (typeof stat === 'string') return lstatSync(path, { throwIfNoEntry: false }) ? 'other' : 'missing'
    return stat.isFile() ? 'file' : stat.isDirectory() ? 'folder' : 'other'
  }

  /** What a path leads to, asked once; else why that can not be told. */
  #stat(path: string): Stats | string {
    let stat = this.#stats.get(path)
    if (stat === undefined) {
      try {
        stat = statSync(path, { throwIfNoEntry: false }) ?? 'no such file'
      } catch (error) {
        stat = messageOf(error)
      }
      this.#stats.set(path, stat)
    }
    return stat
  }

  #load(): Map<string, Known> {
    if (!this.#known) {
      this.#known = new Map()
      try {
        const { format, files } = JSON.parse(readChecked(this.#store) ?? '{}') as { format?: unknown; files?: object }
        // The checksum vouches for the entries.
        if (format === 2) this.#known = new Map(Object.entries(files ?? {}) as [string, Known][])
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

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}

function normal(pattern: string): string {
  return posix.normalize(pattern).replace(/\/+$/, '')
}
