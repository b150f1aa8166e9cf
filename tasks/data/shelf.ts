/** The folder of backups: drafts while they are made, whole ones once published, the oldest removed. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, messageOf, parseIdentity, stateOf, suggest, thisProcess } from '../../lib/index.ts'
import { syncFolder, unfinished, writePrivate, writeWhole } from './files.ts'
import { type Manifest, manifestFile, readManifest } from './manifest.ts'

const draftPrefix = '.draft-'
const ownerFile = 'owner.json'

export interface Shelved {
  readonly id: string
  readonly folder: string
  readonly manifest: Manifest
}

/** A backup that can not be used, and why. */
export interface Broken {
  readonly id: string
  readonly folder: string
  readonly why: string
}

/** `20261130-110911-4f2a`: names sort by time. */
function newId(now: Date = new Date()): string {
  const [date, time] = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').split('T')
  return `${date}-${time}-${randomBytes(2).toString('hex')}`
}

/** The backups, newest first, and what looks like one and is none. */
export function readShelf(shelf: string): { readonly backups: readonly Shelved[]; readonly broken: readonly Broken[] } {
  if (!existsSync(shelf)) return { backups: [], broken: [] }
  const backups: Shelved[] = []
  const broken: Broken[] = []
  for (const entry of readdirSync(shelf, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.')) continue
    const folder = join(shelf, entry.name)
    try {
      backups.push({ id: entry.name, folder, manifest: readManifest(folder) })
    } catch (thrown) {
      broken.push({ id: entry.name, folder, why: messageOf(thrown) })
    }
  }
  backups.sort((a, b) =>
    a.manifest.createdAt < b.manifest.createdAt ? 1 : a.manifest.createdAt > b.manifest.createdAt ? -1 : 0,
  )
  return { backups, broken }
}

/** Whether a backup or snapshot was taken without being asked for, before something dangerous: `before migrate`. */
export function isAutomatic({ manifest }: { readonly manifest: { readonly reason: string } }): boolean {
  return manifest.reason.startsWith('before ')
}

interface Kept {
  readonly id: string
  readonly manifest: { readonly reason: string }
}

/**
 * The one of this id among what is kept, newest first; `latest` is the newest that was asked for. Where there is none, what to
 * say of it.
 */
export function lookUp<T extends Kept>(
  what: 'backup' | 'snapshot',
  kept: readonly T[],
  id: string,
): { readonly found: T | undefined; readonly message: string; readonly hint: string } {
  const latest = id === 'latest'
  const [newest] = kept
  const ids = kept.map((one) => one.id)
  const origin = latest ? `, made by itself ${newest?.manifest.reason}` : ''
  return {
    found: kept.find((one) => (latest ? !isAutomatic(one) : one.id === id)),
    message: latest ? `There is no ${what} that was asked for.` : `There is no ${what} "${id}".${suggest(id, ids)}`,
    hint: newest
      ? `The newest is ${newest.id}${origin}; see all with: devstack run ${what}:list`
      : `Make one with: devstack run ${what}`,
  }
}

/** The backup of this id, `latest` for the newest that was asked for. Throws BACKUP_UNKNOWN. */
export function findBackup(shelf: string, id: string): Shelved {
  const { backups, broken } = readShelf(shelf)
  const { found, message, hint } = lookUp('backup', backups, id)
  if (found) return found
  const unusable = broken.find((one) => one.id === id)
  throw new DevstackError({ kind: 'usage', code: 'BACKUP_UNKNOWN', message: unusable?.why ?? message, hint })
}

/** A folder that nobody takes for a backup until it is published. */
export interface Draft {
  readonly id: string
  readonly folder: string
}

/** Makes the folder, private and out of version control: what is in it is somebody's data. */
export function openShelf(shelf: string): void {
  mkdirSync(shelf, { recursive: true, mode: 0o700 })
  const ignore = join(shelf, '.gitignore')
  if (!existsSync(ignore)) writePrivate(ignore, '*\n')
}

/** Begins a backup. */
export function openDraft(shelf: string, id: string = newId()): Draft {
  openShelf(shelf)
  const folder = join(shelf, `${draftPrefix}${id}`)
  mkdirSync(folder, { mode: 0o700 })
  writePrivate(join(folder, ownerFile), JSON.stringify(thisProcess()))
  return { id, folder }
}

/** Puts a finished draft among the backups, in one step. */
export function publish(shelf: string, draft: Draft, manifest: Manifest): Shelved {
  writeWhole(join(draft.folder, manifestFile), `${JSON.stringify(manifest, null, 2)}\n`)
  syncFolder(draft.folder)
  const folder = join(shelf, draft.id)
  renameSync(draft.folder, folder)
  syncFolder(shelf)
  // last: a draft without an owner is one that nobody works at
  rmSync(join(folder, ownerFile), { force: true })
  return { id: draft.id, folder, manifest }
}

/** Removes a draft or a backup. A backup stops being one before anything of it is gone. */
export function discard(shelf: string, folder: string): void {
  if (!existsSync(folder)) return
  const name = folder.slice(shelf.length + 1)
  const doomed = name.startsWith(draftPrefix) ? folder : join(shelf, `${draftPrefix}removed-${name}`)
  if (doomed !== folder) renameSync(folder, doomed)
  rmSync(doomed, { recursive: true, force: true })
}

/** Removes the oldest beyond `keep`, never those that are named. Gives the ids removed. */
export function prune(shelf: string, keep: number, protect: readonly string[] = []): readonly string[] {
  const old = readShelf(shelf)
    .backups.slice(keep)
    .filter(({ id }) => !protect.includes(id))
  for (const { folder } of old) discard(shelf, folder)
  return old.map(({ id }) => id)
}

/** Removes drafts whose makers are dead, and notes that were never finished. Gives the ids of the drafts. */
export function removeDeadDrafts(shelf: string): readonly string[] {
  if (!existsSync(shelf)) return []
  const removed: string[] = []
  for (const name of readdirSync(shelf)) {
    const folder = join(shelf, name)
    if (name.endsWith(unfinished) && !isFresh(folder)) rmSync(folder, { force: true })
    if (!name.startsWith(draftPrefix)) continue
    if (ownerState(folder) !== 'dead') continue
    rmSync(folder, { recursive: true, force: true })
    removed.push(name.slice(draftPrefix.length))
  }
  return removed
}

/** A draft without an owner is being begun, for a moment, or being removed. */
function ownerState(folder: string): 'alive' | 'dead' | 'unknown' {
  try {
    const identity = parseIdentity(JSON.parse(readFileSync(join(folder, ownerFile), 'utf8')))
    return identity ? stateOf(identity) : 'dead'
  } catch {
    return isFresh(folder) ? 'alive' : 'dead'
  }
}

/** Touched within the last ten seconds: whoever made it may still be at it. */
function isFresh(path: string): boolean {
  return Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) < 10_000
}
