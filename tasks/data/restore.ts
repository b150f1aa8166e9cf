/**
 * `restore`: a backup into the running cluster. It is restored beside what is there and compared; only then do names
 * change, in one transaction. See restore-state.ts for what happens when it is killed.
 */
import { join } from 'node:path'
import { DevstackError, formatBytes, formatDuration, type Task, type Terminal, task, z } from '../../lib/index.ts'
import { runningHandles } from '../stack/handles.ts'
import { automaticBackup, bytesOf, factsOf, reasonOf, rowsOf } from './backup.ts'
import { type Cluster, findCluster, identifier, literal, replicasCaughtUp, withClient } from './cluster.ts'
import { describeDatabases } from './dump.ts'
import { needSpace } from './files.ts'
import { globalsFile, restoreGlobals } from './globals.ts'
import { type Hold, holdWrites } from './hold.ts'
import type { DataSettings, Working } from './options.ts'
import { backupOfMoment } from './pitr.ts'
import { restoreRedis, verifyRedis } from './redis-data.ts'
import {
  clearRestoreState,
  fillingName,
  formerName,
  type RestoreState,
  readRestoreState,
  writeRestoreState,
} from './restore-state.ts'
import { findBackup, readShelf, type Shelved } from './shelf.ts'
import { checkIntegrity, restoreInto } from './verify.ts'

const value = z.object({
  backup: z.string(),
  /** Of the state that was replaced. */
  previous: z.string().optional(),
})
type Restored = z.infer<typeof value>

/** The task. Its undo brings back what was there before. */
export function restoreTask(settings: DataSettings): Task<Restored> {
  return task({
    description: 'Bring back a backup into the running cluster',
    effect: 'destroy',
    locks: ['postgres'],
    params: z
      .object({
        id: z
          .string()
          .optional()
          .meta({ positional: true })
          .describe('which one, `latest` for the newest that was asked for; a choice when none is named'),
        at: z.string().optional().describe('a moment instead: "10 minutes ago", or 2026-11-30T11:00:00Z'),
      })
      .refine(({ id, at }) => id === undefined || at === undefined, {
        path: ['at'],
        message: 'can not stand beside a backup that is named',
      }),
    returns: value,
    destroys: ({ params, flags }) => {
      // what is not there is said before anything is asked
      const by = params.id === undefined ? '' : ` (replaced by backup ${findBackup(settings.backups, params.id).id})`
      const kept = flags.noBackup ? ', without a backup of it' : '; a backup of it is taken first'
      const redis = params.at === undefined ? ' and Redis' : ''
      return [`what the databases${redis} of ${settings.project} hold now${by}${kept}`]
    },
    run: async (context): Promise<Restored> => {
      const { params, terminal, flags } = context
      const backup =
        params.at === undefined
          ? findBackup(settings.backups, params.id ?? (await choose(settings, terminal)))
          : await backupOfMoment(settings, context, params.at)
      const previous = await replaceBy(settings, context, { backup, before: 'restore', skip: flags.noBackup })
      return { backup: backup.id, ...(previous === undefined ? {} : { previous }) }
    },
    undo: async (context) => {
      const { previous } = context.value
      if (previous !== undefined) return bringBack(settings, context, previous)
      throw new DevstackError({
        kind: 'state',
        code: 'RESTORE_NO_WAY_BACK',
        message: 'What was there before the restore is gone: no backup was taken of it.',
        hint: 'Restore another backup: devstack run restore',
      })
    },
  })
}

async function choose(settings: DataSettings, terminal: Terminal): Promise<string> {
  const { backups } = readShelf(settings.backups)
  if (backups.length === 0) return findBackup(settings.backups, 'latest').id
  return terminal.choose(
    'Which backup?',
    backups.map(({ id, manifest }) => ({
      value: id,
      label: `${manifest.createdAt.slice(0, 19).replace('T', ' ')}  ${formatBytes(bytesOf(manifest)).padStart(9)}  ${rowsOf(manifest)} rows  ${reasonOf(manifest)}`,
    })),
  )
}

/** For undos: restores a backup by its id. What is there now is backed up first, unless `--no-backup` says otherwise. */
export async function bringBack(
  settings: DataSettings,
  working: Working & { readonly flags: { readonly noBackup: boolean } },
  id: string,
): Promise<void> {
  const backup = findBackup(settings.backups, id)
  const now = await replaceBy(settings, working, { backup, before: 'undo', skip: working.flags.noBackup })
  if (now !== undefined) working.log(`what was there until now: devstack run restore ${now}`)
}

export interface Replacement {
  readonly backup: Shelved
  /** What the automatic backup is taken before: `restore`. */
  readonly before: string
  /** `--no-backup`. */
  readonly skip: boolean
}

/**
 * Checks a backup, takes one of what is there now, and restores it; what is replaced takes no writes from the one to the
 * other, so that the new backup has all of it. Gives the id of the new one, unless it is skipped.
 */
export async function replaceBy(
  settings: DataSettings,
  working: Working,
  { backup, before, skip }: Replacement,
): Promise<string | undefined> {
  await checkIntegrity(working, backup)
  if (readRestoreState(settings)) await recoverRestore(settings, working)
  const replace = async (hold?: Hold): Promise<string | undefined> => {
    const previous = await automaticBackup(settings, working, { before, skip, protect: [backup.id] })
    await restoreBackup(settings, working, { backup, hold })
    return previous
  }
  if (skip) return replace()
  const cluster = await findCluster(settings, working)
  const present = (await describeDatabases(cluster, working)).map(({ name }) => name)
  const replaced = backup.manifest.postgres.databases.filter(({ name }) => present.includes(name))
  return holdWrites(
    cluster,
    working,
    replaced.map(({ name }) => name),
    replace,
  )
}

/** Restores a backup whose integrity was checked, into databases that are held unless nobody cares for what they hold. */
async function restoreBackup(
  settings: DataSettings,
  working: Working,
  { backup, hold }: { readonly backup: Shelved; readonly hold: Hold | undefined },
): Promise<void> {
  const started = Date.now()
  const { manifest, folder } = backup
  const { databases } = manifest.postgres
  if (!manifest.redis) working.log('Redis is not in this backup and stays as it is')
  const cluster = await findCluster(settings, working)
  needSpace(
    settings.backups,
    databases.reduce((sum, { size }) => sum + size, 0),
  )
  const state = {
    backup: backup.id,
    cluster: (await factsOf(cluster, working)).systemIdentifier,
    databases: databases.map(({ name }) => name),
  }
  await writeRestoreState(settings, { ...state, stage: 'filling' })
  try {
    await restoreGlobals(cluster, working, join(folder, globalsFile))
    for (const [index, database] of databases.entries()) {
      await restoreInto(cluster, working, { backup, database, name: fillingName(index) })
      working.log(`${database.name} is restored beside the old one and equal to the backup`)
    }
    const { redis } = manifest
    const at = (await runningHandles(working)).find(({ service }) => /^redis\d*$/.test(service))
    if (redis && at) {
      await verifyRedis(working, {
        redis,
        at,
        file: join(folder, redis.file),
        bytes: manifest.files[redis.file]!.bytes,
      })
    }
    await replicasCaughtUp(cluster, working)
    await hold?.check()
  } catch (thrown) {
    // also after an abort: nothing of it may stay behind
    await rollBack(settings, { ...working, signal: AbortSignal.timeout(30_000) }, state)
    throw thrown
  }
  await writeRestoreState(settings, { ...state, stage: 'switching' })
  await finish(settings, working, { ...state, stage: 'switching', owner: undefined }, hold)
  working.log(`backup ${backup.id} is restored, ${rowsOf(manifest)} rows, in ${formatDuration(Date.now() - started)}`)
}

async function rollBack(
  settings: DataSettings,
  working: Working,
  state: Pick<RestoreState, 'databases'>,
): Promise<void> {
  const cluster = await findCluster(settings, working)
  await dropDatabases(
    cluster,
    working,
    state.databases.map((_, index) => fillingName(index)),
  )
  clearRestoreState(settings)
}

/** From `switching` on there is only forward; every step may be repeated. */
async function finish(settings: DataSettings, working: Working, state: RestoreState, hold?: Hold): Promise<void> {
  const backup = findBackup(settings.backups, state.backup)
  const cluster = await findCluster(settings, working)
  if (state.stage === 'switching') {
    await swapNames(cluster, working, { names: state.databases, held: hold?.sessions ?? [] })
    const { redis, files } = backup.manifest
    if (redis && (await runningHandles(working)).some(({ service }) => /^redis\d*$/.test(service))) {
      await restoreRedis(settings, working, {
        redis,
        file: join(backup.folder, redis.file),
        bytes: files[redis.file]!.bytes,
      })
    }
    await writeRestoreState(settings, { ...state, stage: 'clearing' })
  }
  await dropDatabases(
    cluster,
    working,
    state.databases.flatMap((_, index) => [formerName(index), fillingName(index)]),
  )
  await replicasCaughtUp(cluster, working)
  clearRestoreState(settings)
}

/** The new databases get their names, all in one transaction. Clients are cut off and connect to the new ones. */
async function swapNames(
  cluster: Cluster,
  working: Working,
  { names, held }: { readonly names: readonly string[]; readonly held: readonly number[] },
): Promise<void> {
  await withClient(cluster, { database: 'postgres', signal: working.signal }, async (client) => {
    for (let tried = 0; ; tried += 1) {
      const { rows } = await client.query<{ name: string }>('SELECT datname AS name FROM pg_database')
      const present = new Set(rows.map(({ name }) => name))
      const due = names.flatMap((name, index) => (present.has(fillingName(index)) ? [{ name, index }] : []))
      if (due.length === 0) return
      const old = due.filter(({ name }) => present.has(name))
      for (const { name } of old) await client.query(`ALTER DATABASE ${identifier(name)} ALLOW_CONNECTIONS false`)
      const closing = due.flatMap(({ name, index }) => [name, fillingName(index)]).map(literal)
      const sessions = `FROM pg_stat_activity WHERE datname IN (${closing.join(', ')})`
      // a client that waits for a lock would write as soon as its holder ends: it goes first, and is waited for
      await client.query(`SELECT pg_terminate_backend(pid, 5000) ${sessions} AND pid <> ALL ($1)`, [held])
      await client.query(`SELECT pg_terminate_backend(pid) ${sessions}`)
      try {
        await client.query('BEGIN')
        for (const { name, index } of old)
          await client.query(`ALTER DATABASE ${identifier(name)} RENAME TO ${identifier(formerName(index))}`)
        for (const { name, index } of due)
          await client.query(`ALTER DATABASE ${identifier(fillingName(index))} RENAME TO ${identifier(name)}`)
        await client.query('COMMIT')
        return
      } catch (thrown) {
        await client.query('ROLLBACK')
        // 55006: a session takes its time to end; 3D000: what a killed restore had sent was carried out meanwhile
        if (!/^(55006|3D000)$/.test((thrown as { code?: string }).code ?? '') || tried > 5) throw thrown
      }
    }
  })
}

async function dropDatabases(cluster: Cluster, working: Working, names: readonly string[]): Promise<void> {
  await withClient(cluster, { database: 'postgres', signal: working.signal }, async (client) => {
    // the server goes on with what a killed restore had sent, and would make one after it was dropped
    await client.query(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
      WHERE application_name = 'devstack' AND query LIKE 'CREATE DATABASE "devstack\\_restoring\\_%' AND state = 'active'`)
    for (const name of names) await client.query(`DROP DATABASE IF EXISTS ${identifier(name)} WITH (FORCE)`)
  })
}

/** Ends what a killed restore began: rolled back while nothing had changed, finished from then on. */
export async function recoverRestore(settings: DataSettings, working: Working): Promise<void> {
  const state = readRestoreState(settings)
  if (!state) return
  const { systemIdentifier } = await factsOf(await findCluster(settings, working), working)
  if (state.cluster !== undefined && state.cluster !== systemIdentifier) {
    clearRestoreState(settings)
    working.log(
      `A restore of backup ${state.backup} was broken off, and its cluster is gone: there is nothing to finish.`,
    )
    return
  }
  if (state.stage === 'filling') {
    await rollBack(settings, working, state)
    working.log(`A restore of backup ${state.backup} was broken off before it changed anything: it is rolled back.`)
    return
  }
  await finish(settings, working, state)
  working.log(`A restore of backup ${state.backup} was broken off after its data had been compared: it is finished.`)
}
