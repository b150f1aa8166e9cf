/** Notices changed files below some folders. */
import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs'
import { join, sep } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Never watched: what tasks and tools write all the time. */
const ignored = new Set(['.devstack', '.git', 'node_modules'])
/** Changes this close together are one: editors write a file in several steps. */
const quietMs = 100

/** Whether something has changed since that was asked last; what, is for who asks to find out. */
export class FileChanges {
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #changed = new Set<string>()
  #wake: () => void = () => {}

  /** Watches more folders, with all below them; those watched already are left alone. */
  add(directories: Iterable<string>): void {
    for (const directory of directories) this.#watch(directory)
  }

  /** Resolves once something has changed and nothing more did for a moment, or after an abort. */
  async next(signal: AbortSignal): Promise<void> {
    for (let before = 0; !signal.aborted; ) {
      if (this.#changed.size > 0 && this.#changed.size === before) break
      before = this.#changed.size
      await this.#pause(before === 0 ? undefined : quietMs, signal)
    }
    this.#changed.clear()
  }

  /** Waits for word of what has happened already. */
  async settled(): Promise<void> {
    await sleep(quietMs)
    this.#changed.clear()
  }

  close(): void {
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #pause(ms: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(done, ms)
      const self = this
      function done(): void {
        clearTimeout(timer)
        self.#wake = () => {}
        signal.removeEventListener('abort', done)
        resolve()
      }
      if (ms === undefined) this.#wake = done
      signal.addEventListener('abort', done, { once: true })
    })
  }

  #note(path: string): void {
    if (path.split(sep).some((part) => ignored.has(part))) return
    this.#changed.add(path)
    this.#wake()
  }

  #watch(directory: string): void {
    if (this.#watchers.has(directory)) return
    // Linux watches single folders; its recursive mode would walk through node_modules as well
    const recursive = process.platform !== 'linux'
    try {
      const watcher = watch(directory, { recursive }, (_, name) => {
        if (name === null) return
        const path = join(directory, name)
        this.#note(path)
        if (!recursive && !ignored.has(name) && isDirectory(path)) this.#appeared(path)
      })
      watcher.on('error', () => {
        // the folder was removed
        watcher.close()
        this.#watchers.delete(directory)
      })
      this.#watchers.set(directory, watcher)
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return
      throw thrown
    }
    if (!recursive) for (const name of foldersIn(directory)) this.#watch(join(directory, name))
  }

  /** A new folder may hold files already by the time it is watched. */
  #appeared(directory: string): void {
    this.#watchers.get(directory)?.close()
    this.#watchers.delete(directory)
    this.#watch(directory)
    try {
      for (const entry of readdirSync(directory, { recursive: true })) this.#note(join(directory, String(entry)))
    } catch {
      // gone again
    }
  }
}

function foldersIn(directory: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory() && !ignored.has(entry.name)).map(({ name }) => name)
  } catch {
    return []
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
