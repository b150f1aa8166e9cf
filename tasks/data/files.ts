/** Files that are whole or not there: written through a checksum, synced, and published by a rename. */
import { createHash, type Hash } from 'node:crypto'
import { closeSync, createReadStream, fsyncSync, openSync, statfsSync, writeFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { DevstackError, formatBytes, type Progress } from '../../lib/index.ts'
import type { FileManifest } from './manifest.ts'

/**
 * A file that is written as its content arrives. Writing is synchronous on purpose: a container's output comes as fast
 * as it likes, and what is not written at once would pile up in memory.
 */
export class FileSink {
  bytes = 0
  readonly #hash: Hash = createHash('sha256')
  readonly #descriptor: number
  readonly #file: string
  #open = true

  constructor(file: string) {
    this.#file = file
    this.#descriptor = openSync(file, 'wx', 0o600)
  }

  write(chunk: Uint8Array): void {
    let offset = 0
    try {
      while (offset < chunk.length) offset += writeSync(this.#descriptor, chunk, offset)
    } catch (thrown) {
      throw diskError(this.#file, thrown)
    }
    this.#hash.update(chunk)
    this.bytes += chunk.length
  }

  /** On disk when this returns. */
  finish(): FileManifest {
    try {
      fsyncSync(this.#descriptor)
    } catch (thrown) {
      throw diskError(this.#file, thrown)
    } finally {
      this.abandon()
    }
    return { bytes: this.bytes, sha256: this.#hash.digest('hex') }
  }

  /** Closes without any promise. Idempotent. */
  abandon(): void {
    if (this.#open) closeSync(this.#descriptor)
    this.#open = false
  }
}

function diskError(file: string, thrown: unknown): unknown {
  if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') return thrown
  return diskFull(`${file} could not be written`, [], thrown)
}

/** The error DISK_FULL. */
export function diskFull(what: string, details: readonly string[], cause?: unknown): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'DISK_FULL',
    message: `The disk is full: ${what}.`,
    details,
    hint: 'Make room, for instance with fewer backups (devstack run backup --keep 3), and run the command again.',
    cause,
  })
}

/** Writes a small file, synced. */
export function writeWhole(file: string, content: string): FileManifest {
  const sink = new FileSink(file)
  try {
    sink.write(Buffer.from(content))
  } catch (thrown) {
    sink.abandon()
    throw thrown
  }
  return sink.finish()
}

/** Ends the names of small files that are not whole yet. */
export const unfinished = '.tmp'

/** Replaces a small file's content without ever showing half of it. */
export async function replaceWhole(file: string, content: string): Promise<void> {
  const { rename, rm } = await import('node:fs/promises')
  const draft = `${file}.${process.pid}${unfinished}`
  await rm(draft, { force: true })
  writeWhole(draft, content)
  await rename(draft, file)
  syncFolder(dirname(file))
}

/** Makes names in a folder last through a power cut. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

export interface ReadingOptions {
  readonly signal: AbortSignal
  readonly label: string
  progress(progress: Progress): void
}

/** SHA-256 and size of a file, read in pieces. */
export async function hashFile(
  file: string,
  options: ReadingOptions & { readonly total: number },
): Promise<FileManifest> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal: options.signal })) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
    options.progress({ done: bytes, total: options.total, unit: 'bytes', label: options.label })
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** The pieces of a file, with progress. */
export async function* reading(
  file: string,
  options: ReadingOptions & { readonly total: number },
): AsyncGenerator<Buffer> {
  let done = 0
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18, signal: options.signal })) {
    done += (chunk as Buffer).length
    options.progress({ done, total: options.total, unit: 'bytes', label: options.label })
    yield chunk as Buffer
  }
}

/** Throws DISK_TOO_SMALL when the folder's disk has less than `bytes` left. */
export function needSpace(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder)
  const free = bavail * bsize
  if (free >= bytes) return
  throw new DevstackError({
    kind: 'state',
    code: 'DISK_TOO_SMALL',
    message: `${folder} has ${formatBytes(free)} left, and up to ${formatBytes(bytes)} are needed.`,
    hint: 'Make room, or set `backups` of dataPack to a folder on another disk.',
  })
}

/** Writes a private file at once, for what need not survive a power cut. */
export function writePrivate(file: string, content: string): void {
  writeFileSync(file, content, { mode: 0o600 })
}
