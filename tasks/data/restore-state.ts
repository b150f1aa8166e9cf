/**
 * How far a restore came, on disk, so that the next command can end what a killed one began.
 *
 *     filling    new databases are filled beside the old ones; nothing that anybody uses has changed   -> rolled back
 *     switching  the new ones are whole and compared; names are swapped, Redis is replaced             -> finished
 *     clearing   everything is in place; the old databases are dropped                                 -> finished
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf, type ProcessIdentity, parseIdentity, stateOf, thisProcess, z } from '../../lib/index.ts'
import { replaceWhole, syncFolder } from './files.ts'
import type { DataSettings } from './options.ts'
import { openShelf } from './shelf.ts'

const schema = z.object({
  owner: z.unknown(),
  backup: z.string(),
  stage: z.enum(['filling', 'switching', 'clearing']),
  /** Databases by their final names; the number is part of the temporary ones. */
  databases: z.array(z.string()),
})

export interface RestoreState {
  readonly owner: ProcessIdentity | undefined
  readonly backup: string
  readonly stage: 'filling' | 'switching' | 'clearing'
  readonly databases: readonly string[]
}

const stateFile = (settings: DataSettings): string => join(settings.backups, '.restore.json')
const claimFile = (settings: DataSettings): string => join(settings.backups, '.restore.claim')

/** While it is being filled. */
export const fillingName = (index: number): string => `devstack_restoring_${index}`
/** What a database is called once another took its name. */
export const formerName = (index: number): string => `devstack_before_${index}`

/** The restore that is under way or was broken off. A file that says nothing is removed. */
export function readRestoreState(settings: DataSettings): RestoreState | undefined {
  const file = stateFile(settings)
  if (!existsSync(file)) return undefined
  const parsed = schema.safeParse(parseJson(readFileSync(file, 'utf8')))
  if (parsed.success) return { ...parsed.data, owner: parseIdentity(parsed.data.owner) }
  rmSync(file, { force: true })
  return undefined
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (thrown) {
    return messageOf(thrown)
  }
}

/** Notes how far this process came, synced before anything follows. */
export async function writeRestoreState(settings: DataSettings, state: Omit<RestoreState, 'owner'>): Promise<void> {
  openShelf(settings.backups)
  await replaceWhole(stateFile(settings), `${JSON.stringify({ ...state, owner: thisProcess() })}\n`)
}

export function clearRestoreState(settings: DataSettings): void {
  rmSync(stateFile(settings), { force: true })
  if (existsSync(settings.backups)) syncFolder(settings.backups)
}

/** Runs `use` unless another process that lives is at it. Gives whether it ran. */
export async function claimed(settings: DataSettings, use: () => Promise<void>): Promise<boolean> {
  const file = claimFile(settings)
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  for (let tried = 0; ; tried += 1) {
    try {
      const descriptor = openSync(file, 'wx', 0o600)
      writeSync(descriptor, JSON.stringify(thisProcess()))
      closeSync(descriptor)
      break
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown
      const holder = parseIdentity(parseJson(readFileSync(file, 'utf8')))
      if (tried > 0 || (holder && stateOf(holder) !== 'dead')) return false
      rmSync(file, { force: true })
    }
  }
  try {
    await use()
    return true
  } finally {
    rmSync(file, { force: true })
  }
}
