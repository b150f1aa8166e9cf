/** Which files patterns match. Folders are read once for all patterns, until told to forget. */
import { type Dirent, readdirSync } from 'node:fs'
import { isAbsolute } from 'node:path'

export interface Globs {
  /**
   * Paths relative to `cwd`, sorted: files, and links to files. A pattern that names a folder stands for all below it; `!`
   * excludes. What lies in `.git`, `.devstack` or (unless a pattern says so) `node_modules` is left out.
   */
  find(cwd: string, patterns: readonly string[]): Promise<readonly string[]>
  /** Forgets which files there were. */
  forget(): void
}

export type FileType = 'file' | 'folder' | 'other' | 'missing'

/** Globs that ask `typeOf` what a path leads to. */
export function openGlobs(typeOf: (path: string) => FileType): Globs {
  return new FolderGlobs(typeOf)
}

/** A pattern that names one file or folder. */
export function isPlain(pattern: string): boolean {
  return !/[*?[\]{}()!|+@\\]/.test(pattern) && !isAbsolute(pattern)
}

class FolderGlobs implements Globs {
  readonly #typeOf: (path: string) => FileType
  readonly #found = new Map<string, Promise<readonly string[]>>()
  readonly #folders = new Map<string, readonly Dirent[]>()

  constructor(typeOf: (path: string) => FileType) {
    this.#typeOf = typeOf
  }

  find(cwd: string, patterns: readonly string[]): Promise<readonly string[]> {
    const key = `${cwd}\n${patterns.join('\n')}`
    let found = this.#found.get(key)
    if (!found) {
      found = this.#find(cwd, patterns)
      this.#found.set(key, found)
    }
    return found
  }

  forget(): void {
    this.#found.clear()
    this.#folders.clear()
  }

  async #find(cwd: string, patterns: readonly string[]): Promise<readonly string[]> {
    if (patterns.length === 0) return []
    const modules = patterns.some((pattern) => pattern.includes('node_modules'))
    const left = modules ? ['.git', '.devstack'] : ['.git', '.devstack', 'node_modules']
    const found: string[] = []
    const others: string[] = []
    // most patterns name a file, or all below a folder: no matching is needed for these
    for (const pattern of patterns) if (!this.#collect({ cwd, pattern, left, found })) others.push(pattern)
    if (others.length === 0) return found.length > 1 ? [...new Set(found)].sort() : found
    // `!` of one pattern excludes from all of them
    const given = others.some((pattern) => pattern.startsWith('!')) ? patterns : others
    const { globSync } = await import('tinyglobby')
    const matched = globSync(given.map(forward), {
      cwd,
      dot: true,
      onlyFiles: true,
      expandDirectories: true,
      ignore: left.map((name) => `**/${name}/**`),
      fs: { readdirSync: ((path: string) => this.#folder(path)) as unknown as typeof readdirSync },
    }).map(forward)
    return [...new Set(given === patterns ? matched : [...found, ...matched])].sort()
  }

  /** Whether the pattern could be followed by its name alone; what it stands for is in `found` then. */
  #collect(options: { cwd: string; pattern: string; left: readonly string[]; found: string[] }): boolean {
    const { cwd, pattern, left, found } = options
    const path = pattern.endsWith('*') ? pattern.replace(/\/\*\*(\/\*)?$/, '') : pattern
    if (!isPlain(path)) return false
    for (const name of path.split('/')) if (/^\.{0,2}$/.test(name) || left.includes(name)) return false
    const type = this.#typeOf(`${cwd}/${path}`)
    if (type === 'missing') return true
    if (type === 'folder') return this.#walk({ cwd, path, left, found })
    if (type === 'file' && path === pattern) found.push(path)
    return path === pattern && type === 'file'
  }

  /** Adds all files below a folder; false where a link, whose ways are not followed here, or a locked folder is met. */
  #walk(options: { cwd: string; path: string; left: readonly string[]; found: string[] }): boolean {
    const { cwd, path, left, found } = options
    let entries: readonly Dirent[]
    try {
      entries = this.#folder(`${cwd}/${path}`)
    } catch {
      return false
    }
    for (const entry of entries) {
      if (left.includes(entry.name)) continue
      if (entry.isSymbolicLink()) return false
      const below = `${path}/${entry.name}`
      if (entry.isFile()) found.push(below)
      else if (entry.isDirectory() && !this.#walk({ ...options, path: below })) return false
    }
    return true
  }

  #folder(path: string): readonly Dirent[] {
    const key = path.replace(/(.)\/+$/, '$1')
    let entries = this.#folders.get(key)
    if (!entries) {
      entries = readdirSync(key, { withFileTypes: true })
      this.#folders.set(key, entries)
    }
    return entries
  }
}

function forward(path: string): string {
  return process.platform === 'win32' ? path.replaceAll('\\', '/') : path
}
