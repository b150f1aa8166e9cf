/**
 * How far a restore came, on disk, so that the next command can end what a killed one began.
 *
 *     filling    new databases are filled beside the old ones; nothing that anybody uses has changed   -> rolled back
 *     switching  the new ones are whole and compared; names are swapped, Redis is replaced             -> finished
 *     clearing   everything is in place; the old databases are dropped                                 -> finished
 */
import { existsSync, linkSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { messageOf, type ProcessIdentity, parseIdentity, stateOf, thisProcess, z } from '../../lib/index.ts'
import { replaceWhole, syncFolder, unfinished, writePrivate } from './files.ts'
import type { DataSettings } from './options.ts'
import { openShelf } from './shelf.ts'

const schema = z.object({
  owner: z.unknown(),
  backup: z.string(),
  cluster: z.string().optional(),
  stage: z.enum(['filling', 'switching', 'clearing']),
  /** Databases by their final names; the number is part of the temporary ones. */
  databases: z.array(z.string()),
})

export interface RestoreState {
  readonly owner: ProcessIdentity | undefined
  readonly backup: string
  /** System identifier of the cluster that it is restored into. */
  readonly cluster?: string | undefined
  readonly stage: 'filling' | 'switching' | 'clearing'
  readonly databases: readonly string[]
}

const stateFile = (settings: DataSettings): string => join(settings.backups, '.restore.json')

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

/** Runs `use`, which must look again at what there is to do: another process that is at it is waited for. */
export async function claimed(settings: DataSettings, signal: AbortSignal, use: () => Promise<void>): Promise<void> {
  const file = join(settings.backups, '.restore.claim')
  const draft = `${file}.${process.pid}${unfinished}`
  openShelf(settings.backups)
  writePrivate(draft, JSON.stringify(thisProcess()))
  try {
    while (!linked(draft, file)) {
      const holder = parseIdentity(parseJson(existsSync(file) ? readFileSync(file, 'utf8') : ''))
      if (holder && stateOf(holder) !== 'dead') await delay(100, undefined, { signal })
      else rmSync(file, { force: true })
    }
  } finally {
    rmSync(draft, { force: true })
  }
  try {
    await use()
  } finally {
    rmSync(file, { force: true })
  }
}

/** Gives the file a second name with all that is in it, unless that name is taken. */
function linked(file: string, name: string): boolean {
  try {
    linkSync(file, name)
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw thrown
  }
}
