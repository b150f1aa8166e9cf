/** Proves a backup: every byte as written, and a restore that gives the very rows that were there. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, formatDuration, z } from '../../lib/index.ts'
import { runningHandles } from '../stack/handles.ts'
import { type Server, withClient } from './cluster.ts'
import { assertContents, prepareReading, readContents } from './contents.ts'
import { createDatabase, restoreDump } from './dump.ts'
import { hashFile, replaceWhole } from './files.ts'
import { globalsFile, restoreGlobals } from './globals.ts'
import type { DatabaseManifest, Manifest } from './manifest.ts'
import type { Working } from './options.ts'
import { verifyRedis } from './redis-data.ts'
import { withScratchPostgres } from './scratch.ts'
import type { Shelved } from './shelf.ts'

const verifiedFile = 'verified.json'
const verifiedSchema = z.object({
  /** ISO 8601. */
  at: z.string(),
  /** Rows compared. */
  rows: z.number(),
})

/** When a backup was last proved by a restore, if ever. */
export function readVerified(folder: string): z.infer<typeof verifiedSchema> | undefined {
  const file = join(folder, verifiedFile)
  if (!existsSync(file)) return undefined
  try {
    return verifiedSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    // worth no more than none
    return undefined
  }
}

/** Sizes and SHA-256 of every file. Throws BACKUP_DAMAGED naming the file. */
export async function checkIntegrity(working: Working, backup: Shelved): Promise<void> {
  for (const [name, { bytes, sha256 }] of Object.entries(backup.manifest.files)) {
    const file = join(backup.folder, name)
    const damaged = (why: string): DevstackError =>
      new DevstackError({
        kind: 'state',
        code: 'BACKUP_DAMAGED',
        message: `The backup ${backup.id} is damaged: ${name} ${why}.`,
        hint: 'Use another one: devstack run backup:list',
        place: { file },
      })
    const size = statSync(file, { throwIfNoEntry: false })?.size
    if (size === undefined) throw damaged('is missing')
    if (size !== bytes) throw damaged(`has ${size} bytes instead of ${bytes}`)
    const found = await hashFile(file, {
      signal: working.signal,
      progress: working.progress,
      label: `checking ${name}`,
      total: bytes,
    })
    if (found.sha256 !== sha256) throw damaged('is not what was written: its SHA-256 differs')
  }
}

/** Restores a backup into throwaway servers of the same images and compares. Throws BACKUP_DIFFERS and BACKUP_DAMAGED. */
export async function verifyBackup(working: Working, backup: Shelved): Promise<void> {
  const started = Date.now()
  const { manifest, folder } = backup
  await checkIntegrity(working, backup)
  const image = await imageFor(working, manifest)
  const rows = await withScratchPostgres(working, image, async (server) => {
    let counted = 0
    await restoreGlobals(server, working, join(folder, globalsFile))
    for (const [index, database] of manifest.postgres.databases.entries()) {
      // the throwaway cluster has an empty one of that name
      const name = `devstack_verify_${index}`
      const tables = await restoreInto(server, working, { backup, database, name })
      counted += tables.reduce((sum, table) => sum + table.rows, 0)
    }
    return counted
  })
  const { redis } = manifest
  if (redis) {
    const at = (await runningHandles(working)).find(({ service }) => /^redis\d*$/.test(service))
    if (at)
      await verifyRedis(working, {
        redis,
        file: join(folder, redis.file),
        bytes: manifest.files[redis.file]!.bytes,
        at,
      })
    else working.log('Redis does not run, so its dump was not loaded')
  }
  await replaceWhole(join(folder, verifiedFile), `${JSON.stringify({ at: new Date().toISOString(), rows })}\n`)
  working.log(
    `backup ${backup.id} is proved: ${rows} rows restored and equal, in ${formatDuration(Date.now() - started)}`,
  )
}

/** The image that the backup was made with, or the one that the stack runs now. */
export async function imageFor(working: Working, manifest: Manifest): Promise<string> {
  const { runtime, signal } = working
  if (await runtime.image(manifest.postgres.image, { signal })) return manifest.postgres.image
  const running = (await runningHandles(working)).find(({ service }) => /^postgres\d*$/.test(service))
  const image = running?.image ?? 'devstack-postgres'
  if (await runtime.image(image, { signal })) return image
  throw new DevstackError({
    kind: 'runtime',
    code: 'SCRATCH_NO_IMAGE',
    message: 'There is no image of PostgreSQL here that a backup could be restored with.',
    hint: 'Build it with: devstack run up',
  })
}

export interface RestoreInto {
  readonly backup: Shelved
  readonly database: DatabaseManifest
  /** Of the new database. */
  readonly name: string
}

/** Restores one database under a name, and compares what is there then. */
export async function restoreInto(
  server: Server,
  working: Working,
  { backup, database, name }: RestoreInto,
): Promise<DatabaseManifest['tables']> {
  await createDatabase(server, working, database, name)
  await restoreDump(server, working, {
    database: name,
    file: join(backup.folder, database.file),
    bytes: backup.manifest.files[database.file]!.bytes,
    label: database.name,
  })
  return withClient(server, { database: name, signal: working.signal }, async (client) => {
    await prepareReading(client, { alone: true })
    const found = await readContents(client, database.tables)
    assertContents(`The restored database ${database.name}`, database.tables, found)
    return found
  })
}
