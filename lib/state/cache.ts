/**
 * The record of each task's last success, and a store of outputs by fingerprint from which they can be restored.
 *
 * Layout below `.devstack/cache`: `tasks/<task>` is the task's last record, `entries/<fingerprint>` a record by fingerprint,
 * `blobs/<sha256>` the content of outputs. Records carry a checksum and blobs are their own, so what is truncated, corrupt
 * or half-written counts as absent. Only `publish` makes records, and only after a success.
 */
import { hash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, unlinkSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import type { Json } from '../engine/schema.ts'
import { DevstackError, messageOf } from '../errors.ts'
import { readChecked, replaceFile, writeChecked } from './checked.ts'
import type { FileHashes } from './files.ts'
import type { Fingerprint } from './fingerprint.ts'
import { capture, type Output, outputDifferences, putBack } from './outputs.ts'

export interface CacheRecord extends Fingerprint {
  readonly task: string
  readonly value: Json
  readonly outputs: readonly Output[]
  /** Whether the outputs' content is in the store. */
  readonly stored: boolean
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly durationMs: number
}

export interface PublishOptions {
  readonly task: string
  readonly fingerprint: Fingerprint
  readonly value: Json
  readonly durationMs: number
  /** Where `outputs` are looked for, absolute. */
  readonly cwd: string
  /** Patterns. */
  readonly outputs?: readonly string[]
  /** Keep the outputs' content for `restore`; default true. */
  readonly store?: boolean
}

export interface Cache {
  /** The record of the task's last success that nothing has invalidated since. */
  last(task: string): CacheRecord | undefined
  /** A record with that fingerprint whose outputs can be restored in full. */
  find(hash: string): CacheRecord | undefined
  /**
   * Forgets the task's last success; to be called before it runs, so that a failure leaves nothing fresh. Throws
   * CACHE_UNWRITABLE when it can not be forgotten: going on could later take a failure for a success.
   */
  begin(task: string): void
  /** Records a success. Throws OUTPUT_OUTSIDE or OUTPUT_MISSING; a store that can not be written is told through `warn`. */
  publish(options: PublishOptions): Promise<CacheRecord | undefined>
  /** How the outputs on disk differ from the record: `dist/a.js was changed since`. Empty when they do not. */
  differences(record: CacheRecord, cwd: string): string[]
  /**
   * Writes the outputs as they were and says which were written; the record is the task's last success again. Throws
   * CACHE_RESTORE_FAILED and leaves no half-written file.
   */
  restore(record: CacheRecord, cwd: string): readonly string[]
  /**
   * Removes entries not used for `olderThanMs`, then the least recently used until the store fits, and blobs nobody names.
   * With `dryRun` it only tells what would be removed, and the bytes that would be left.
   */
  prune(options?: PruneOptions): { readonly bytes: number; readonly removed: number }
}

export interface PruneOptions {
  /** Milliseconds; default: entries of any age may stay. */
  readonly olderThanMs?: number
  readonly dryRun?: boolean
}

export interface CacheOptions {
  /** `.devstack` of the project; made when missing. */
  readonly directory: string
  readonly files: FileHashes
  /** Default 1 GiB. */
  readonly maxBytes?: number
  /** Told once when the store can not be written. Default: nobody. */
  readonly warn?: (text: string) => void
}

/** Opens the cache of a project; touches nothing on disk yet. */
export function openCache(options: CacheOptions): Cache {
  return new DirectoryCache(options)
}

class DirectoryCache implements Cache {
  readonly #root: string
  readonly #options: CacheOptions
  #warned = false

  constructor(options: CacheOptions) {
    this.#options = options
    this.#root = join(options.directory, 'cache')
  }

  last(task: string): CacheRecord | undefined {
    const record = parseRecord(readChecked(this.#taskFile(task)))
    return record?.task === task ? record : undefined
  }

  find(hash: string): CacheRecord | undefined {
    if (!/^[0-9a-f]{64}$/.test(hash)) return undefined
    const file = join(this.#root, 'entries', hash)
    const record = parseRecord(readChecked(file))
    if (record?.hash !== hash || !record.stored) return undefined
    const blobs = record.outputs.flatMap((item) => (item.type === 'file' ? [item.hash] : []))
    if (!blobs.every((blob) => this.#readBlob(blob) !== undefined)) return undefined
    touch(file)
    return record
  }

  begin(task: string): void {
    const file = this.#taskFile(task)
    try {
      unlinkSync(file)
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return
      throw new DevstackError({
        kind: 'state',
        code: 'CACHE_UNWRITABLE',
        message: `The record of the last success of "${task}" can not be removed: ${messageOf(error)}.`,
        hint: `Make ${this.#root} writable, or remove it.`,
        place: { file },
        cause: error,
      })
    }
  }

  async publish(options: PublishOptions): Promise<CacheRecord | undefined> {
    const { task, fingerprint, value, cwd, durationMs, outputs = [], store = true } = options
    const captured = await capture({ task, cwd, patterns: outputs, files: this.#options.files })
    const record = {
      task,
      hash: fingerprint.hash,
      parts: fingerprint.parts,
      value,
      outputs: captured.map(({ output }) => output),
      stored: store,
      at: Date.now(),
      durationMs,
    }
    try {
      if (store) {
        for (const { output, read } of captured) {
          if (output.type === 'file') this.#writeBlob(output.hash, read())
        }
        writeChecked(join(this.#root, 'entries', fingerprint.hash), formatRecord(record))
      }
      writeChecked(this.#taskFile(task), formatRecord(record))
      return record
    } catch (error) {
      if (error instanceof DevstackError) throw error
      this.begin(task)
      this.#warn(error)
      return undefined
    }
  }

  differences(record: CacheRecord, cwd: string): string[] {
    return outputDifferences({ outputs: record.outputs, cwd, files: this.#options.files })
  }

  restore(record: CacheRecord, cwd: string): readonly string[] {
    const written = putBack({
      outputs: record.outputs,
      cwd,
      files: this.#options.files,
      content: (name) => this.#readBlob(name),
    })
    try {
      writeChecked(this.#taskFile(record.task), formatRecord(record))
    } catch {
      // Found by its fingerprint once more, then.
    }
    return written
  }

  prune({ olderThanMs = Number.POSITIVE_INFINITY, dryRun = false }: PruneOptions = {}): {
    readonly bytes: number
    readonly removed: number
  } {
    const limit = this.#options.maxBytes ?? 1_073_741_824
    const entries = listing(join(this.#root, 'entries'))
    const blobs = new Map(listing(join(this.#root, 'blobs')).map((blob) => [blob.name, blob]))
    const named = new Map<string, string[]>()
    const users = new Map<string, number>()
    for (const { name, file } of entries) {
      const record = parseRecord(readChecked(file))
      const hashes = new Set(record?.outputs.flatMap((item) => (item.type === 'file' ? [item.hash] : [])))
      named.set(name, [...hashes])
      for (const hash of hashes) users.set(hash, (users.get(hash) ?? 0) + 1)
    }
    let bytes = 0
    let removed = 0
    for (const item of [...entries, ...blobs.values()]) bytes += item.size
    const drop = (item: Item) => {
      if (!dryRun && !unlink(item.file)) return
      bytes -= item.size
      removed += 1
    }
    // A blob may be there before its entry while another process publishes; an hour is time enough.
    for (const blob of blobs.values()) {
      if (!users.has(blob.name) && Date.now() - blob.used > 3_600_000) drop(blob)
    }
    const oldest = Date.now() - olderThanMs
    entries.sort((a, b) => a.used - b.used)
    for (const entry of entries) {
      if (bytes <= limit && entry.used >= oldest) break
      drop(entry)
      for (const hash of named.get(entry.name) ?? []) {
        const left = (users.get(hash) ?? 1) - 1
        users.set(hash, left)
        const blob = blobs.get(hash)
        if (left === 0 && blob) drop(blob)
      }
    }
    return { bytes, removed }
  }

  #taskFile(task: string): string {
    const readable = task.replace(/[^\w-]/g, '_').slice(0, 60)
    return join(this.#root, 'tasks', `${readable}-${hash('sha256', task).slice(0, 16)}`)
  }

  #readBlob(name: string): Buffer | undefined {
    try {
      const bytes = readFileSync(join(this.#root, 'blobs', name))
      return hash('sha256', bytes) === name ? bytes : undefined
    } catch {
      return undefined
    }
  }

  #writeBlob(hash: string, bytes: Uint8Array): void {
    const file = join(this.#root, 'blobs', hash)
    if (this.#readBlob(hash) !== undefined) {
      touch(file)
      return
    }
    mkdirSync(join(this.#root, 'blobs'), { recursive: true })
    replaceFile(file, bytes)
  }

  #warn(error: unknown): void {
    if (this.#warned) return
    this.#warned = true
    const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
    this.#options.warn?.(
      `The cache ${this.#root} can not be written (${full ? 'the disk is full' : messageOf(error)}): nothing is skipped next time.`,
    )
  }
}

/** Two lines of JSON: the parts, which only explanations need, stand apart. */
function formatRecord({ parts, ...head }: CacheRecord): string {
  return `${JSON.stringify({ format: 2, ...head })}\n${JSON.stringify(parts)}`
}

/** The checksum vouches for what is in a record, its format for what that means. */
function parseRecord(text: string | undefined): CacheRecord | undefined {
  if (text === undefined) return undefined
  const [head = '', parts = ''] = text.split('\n')
  try {
    const { format, task, hash, value, outputs, stored, at, durationMs } = JSON.parse(head)
    if (format !== 2) return undefined
    return {
      task,
      hash,
      value,
      outputs,
      stored,
      at,
      durationMs,
      get parts() {
        return JSON.parse(parts)
      },
    }
  } catch {
    return undefined
  }
}

interface Item {
  readonly name: string
  readonly file: string
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly used: number
}

function listing(folder: string): Item[] {
  let names: string[]
  try {
    names = readdirSync(folder)
  } catch {
    return []
  }
  return names.flatMap((name) => {
    const file = join(folder, name)
    const stat = statSync(file, { throwIfNoEntry: false })
    return stat ? [{ name, file, size: stat.size, used: stat.mtimeMs }] : []
  })
}

function touch(file: string): void {
  try {
    const now = new Date()
    utimesSync(file, now, now)
  } catch {
    // Pruned a little earlier than it should be, at worst.
  }
}

function unlink(file: string): boolean {
  try {
    unlinkSync(file)
    return true
  } catch {
    return false
  }
}
