/**
 * The append-only event log of a run: one JSON object a line in `.devstack/runs/<id>.jsonl`. A change of state is in the file,
 * safe from a kill of this process, before `report()` returns, and on the disk soon after; output is batched. Nobody has to
 * wait for the disk, see docs/adr/0022-what-a-crash-may-forget.md.
 *
 * When the journal can not be written (disk full, read-only file system) the run goes on without it: the work matters more
 * than its record. That is said once, and such a run can not be resumed or undone.
 */
import {
  close as closeFile,
  closeSync,
  fdatasync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Reporter, RunEvent } from '../engine/events.ts'
import { DevstackError, messageOf } from '../errors.ts'
import { journalFile, ownerFile, pruneRuns } from './journal-files.ts'
import { thisProcess } from './processes.ts'

export interface JournalOptions {
  /** `.devstack` of the project; made when missing. */
  readonly directory: string
  readonly runId: string
  /** Told once, in one sentence, when the journal can not be written. Default: nobody. */
  readonly warn?: (text: string) => void
  /** How many runs are kept; default 200. */
  readonly keep?: number
}

export interface Journal extends Reporter {
  readonly file: string
  report(event: RunEvent): void
  /** Resolves once everything reported so far is on the disk. Never rejects. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** How long an output line may wait for company. */
const batchMs = 50
/** More than this is written without waiting. */
const batchBytes = 262_144
/** How long changes of state wait for others to share an fsync with. */
const syncMs = 10

const sync = promisify(fdatasync)
const close = promisify(closeFile)

/**
 * Opens a new journal. Throws JOURNAL_EXISTS when there is one of that run id; any other failure is told through `warn` and
 * gives a journal that records nothing.
 */
export function openJournal(options: JournalOptions): Journal {
  if (!/^[\w.-]+$/.test(options.runId) || options.runId.startsWith('.')) {
    throw new DevstackError({
      kind: 'internal',
      code: 'JOURNAL_BAD_ID',
      message: `"${options.runId}" can not be the id of a run.`,
    })
  }
  return new FileJournal(options)
}

class FileJournal implements Journal {
  readonly file: string
  readonly #options: JournalOptions
  #descriptor: number | undefined
  #pending: string[] = []
  #pendingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #syncTimer: NodeJS.Timeout | undefined
  #syncing: Promise<void> = Promise.resolve()
  #nextFlush: Promise<void> | undefined

  constructor(options: JournalOptions) {
    this.#options = options
    this.file = journalFile(options.directory, options.runId)
    try {
      mkdirSync(dirname(this.file), { recursive: true })
      this.#descriptor = openSync(this.file, 'ax', 0o600)
      writeFileSync(ownerFile(this.file), JSON.stringify(thisProcess()), { mode: 0o600 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
        throw new DevstackError({
          kind: 'state',
          code: 'JOURNAL_EXISTS',
          message: `There is already a journal of run ${options.runId}.`,
          place: { file: this.file },
          cause: error,
        })
      }
      this.#giveUp(error)
    }
  }

  report(event: RunEvent): void {
    if (this.#descriptor === undefined) return
    const line = `${JSON.stringify(event)}\n`
    this.#pending.push(line)
    this.#pendingBytes += line.length
    if (isChatter(event) && this.#pendingBytes < batchBytes) {
      this.#timer ??= setTimeout(() => this.#drain(), batchMs).unref()
    } else {
      this.#drain()
      this.#syncTimer ??= setTimeout(() => void this.flush(), syncMs).unref()
    }
  }

  flush(): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    // Whoever asks while a flush has not begun yet is covered by that one.
    if (this.#nextFlush) return this.#nextFlush
    const flushed = this.#syncing.then(async () => {
      this.#nextFlush = undefined
      this.#drain()
      if (this.#descriptor === undefined) return
      try {
        await sync(this.#descriptor)
      } catch (error) {
        this.#giveUp(error)
      }
    })
    this.#nextFlush = flushed
    this.#syncing = flushed
    return flushed
  }

  async close(): Promise<void> {
    clearTimeout(this.#syncTimer)
    this.#syncTimer = undefined
    await this.#syncing
    this.#drain()
    const descriptor = this.#descriptor
    if (descriptor !== undefined) {
      try {
        // nothing else runs by now, and Node's pool of threads would take longer to begin than this takes
        fdatasyncSync(descriptor)
        closeSync(descriptor)
        this.#descriptor = undefined
      } catch (error) {
        this.#giveUp(error)
      }
    }
    // also of a journal that was given up: the run is over, and this process may go on to others
    try {
      unlinkSync(ownerFile(this.file))
    } catch {
      // Already gone, which is what was wanted.
    }
    pruneRuns(this.#options.directory, this.#options.keep)
  }

  /**
   * Hands everything pending to the file, at once: a task whose start was reported may be killed with this process the next
   * moment, and what it did must be known to have begun.
   */
  #drain(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#pending.length === 0) return
    const text = this.#pending.join('')
    this.#pending = []
    this.#pendingBytes = 0
    if (this.#descriptor === undefined) return
    try {
      writeAll(this.#descriptor, Buffer.from(text))
    } catch (error) {
      this.#giveUp(error)
    }
  }

  #giveUp(error: unknown): void {
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    this.#pending = []
    if (descriptor !== undefined) void close(descriptor).catch(() => undefined)
    this.#options.warn?.(
      `The journal ${this.file} can not be written (${reason(error)}): the run goes on, but it can not be resumed or undone.`,
    )
  }
}

/** What may wait a moment: losing it loses a line of the log, never a state. */
function isChatter(event: RunEvent): boolean {
  return event.type === 'node-output' || event.type === 'node-progress' || event.type === 'gate-answer'
}

function writeAll(descriptor: number, bytes: Buffer): void {
  let offset = 0
  while (offset < bytes.length) offset += writeSync(descriptor, bytes, offset)
}

function reason(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC') return 'the disk is full'
  if (code === 'EDQUOT') return 'the disk quota is used up'
  if (code === 'EROFS') return 'the file system is read-only'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied'
  return messageOf(error)
}
