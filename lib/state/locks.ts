/**
 * Named locks that hold across processes: a mutex, or a semaphore of some size.
 *
 * A slot of a lock is a sequence of files `<slot>.<generation>`, each naming its owner. Whoever owns the file of the highest
 * generation holds the slot, unless that file is empty (released) or its process is dead. The next generation is claimed by
 * link(2), which only one of many claimants can do and which puts the file there with its content, never half-written. The
 * highest generation is never removed, so a claimant that was slow to act finds a higher one and steps back: no lock of a
 * dead process needs to be deleted to be taken over, which is where simple lock files let two takers in.
 */
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DevstackError, messageOf } from '../errors.ts'
import { type ProcessIdentity, parseIdentity, stateOf, thisProcess } from './processes.ts'

interface LockOwner extends ProcessIdentity {
  readonly task: string
  readonly runId: string
  readonly since: number
}

/** Who holds a lock. */
export interface LockHolder {
  readonly lock: string
  readonly task: string
  readonly runId: string
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly since: number
  /** `unknown`: a process of another machine or container, which can not be seen from here. */
  readonly state: 'alive' | 'dead' | 'unknown'
  /** The file to remove by hand when the holder is known to be gone. */
  readonly file: string
}

export interface AcquireOptions {
  /** Holders at a time; default 1. */
  readonly size?: number
  readonly signal: AbortSignal
  readonly owner: { readonly task: string; readonly runId: string }
  /** Told when there is something to wait for, and again whenever the holder is another one. */
  readonly onWait?: (holder: LockHolder) => void
  /** Told once the lock is taken over from a dead holder; the caller has the lock when this has ended, or nobody when it rejects. */
  readonly onTakeOver?: (holder: LockHolder) => Promise<void>
}

/** Gives the lock back. Calling it twice does nothing. */
export type Release = () => void

export interface Locks {
  /** Waits without a deadline. Rejects with CANCELLED on abort, LOCK_UNUSABLE when the folder can not be written. */
  acquire(name: string, options: AcquireOptions): Promise<Release>
  /** Who holds what, dead holders included, for `devstack doctor`. */
  holders(): readonly LockHolder[]
}

const firstPauseMs = 25
const longestPauseMs = 250

/** Locks of a project, in `<directory>/locks`; `directory` is its `.devstack`, made when missing. */
export function openLocks(options: { readonly directory: string }): Locks {
  const root = join(options.directory, 'locks')
  return {
    acquire: (name, request) => acquire(root, name, request),
    holders: () =>
      list(root)
        .flatMap((folder) => slots(join(root, folder)).map(({ file }) => holderOf(decodeURIComponent(folder), file)))
        .filter((holder) => holder !== undefined),
  }
}

/** `"postgres" is held by task migrate of run 7f3a (process 4711) since 10:31:07`. */
export function formatHolder(holder: LockHolder): string {
  return `"${holder.lock}" is held by ${formatOwner(holder)}`
}

/** `task migrate of run 7f3a (process 4711) since 10:31:07` */
export function formatOwner(holder: LockHolder): string {
  const since = new Date(holder.since).toTimeString().slice(0, 8)
  const where =
    holder.state === 'unknown' ? ` on another machine or in a container; if it is gone, remove ${holder.file}` : ''
  return `task ${holder.task} of run ${holder.runId} (process ${holder.pid}) since ${since}${where}`
}

async function acquire(root: string, name: string, request: AcquireOptions): Promise<Release> {
  const folder = join(root, folderName(name))
  const { signal, size = 1 } = request
  let told: string | undefined
  let pause = firstPauseMs
  for (;;) {
    if (signal.aborted) throw cancelled(name, signal.reason)
    const attempt = claim(folder, name, size, request.owner)
    if (attempt.file !== undefined) {
      const release = releaser(attempt.file)
      try {
        if (attempt.dead) await request.onTakeOver?.(attempt.dead)
      } catch (thrown) {
        // nobody has it then
        release()
        throw thrown
      }
      return release
    }
    const { holder } = attempt
    if (holder && holder.file !== told) {
      told = holder.file
      request.onWait?.(holder)
    }
    await sleep(pause, signal)
    pause = Math.min(pause * 1.5, longestPauseMs)
  }
}

type Claim =
  | { readonly file: string; readonly dead: LockHolder | undefined; readonly holder?: undefined }
  | { readonly file?: undefined; readonly holder: LockHolder | undefined }

/** One try at every slot. Synchronous, so that this process does not stop half-way. */
function claim(folder: string, name: string, size: number, owner: AcquireOptions['owner']): Claim {
  let ticket: string | undefined
  let first: LockHolder | undefined
  try {
    mkdirSync(folder, { recursive: true })
    const heads = new Map(slots(folder).map((head) => [head.slot, head]))
    for (let slot = 0; slot < size; slot += 1) {
      const head = heads.get(slot)
      const holder = head && holderOf(name, head.file)
      if (holder && holder.state !== 'dead') {
        first ??= holder
        continue
      }
      ticket ??= writeTicket(folder, owner)
      const file = take(folder, slot, (head?.generation ?? 0) + 1, ticket)
      if (file !== undefined) return { file, dead: holder }
    }
    return { holder: first }
  } catch (error) {
    throw unusable(name, folder, error)
  } finally {
    if (ticket !== undefined) remove(ticket)
  }
}

let tickets = 0

/** The owner's file under a name nobody else uses, ready to be linked into place. */
function writeTicket(folder: string, owner: AcquireOptions['owner']): string {
  tickets += 1
  const file = join(folder, `ticket.${process.pid}.${Date.now().toString(36)}.${tickets}`)
  const content: LockOwner = { ...thisProcess(), ...owner, since: Date.now() }
  writeFileSync(file, JSON.stringify(content), { flag: 'wx', mode: 0o600 })
  return file
}

/** Claims a generation of a slot; `undefined` when somebody else was faster. */
function take(folder: string, slot: number, generation: number, ticket: string): string | undefined {
  const file = join(folder, `${slot}.${generation}`)
  try {
    linkSync(ticket, file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return undefined
    throw error
  }
  const generations = entries(folder).filter((entry) => entry.slot === slot)
  const overtaken =
    generations.some((entry) => entry.generation > generation) ||
    // Old generations are removed in ascending order, so a base that is gone tells the same.
    (generation > 1 && !existsSync(join(folder, `${slot}.${generation - 1}`)))
  if (overtaken) {
    // The head this claim was based on was old: others have come and gone since.
    remove(file)
    return undefined
  }
  generations.sort((a, b) => a.generation - b.generation)
  for (const entry of generations) if (entry.generation < generation) remove(entry.file)
  removeLostTickets(folder)
  return file
}

/** Tickets of processes that were killed between writing and removing them. */
function removeLostTickets(folder: string): void {
  for (const name of list(folder)) {
    const file = join(folder, name)
    const age = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (name.startsWith('ticket.') && age > 60_000) remove(file)
  }
}

function releaser(file: string): Release {
  let released = false
  return () => {
    if (released) return
    released = true
    try {
      // Emptied rather than removed (see above); that needs no space on a full disk.
      truncateSync(file, 0)
    } catch {
      // The folder was removed under us: then nothing is held any more.
    }
  }
}

interface Entry {
  readonly slot: number
  readonly generation: number
  readonly file: string
}

function entries(folder: string): Entry[] {
  return list(folder).flatMap((name) => {
    const match = /^(\d+)\.(\d+)$/.exec(name)
    return match ? [{ slot: Number(match[1]), generation: Number(match[2]), file: join(folder, name) }] : []
  })
}

/** The highest generation of each slot. */
function slots(folder: string): Entry[] {
  const heads = new Map<number, Entry>()
  for (const entry of entries(folder)) {
    const head = heads.get(entry.slot)
    if (!head || head.generation < entry.generation) heads.set(entry.slot, entry)
  }
  return [...heads.values()].sort((a, b) => a.slot - b.slot)
}

/** `undefined` when the slot is free. What can not be parsed was torn by a power cut, so its writer is gone. */
function holderOf(lock: string, file: string): LockHolder | undefined {
  const owner = readOwner(file)
  if (!owner) return undefined
  const { task, runId, pid, since } = owner
  return { lock, task, runId, pid, since, file, state: stateOf(owner) }
}

function readOwner(file: string): LockOwner | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    const { task, runId, since } = value as Readonly<Record<string, unknown>>
    const sound = typeof task === 'string' && typeof runId === 'string' && typeof since === 'number'
    return sound && parseIdentity(value) ? (value as LockOwner) : undefined
  } catch {
    return undefined
  }
}

/** A folder name for any lock name. */
function folderName(name: string): string {
  // encodeURIComponent keeps dots, and `..` must not be a way out.
  const encoded = encodeURIComponent(name).replaceAll('.', '%2E').replaceAll('*', '%2A')
  if (encoded !== '' && encoded.length <= 200) return encoded
  throw new DevstackError({
    kind: 'config',
    code: 'BAD_LOCK_NAME',
    message: encoded === '' ? 'A lock has an empty name.' : `The lock name "${name.slice(0, 40)}…" is too long.`,
    hint: 'Name the thing that only one task at a time may use, for instance "postgres".',
  })
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function remove(file: string): void {
  try {
    unlinkSync(file)
  } catch {
    // Somebody else tidied up first.
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    // Half of it by chance, so that many who wait do not come back all at once.
    const timer = setTimeout(done, ms * (0.5 + Math.random() / 2))
    signal.addEventListener('abort', done, { once: true })
  })
}

function cancelled(name: string, reason: unknown): DevstackError {
  if (reason instanceof DevstackError) return reason
  return new DevstackError({ kind: 'cancelled', code: 'CANCELLED', message: `Stopped waiting for the lock "${name}".` })
}

function unusable(name: string, folder: string, error: unknown): DevstackError {
  const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '')
  return new DevstackError({
    kind: 'state',
    code: 'LOCK_UNUSABLE',
    message: `The lock "${name}" can not be taken: ${full ? 'the disk is full' : messageOf(error)}.`,
    hint: full ? 'Make room on the disk and run again.' : `Make ${folder} writable, or remove it while nothing runs.`,
    cause: error,
  })
}
