/** `backup`: what PostgreSQL and Redis hold, as files that prove themselves. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DevstackError, formatBytes, formatDuration, type Task, table, task, z } from '../../lib/index.ts'
import { notUp, runningHandles } from '../stack/handles.ts'
import { packageFolder } from '../stack/package.ts'
import { type Cluster, findCluster, withClient } from './cluster.ts'
import { prepareReading, readContents } from './contents.ts'
import { describeDatabases, dumpCommand, toFile } from './dump.ts'
import { needSpace } from './files.ts'
import { globalsCommand, globalsFile } from './globals.ts'
import type { DatabaseManifest, FileManifest, Manifest } from './manifest.ts'
import type { DataSettings, Working } from './options.ts'
import { dumpRedis, redisFile } from './redis-data.ts'
import { type Draft, discard, openDraft, prune, publish, readShelf, type Shelved } from './shelf.ts'
import { readVerified, verifyBackup } from './verify.ts'

const value = z.object({ id: z.string(), folder: z.string(), bytes: z.number() })
type BackedUp = z.infer<typeof value>

/** The task. */
export function backupTask(settings: DataSettings): Task<BackedUp> {
  return task({
    description: 'Back up PostgreSQL and Redis',
    effect: 'create',
    locks: ['postgres'],
    params: z.object({
      verify: z.boolean().default(false).describe('prove it: restore it into a throwaway PostgreSQL and compare'),
      keep: z.coerce.number().int().min(1).default(settings.keep).describe('how many are kept; the oldest go'),
    }),
    returns: value,
    run: async (context): Promise<BackedUp> => {
      const { params, log } = context
      const backup = await takeBackup(settings, context, { reason: 'asked for' })
      if (params.verify) await verifyBackup(context, backup)
      const removed = prune(settings.backups, params.keep, [backup.id])
      if (removed.length > 0) log(`removed ${removed.length} older, of which ${params.keep} are kept`)
      return { id: backup.id, folder: backup.folder, bytes: bytesOf(backup.manifest) }
    },
    undo: ({ value: { folder } }) => discard(settings.backups, folder),
  })
}

/** Bytes of all files of a backup. */
export function bytesOf(manifest: Manifest): number {
  return Object.values(manifest.files).reduce((sum, { bytes }) => sum + bytes, 0)
}

export interface AutomaticOptions {
  /** What is about to happen: `migrate`. */
  readonly before: string
  /** `--no-backup`. */
  readonly skip: boolean
  /** Ids that must not be removed to make room for it. */
  readonly protect?: readonly string[]
}

/** The backup that is taken without being asked for, before something dangerous. Gives its id, unless it is skipped. */
export async function automaticBackup(
  settings: DataSettings,
  working: Working,
  options: AutomaticOptions,
): Promise<string | undefined> {
  const { before, skip, protect = [] } = options
  if (skip) {
    working.log('no backup is taken: --no-backup')
    return undefined
  }
  const { id } = await takeBackup(settings, working, { reason: `before ${before}` })
  prune(settings.backups, settings.keep, [id, ...protect])
  return id
}

/** Makes a backup of what is now, and publishes it whole. Nothing is left of one that fails. */
export async function takeBackup(
  settings: DataSettings,
  working: Working,
  { reason }: { readonly reason: string },
): Promise<Shelved> {
  const started = Date.now()
  const cluster = await findCluster(settings, working)
  const draft = openDraft(settings.backups)
  try {
    const backup = publish(settings.backups, draft, await fillDraft(settings, working, { cluster, draft, reason }))
    const { postgres, redis } = backup.manifest
    const tables = postgres.databases.flatMap((database) => database.tables)
    const size = formatBytes(bytesOf(backup.manifest))
    working.log(
      `backup ${backup.id}: ${size}, ${tables.length} tables, ${rowsOf(backup.manifest)} rows, ${redis?.keys ?? 0} keys, in ${formatDuration(Date.now() - started)}`,
    )
    return backup
  } catch (thrown) {
    discard(settings.backups, draft.folder)
    throw thrown
  }
}

/** Dumps what is now into a draft. Gives the manifest that belongs to it. */
export async function fillDraft(
  settings: DataSettings,
  working: Working,
  { cluster, draft, reason }: { readonly cluster: Cluster; readonly draft: Draft; readonly reason: string },
): Promise<Manifest> {
  const createdAt = new Date().toISOString()
  const withRedis = (await runningHandles(working)).some(({ service }) => /^redis\d*$/.test(service))
  const [{ files, postgres }, redis] = await together(working, (beside) => [
    dumpPostgres(cluster, beside, draft),
    withRedis ? dumpRedis(settings, beside, join(draft.folder, redisFile)) : undefined,
  ])
  if (redis) files[redisFile] = redis.dump
  else working.log('Redis does not run, so it is not in the backup')
  return {
    format: 1,
    id: draft.id,
    project: working.project.name,
    createdAt,
    reason,
    devstack: ownVersion(),
    postgres,
    ...(redis ? { redis: redis.redis } : {}),
    files,
  }
}

/** Dumps every database of a server into the draft's folder, each as of one snapshot that is counted as well. */
export async function dumpPostgres(
  server: Cluster | Parameters<typeof withClient>[0],
  working: Working,
  draft: Draft,
  { rolePasswords = true }: { readonly rolePasswords?: boolean } = {},
): Promise<{ readonly files: Record<string, FileManifest>; readonly postgres: Manifest['postgres'] }> {
  const descriptions = await describeDatabases(server, working)
  if (descriptions.length === 0) throw notUp()
  needSpace(
    draft.folder,
    descriptions.reduce((sum, { size }) => sum + size, 0),
  )
  const files: Record<string, FileManifest> = {}
  const databases: DatabaseManifest[] = []
  const dumpRoles = (beside: Working): Promise<FileManifest> =>
    toFile(beside, server.handle, {
      command: rolePasswords ? globalsCommand : [...globalsCommand, '--no-role-passwords'],
      file: join(draft.folder, globalsFile),
      label: 'roles',
    })
  const dumpDatabases = async (beside: Working): Promise<void> => {
    for (const description of descriptions) {
      const file = `${fileNameOf(description.name)}.dump`
      const { dump, tables } = await dumpDatabase(server, beside, { ...description, file: join(draft.folder, file) })
      files[file] = dump
      databases.push({ ...description, file, tables })
    }
  }
  const [roles, facts] = await together(working, (beside) => [
    dumpRoles(beside),
    factsOf(server, beside),
    dumpDatabases(beside),
  ])
  files[globalsFile] = roles
  return { files, postgres: { ...facts, image: server.handle.image, leader: server.handle.service, databases } }
}

/** All of them at the same time. The first that fails ends the others, and is what is thrown once all have ended. */
async function together<T extends readonly unknown[]>(
  working: Working,
  begin: (beside: Working) => { readonly [K in keyof T]: T[K] | Promise<T[K]> },
): Promise<T> {
  const ended = new AbortController()
  const signal = AbortSignal.any([working.signal, ended.signal])
  const begun = begin({ ...working, signal })
  await Promise.allSettled(begun.map((one) => Promise.resolve(one).catch((thrown: unknown) => ended.abort(thrown))))
  signal.throwIfAborted()
  return (await Promise.all(begun)) as unknown as T
}

/** A database may be called anything; `app` stays `app`. */
function fileNameOf(database: string): string {
  return encodeURIComponent(database).replaceAll(
    /[!'()*.~]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

async function dumpDatabase(
  server: Parameters<typeof withClient>[0],
  working: Working,
  { name, file }: { readonly name: string; readonly file: string },
): Promise<{ readonly dump: FileManifest; readonly tables: DatabaseManifest['tables'] }> {
  return withClient(server, { database: name, signal: working.signal }, async (client) => {
    await prepareReading(client, { alone: false })
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    const { rows } = await client.query<{ snapshot: string }>('SELECT pg_export_snapshot() AS snapshot')
    const command = dumpCommand(name, rows[0]!.snapshot)
    const [dump, tables] = await together(working, (beside) => [
      toFile(beside, server.handle, { command, file, label: name }),
      readContents(client),
    ])
    await client.query('COMMIT')
    return { dump, tables }
  })
}

/** What tells a cluster and its state from any other. */
export async function factsOf(
  server: Parameters<typeof withClient>[0],
  working: Working,
): Promise<Pick<Manifest['postgres'], 'version' | 'systemIdentifier' | 'lsn' | 'timeline'>> {
  return withClient(server, { database: 'postgres', signal: working.signal }, async (client) => {
    const { rows } = await client.query<{ version: string; system: string; lsn: string; timeline: number }>(`
      SELECT current_setting('server_version') AS version, s.system_identifier::text AS system,
             pg_current_wal_lsn()::text AS lsn, c.timeline_id AS timeline
        FROM pg_control_system() s, pg_control_checkpoint() c`)
    const { version, system, lsn, timeline } = rows[0]!
    return { version, systemIdentifier: system, lsn, timeline }
  })
}

let version: string | undefined

/** The version of devstack that is running. */
export function ownVersion(): string {
  version ??= z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(packageFolder(), 'package.json'), 'utf8'))).version
  return version
}

/** `backup:list`. */
export function listTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'List the backups, newest first',
    effect: 'read',
    interactive: true,
    params: z.object({ json: z.boolean().default(false).describe('print JSON') }),
    run: ({ params, terminal }) => {
      const { backups, broken } = readShelf(settings.backups)
      if (params.json) {
        const list = backups.map((backup) => ({
          ...{ id: backup.id, folder: backup.folder, bytes: bytesOf(backup.manifest), verified: verifiedText(backup) },
          ...{ createdAt: backup.manifest.createdAt, reason: reasonOf(backup.manifest) },
        }))
        terminal.write(`${JSON.stringify({ backups: list, broken }, null, 2)}\n`)
        return
      }
      if (backups.length === 0 && broken.length === 0) {
        terminal.write('There are no backups. Make one with: devstack run backup\n')
        return
      }
      const text = table(backups, {
        width: terminal.columns,
        columns: [
          { title: 'backup', value: ({ id }) => id, min: 20 },
          { title: 'made', value: ({ manifest }) => manifest.createdAt.slice(0, 16).replace('T', ' ') },
          { title: 'size', value: ({ manifest }) => formatBytes(bytesOf(manifest)), align: 'right' },
          { title: 'rows', value: ({ manifest }) => rowsOf(manifest), align: 'right' },
          { title: 'proved', value: verifiedText },
          { title: 'why', value: ({ manifest }) => reasonOf(manifest) },
        ],
      })
      terminal.write(backups.length > 0 ? `${text}\n` : '')
      for (const { id, why } of broken) terminal.write(`${id} can not be used: ${why}\n`)
    },
  })
}

function verifiedText(backup: Shelved): string {
  return readVerified(backup.folder)?.at.slice(0, 16).replace('T', ' ') ?? 'not yet'
}

/** For lists. */
export function reasonOf(manifest: Manifest): string {
  return manifest.sanitized ? `sanitized from ${manifest.sanitized.source}` : manifest.reason
}

/** Rows of all tables of a backup. */
export function rowsOf(manifest: Manifest): number {
  return manifest.postgres.databases.flatMap(({ tables }) => tables).reduce((sum, { rows }) => sum + rows, 0)
}

/** `backup:verify`: proves one that is there. */
export function verifyTask(find: (id: string) => Shelved): Task<undefined> {
  return task({
    description: 'Prove a backup: restore it into a throwaway PostgreSQL and compare',
    effect: 'read',
    params: z.object({
      id: z
        .string()
        .default('latest')
        .meta({ positional: true })
        .describe('which one; default the newest that was asked for'),
    }),
    run: async (context) => {
      const backup = find(context.params.id)
      if (!existsSync(backup.folder)) {
        throw new DevstackError({ kind: 'state', code: 'BACKUP_UNREADABLE', message: `${backup.folder} is gone.` })
      }
      await verifyBackup(context, backup)
    },
  })
}
