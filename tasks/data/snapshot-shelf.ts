/** Snapshots on disk: one archive of all volumes and what it says of itself. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, messageOf, z } from '../../lib/index.ts'
import { syncFolder, writeWhole } from './files.ts'
import { type Draft, discard, isAutomatic, lookUp } from './shelf.ts'

export const archiveName = 'volumes.tar.zst'
const manifestName = 'snapshot.json'

const schema = z.object({
  format: z.literal(1),
  id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]*$/),
  project: z.string(),
  createdAt: z.string(),
  reason: z.string(),
  volumes: z.array(
    z.object({
      name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/),
      /** First part of its names in the archive. */
      folder: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]*$/),
      labels: z.record(z.string(), z.string()),
    }),
  ),
  bytes: z.number().int().nonnegative(),
  sha256: z.string(),
  /** Before compression. */
  rawBytes: z.number().int().nonnegative(),
})
export type SnapshotManifest = z.infer<typeof schema>

export interface ShelvedSnapshot {
  readonly id: string
  readonly folder: string
  readonly manifest: SnapshotManifest
}

/** Whole snapshots, newest first, and what looks like one and is none. */
export function readSnapshots(shelf: string): {
  readonly snapshots: readonly ShelvedSnapshot[]
  readonly broken: readonly { readonly id: string; readonly why: string }[]
} {
  const snapshots: ShelvedSnapshot[] = []
  const broken: { id: string; why: string }[] = []
  const entries = existsSync(shelf) ? readdirSync(shelf, { withFileTypes: true }) : []
  for (const { name: id } of entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))) {
    const folder = join(shelf, id)
    try {
      snapshots.push({
        id,
        folder,
        manifest: schema.parse(JSON.parse(readFileSync(join(folder, manifestName), 'utf8'))),
      })
    } catch (thrown) {
      broken.push({ id, why: messageOf(thrown) })
    }
  }
  snapshots.sort((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1))
  return { snapshots, broken }
}

/** The snapshot of this id, `latest` for the newest that was asked for. Throws SNAPSHOT_UNKNOWN. */
export function findSnapshot(shelf: string, id: string): ShelvedSnapshot {
  const { snapshots, broken } = readSnapshots(shelf)
  const { found, message, hint } = lookUp('snapshot', snapshots, id)
  if (found) return found
  const unusable = broken.find((one) => one.id === id)
  throw new DevstackError({
    kind: 'usage',
    code: 'SNAPSHOT_UNKNOWN',
    message: unusable ? `The snapshot ${id} can not be used: ${unusable.why}` : message,
    hint,
  })
}

/** Removes the oldest of those made by themselves, which are large, beyond the newest three; never those that are named. Gives the ids removed. */
export function pruneAutomatic(shelf: string, protect: readonly string[]): readonly string[] {
  const old = readSnapshots(shelf)
    .snapshots.filter(isAutomatic)
    .slice(3)
    .filter(({ id }) => !protect.includes(id))
  for (const { folder } of old) discard(shelf, folder)
  return old.map(({ id }) => id)
}

/** Puts a finished draft among the snapshots, in one step. */
export function publishSnapshot(shelf: string, draft: Draft, manifest: SnapshotManifest): ShelvedSnapshot {
  writeWhole(join(draft.folder, manifestName), `${JSON.stringify(manifest)}\n`)
  syncFolder(draft.folder)
  const folder = join(shelf, draft.id)
  renameSync(draft.folder, folder)
  syncFolder(shelf)
  rmSync(join(folder, 'owner.json'), { force: true })
  return { id: draft.id, folder, manifest }
}
