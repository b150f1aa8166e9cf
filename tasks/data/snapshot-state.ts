/** What a snapshot has under its hands, on disk, so that the next command can let go of it after a kill. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type ProcessIdentity, parseIdentity, thisProcess, z } from '../../lib/index.ts'
import { replaceWhole } from './files.ts'
import type { DataSettings } from './options.ts'
import { openShelf } from './shelf.ts'

const schema = z.discriminatedUnion('doing', [
  /** Containers are frozen while their volumes are read. */
  z.object({ doing: z.literal('reading'), owner: z.unknown(), frozen: z.array(z.string()) }),
  /** Volumes are being overwritten: only finishing helps. Those containers ran before. */
  z.object({ doing: z.literal('writing'), owner: z.unknown(), snapshot: z.string(), running: z.array(z.string()) }),
])
type Stored = z.infer<typeof schema>
export type SnapshotState = Stored & { readonly identity: ProcessIdentity | undefined }
/** Without the owner, which is this process. */
export type NewSnapshotState =
  | { readonly doing: 'reading'; readonly frozen: readonly string[] }
  | { readonly doing: 'writing'; readonly snapshot: string; readonly running: readonly string[] }

const file = (settings: DataSettings): string => join(settings.snapshots, '.state.json')

export function readSnapshotState(settings: DataSettings): SnapshotState | undefined {
  if (!existsSync(file(settings))) return undefined
  try {
    const stored = schema.parse(JSON.parse(readFileSync(file(settings), 'utf8')))
    return { ...stored, identity: parseIdentity(stored.owner) }
  } catch {
    // it is replaced as a whole: whatever this is, nobody wrote it here
    clearSnapshotState(settings)
    return undefined
  }
}

export async function writeSnapshotState(settings: DataSettings, state: NewSnapshotState): Promise<void> {
  openShelf(settings.snapshots)
  await replaceWhole(file(settings), `${JSON.stringify({ ...state, owner: thisProcess() })}\n`)
}

export function clearSnapshotState(settings: DataSettings): void {
  rmSync(file(settings), { force: true })
}
