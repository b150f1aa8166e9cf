/** `seed`: SQL files that may run again and again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { DevstackError, messageOf, type Task, task, z } from '../../lib/index.ts'
import { findCluster, replicasCaughtUp, withClient } from './cluster.ts'
import { loginOf } from './migrate.ts'
import type { DataSettings } from './options.ts'

/** The task. All files in one transaction: a seed is there, or it is not. */
export function seedTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Fill the database with the rows of the seed files; running it again changes nothing',
    effect: 'change',
    locks: ['postgres'],
    params: z.object({}),
    run: async (context) => {
      const { log, signal, progress } = context
      const files = seedFiles(settings)
      const cluster = await findCluster(settings, context)
      const login = await loginOf(settings)
      await withClient(cluster, { ...login, signal }, async (client) => {
        await client.query('BEGIN')
        for (const [index, file] of files.entries()) {
          const before = await countChanges(client)
          try {
            await client.query(readFileSync(file, 'utf8'))
          } catch (thrown) {
            signal.throwIfAborted()
            throw seedFailed(file, thrown)
          }
          const changed = (await countChanges(client)) - before
          log(`${relative(settings.directory, file)}: ${changed === 0 ? 'nothing new' : `${changed} rows`}`)
          progress({ done: index + 1, total: files.length, unit: 'items', label: 'seed files' })
        }
        await client.query('COMMIT')
      })
      await replicasCaughtUp(cluster, context)
    },
  })
}

/** Rows inserted, updated and deleted by the transaction that is open. */
async function countChanges(client: { query(text: string): Promise<{ rows: unknown[] }> }): Promise<number> {
  const { rows } = await client.query(
    'SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::text AS changed FROM pg_stat_xact_user_tables',
  )
  return Number((rows[0] as { changed: string }).changed)
}

/** The seed files in the order of their names. Throws SEEDS_MISSING when there are none. */
export function seedFiles(settings: Pick<DataSettings, 'seeds' | 'directory'>): readonly string[] {
  const { seeds } = settings
  const names = existsSync(seeds) ? readdirSync(seeds).filter((name) => name.endsWith('.sql')) : []
  if (names.length > 0) return names.toSorted().map((name) => join(seeds, name))
  throw new DevstackError({
    kind: 'config',
    code: 'SEEDS_MISSING',
    message: `There are no seed files in ${seeds}.`,
    hint: 'Put SQL files there that use ON CONFLICT DO NOTHING, or set `seeds` of dataPack in the config.',
  })
}

function seedFailed(file: string, thrown: unknown): DevstackError {
  const { detail, code } = thrown as Readonly<Record<string, string | undefined>>
  return new DevstackError({
    kind: 'task',
    code: 'SEED_FAILED',
    message: `The seed ${file} failed: ${messageOf(thrown)}.`,
    details: detail === undefined ? [] : [detail],
    hint:
      code === '42P01'
        ? 'Apply the migrations first: devstack run migrate'
        : code === '23505'
          ? 'Make it repeatable: INSERT ... ON CONFLICT DO NOTHING'
          : 'Nothing of it is left in the database: mend the file and run seed again.',
    place: { file },
    cause: thrown,
  })
}
