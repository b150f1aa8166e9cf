/** `seed`: SQL files that may run again and again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { after, DevstackError, messageOf, type Needs, type Task, type Terminal, task, z } from '../../lib/index.ts'
import { findCluster, replicasCaughtUp, withClient } from './cluster.ts'
import { loginOf } from './migrate.ts'
import type { DataSettings, Working } from './options.ts'
import { bringBack, replaceBy } from './restore.ts'
import { findBackup, readShelf } from './shelf.ts'
import { refuseTransactions } from './sql-statements.ts'

const value = z.object({
  /** The backup of what was replaced. */
  previous: z.string().optional(),
})
type Replaced = z.infer<typeof value>

const unsanitized = z.boolean().default(false).describe('with --from-snapshot: a backup with personal data, too')

/** What `seed --from-snapshot` does: a task of its own, since it alone has an undo. */
export function seedFromTask(settings: DataSettings): Task<Replaced, { id: string; unsanitized?: boolean }> {
  return task({
    description: 'Fill the database with the rows of a sanitized backup',
    private: true,
    effect: 'change',
    locks: ['postgres'],
    params: z.object({ id: z.string(), unsanitized }),
    returns: value,
    run: (context) => seedFromBackup(settings, context, context.params.id),
    undo: async (context) => {
      const { previous } = context.value
      if (previous !== undefined) await bringBack(settings, context, previous)
    },
  })
}

/** The task. All files in one transaction: a seed is there, or it is not. What other rows it changed nobody knows later: it has no undo. */
export function seedTask(settings: DataSettings, from: ReturnType<typeof seedFromTask>): Task<undefined> {
  return task({
    description: 'Fill the database with the rows of the seed files; running it again changes nothing',
    effect: 'change',
    locks: ['postgres'],
    params: z.object({
      'from-snapshot': z
        .string()
        .optional()
        .describe(
          'the rows of a sanitized backup instead, `latest` for the newest; what is there is replaced, and "devstack undo" brings it back',
        ),
      unsanitized,
    }),
    needs: (params): Needs => {
      const id = params['from-snapshot']
      return id === undefined ? {} : { from: after(from, { params: { id, unsanitized: params.unsanitized } }) }
    },
    run: async (context) => {
      if (context.params['from-snapshot'] === undefined) await fillSeeds(settings, context)
    },
  })
}

/** Runs the seed files. Returns once the replicas have replayed them. */
export async function fillSeeds(settings: DataSettings, context: Working): Promise<void> {
  const { log, signal, progress } = context
  const files = seedFiles(settings)
  refuseTransactions(files)
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
}

type SeedContext = Working & {
  readonly params: { readonly unsanitized: boolean }
  readonly terminal: Pick<Terminal, 'confirm'>
  readonly flags: { readonly noBackup: boolean }
}

async function seedFromBackup(settings: DataSettings, context: SeedContext, id: string): Promise<Replaced> {
  const { backups } = readShelf(settings.backups)
  const newest = backups.find(({ manifest }) => manifest.sanitized !== undefined)
  if (id === 'latest' && !newest && !context.params.unsanitized) {
    throw new DevstackError({
      kind: 'usage',
      code: 'SEED_NO_SANITIZED',
      message: 'There is no sanitized backup to seed from.',
      hint: 'Make one with: devstack run sanitize',
    })
  }
  const backup = id === 'latest' && newest ? newest : findBackup(settings.backups, id)
  if (!backup.manifest.sanitized) {
    if (!context.params.unsanitized) {
      throw new DevstackError({
        kind: 'usage',
        code: 'SEED_UNSANITIZED',
        message: `The backup ${backup.id} is not sanitized: it may hold personal data.`,
        hint: `Sanitize it (devstack run sanitize ${backup.id}), or say that you want it as it is: --unsanitized`,
      })
    }
    if (!(await context.terminal.confirm(`Fill this stack with the personal data of backup ${backup.id}?`))) {
      throw new DevstackError({
        kind: 'cancelled',
        code: 'SEED_DECLINED',
        message: 'Nothing was changed.',
        exitCode: 1,
      })
    }
  }
  const previous = await replaceBy(settings, context, { backup, before: 'seed', skip: context.flags.noBackup })
  return previous === undefined ? {} : { previous }
}

/** Rows inserted, updated and deleted by the transaction that is open. */
async function countChanges(client: { query(text: string): Promise<{ rows: unknown[] }> }): Promise<number> {
  const { rows } = await client.query(
    'SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::text AS changed FROM pg_stat_xact_user_tables',
  )
  return Number((rows[0] as { changed: string }).changed)
}

/** The seed files in the order of their names. Throws SEEDS_MISSING when there are none. */
function seedFiles(settings: Pick<DataSettings, 'seeds' | 'directory'>): readonly string[] {
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
