/** `migrate`: SQL files in order, each in a transaction of its own, applied on the leader by node-pg-migrate. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { Client } from 'pg'
import { DevstackError, messageOf, type Place, type Task, task, z } from '../../lib/index.ts'
import { automaticBackup } from './backup.ts'
import { type Cluster, findCluster, identifier, replicasCaughtUp, variablesOf, withClient } from './cluster.ts'
import {
  type AppliedMigration,
  checkMigrations,
  dueMigrations,
  type MigrationFile,
  nextNumber,
  readMigrations,
} from './migrations.ts'
import type { DataSettings, Working } from './options.ts'
import { bringBack } from './restore.ts'
import { refuseTransactions } from './sql-statements.ts'

/** Where node-pg-migrate keeps what it applied; the checksum is a column of ours. */
const tableName = 'devstack_migrations'

const value = z.object({
  applied: z.array(z.string()).describe('names of the migrations that were applied now'),
  backup: z.string().optional().describe('the backup taken before'),
})
type Migrated = z.infer<typeof value>

/** The task. Returns once the replicas have replayed all of it. */
export function migrateTask(settings: DataSettings): Task<Migrated> {
  return task({
    description: 'Apply SQL migrations on the PostgreSQL leader, in order',
    effect: 'change',
    locks: ['postgres'],
    params: z.object({
      to: z.string().optional().describe('stop after this migration: its name or number'),
      'dry-run': z.boolean().default(false).describe('tell what would be applied, and apply nothing'),
      status: z.boolean().default(false).describe('show what is applied and what is pending'),
    }),
    returns: value,
    run: async (context): Promise<Migrated> => {
      const { params, log, flags, signal } = context
      const files = readMigrations(settings.migrations)
      const cluster = await findCluster(settings, context)
      const login = await loginOf(settings)
      const applied = await withClient(cluster, { ...login, signal }, readApplied)
      if (params.status) {
        for (const line of formatStatus(files, applied)) log(line)
        checkMigrations(files, applied)
        return { applied: [] }
      }
      checkMigrations(files, applied)
      const due = dueMigrations(files, applied, params.to)
      refuseTransactions(due.map(({ file }) => file))
      if (params['dry-run']) {
        for (const { name, file } of due) log(`would apply ${name} (${relative(settings.directory, file)})`)
      }
      if (due.length === 0) log(`nothing to apply: ${applied.length} of ${files.length} migrations are applied`)
      if (due.length === 0 || params['dry-run']) return { applied: [] }
      const backup = await automaticBackup(settings, context, { before: 'migrate', skip: flags.noBackup })
      const done = await apply(settings, { cluster, login, due, files, working: context })
      return { applied: done, ...(backup === undefined ? {} : { backup }) }
    },
    undo: async (context) => {
      const { applied, backup } = context.value
      if (applied.length === 0) return
      if (backup === undefined) {
        throw new DevstackError({
          kind: 'state',
          code: 'MIGRATE_NO_WAY_BACK',
          message: `${applied.join(', ')} can not be taken back: no backup was taken before.`,
          hint: 'Write a migration that undoes them, or start over with: devstack run reset',
        })
      }
      await bringBack(settings, context, backup)
    },
  })
}

/** Applies everything that is pending, for tasks that migrate on their way. Takes no backup. */
export async function migrateAll(settings: DataSettings, working: Working): Promise<void> {
  const files = readMigrations(settings.migrations)
  const cluster = await findCluster(settings, working)
  const login = await loginOf(settings)
  const applied = await withClient(cluster, { ...login, signal: working.signal }, readApplied)
  checkMigrations(files, applied)
  const due = dueMigrations(files, applied)
  refuseTransactions(due.map(({ file }) => file))
  if (due.length > 0) await apply(settings, { cluster, login, due, files, working })
}

interface Login {
  readonly database: string
  readonly user: string
  readonly password: string
}

/** As who migrations and seeds run. */
export async function loginOf(settings: DataSettings): Promise<Login> {
  const { database, role } = settings
  const variables = await variablesOf(settings)
  const name =
    role === 'postgres' ? 'POSTGRES_PASSWORD' : `${role.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}_PASSWORD`
  const password = variables[name]
  if (password === undefined) {
    throw new DevstackError({
      kind: 'config',
      code: 'ROLE_NO_PASSWORD',
      message: `The role ${role} has no password here: ${name} is not set.`,
      hint: `Put ${name} into .env.local.`,
    })
  }
  return { database, user: role, password }
}

/** What was applied, in the order in which it was; nothing where the table is not there yet. */
async function readApplied(client: Client): Promise<readonly AppliedMigration[]> {
  const { rows: found } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('public.${tableName}') IS NOT NULL AS there`,
  )
  if (!found[0]!.there) return []
  await client.query(`ALTER TABLE public.${tableName} ADD COLUMN IF NOT EXISTS checksum text`)
  const { rows } = await client.query<{ name: string; checksum: string | null; at: Date }>(
    `SELECT name, checksum, run_on AS at FROM public.${tableName} ORDER BY run_on, id`,
  )
  return rows.map(({ name, checksum, at }) => ({ name, checksum, at: at.toISOString() }))
}

interface Application {
  readonly cluster: Cluster
  readonly login: Login
  readonly files: readonly MigrationFile[]
  readonly due: readonly MigrationFile[]
  readonly working: Working
}

async function apply(settings: DataSettings, application: Application): Promise<string[]> {
  const { cluster, login, due, files, working } = application
  const { signal, log, progress } = working
  const { runner } = await import('node-pg-migrate')
  const done: string[] = []
  await withClient(cluster, { ...login, signal }, async (client) => {
    await prepareTable(client, files)
    const listening = listen(client, (name) => {
      done.push(name)
      log(`applied ${name}`)
      progress({ done: done.length, total: due.length, unit: 'items', label: 'migrations' })
    })
    try {
      await runner({
        dbClient: listening.client,
        dir: settings.migrations,
        // anything that is no migration of ours
        ignorePattern: '(\\..*|.*(?<!\\.sql))',
        direction: 'up',
        count: due.length,
        migrationsTable: tableName,
        migrationsSchema: 'public',
        schema: 'public',
        checkOrder: true,
        singleTransaction: false,
        advisoryLockMode: 'wait',
        logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
      })
    } catch (thrown) {
      signal.throwIfAborted()
      throw migrationFailed(due.find(({ name }) => !done.includes(name))!, { done, thrown, text: listening.failed() })
    }
  })
  const { lsn } = await replicasCaughtUp(cluster, working)
  if (cluster.replicas.length > 0) log(`${cluster.replicas.length} replicas have replayed it (${lsn})`)
  return done
}

/** The client as the library sees it; tells which migrations were committed, and the text that failed. */
function listen(client: Client, committed: (name: string) => void) {
  let recorded: string | undefined
  let failed: string | undefined
  const query = async (...words: unknown[]): Promise<unknown> => {
    const text = typeof words[0] === 'string' ? words[0] : ''
    try {
      const answer = await (client.query as (...given: unknown[]) => Promise<unknown>).apply(client, words)
      recorded = insertion.exec(text)?.[1] ?? recorded
      if (/^\s*COMMIT\b/i.test(text) && recorded !== undefined) {
        committed(recorded)
        recorded = undefined
      }
      return answer
    } catch (thrown) {
      // what fails after it does so because of it
      failed ??= text
      throw thrown
    }
  }
  // the library uses nothing else of a connected client
  return { client: { query } as unknown as Client, failed: () => failed ?? '' }
}

const insertion = new RegExp(`INSERT INTO "public"\\."${tableName}" .*VALUES \\('([^']+)'`)

/**
 * The library's table with a column for checksums, filled by a trigger from what this session knows: so a checksum is
 * written in the transaction of its migration, and a kill between the two is impossible.
 */
async function prepareTable(client: Client, files: readonly MigrationFile[]): Promise<void> {
  const known = Object.fromEntries(files.map(({ name, checksum }) => [name, checksum]))
  const full = `public.${identifier(tableName)}`
  await client.query('BEGIN')
  await client.query("SELECT pg_advisory_xact_lock(hashtext('devstack_migrations'))")
  await client.query(`CREATE TABLE IF NOT EXISTS ${full}
    (id serial PRIMARY KEY, name varchar(255) NOT NULL, run_on timestamp NOT NULL, checksum text)`)
  await client.query(`CREATE OR REPLACE FUNCTION public.devstack_migration_checksum() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      NEW.checksum := coalesce(NEW.checksum, nullif(current_setting('devstack.checksums', true), '')::jsonb ->> NEW.name);
      RETURN NEW;
    END $$`)
  await client.query(`CREATE OR REPLACE TRIGGER devstack_migration_checksum BEFORE INSERT ON ${full}
    FOR EACH ROW EXECUTE FUNCTION public.devstack_migration_checksum()`)
  await client.query('COMMIT')
  await client.query("SELECT set_config('devstack.checksums', $1, false)", [JSON.stringify(known)])
}

interface Failure {
  readonly done: readonly string[]
  readonly thrown: unknown
  /** The statements that were sent. */
  readonly text: string
}

function migrationFailed(file: MigrationFile, { done, thrown, text }: Failure): DevstackError {
  const { position, detail, hint, where } = thrown as Readonly<Record<string, string | undefined>>
  const details = [detail, hint, where, done.length > 0 ? `Applied before it: ${done.join(', ')}.` : undefined]
  return new DevstackError({
    kind: 'task',
    code: 'MIGRATION_FAILED',
    message: `The migration ${file.name} failed: ${messageOf(thrown)}.`,
    details: details.filter((line) => line !== undefined),
    hint: /^\s*COMMIT\b/i.test(text)
      ? 'Whether it was applied in the end is shown by: devstack run migrate --status'
      : 'Nothing of it is left in the database: mend the file and run migrate again.',
    place: placeIn(file.file, text, position === undefined ? undefined : Number(position)),
    cause: thrown,
  })
}

/** Line and column of what PostgreSQL complains about; `position` counts characters of `text` from 1. */
function placeIn(file: string, text: string, position: number | undefined): Place {
  const content = readFileSync(file, 'utf8')
  const start = content.indexOf(text.trim().replace(/;$/, ''))
  if (position === undefined || text === '' || start < 0) return { file }
  const before = [...text].slice(0, position - 1).join('')
  const lines = (content.slice(0, start) + before.trimStart()).split('\n')
  const line = lines.length
  return { file, line, column: lines.at(-1)!.length + 1, text: content.split('\n')[line - 1] ?? '' }
}

function formatStatus(files: readonly MigrationFile[], applied: readonly AppliedMigration[]): readonly string[] {
  const at = new Map(applied.map((one) => [one.name, one.at]))
  const names = [...new Set([...files.map(({ name }) => name), ...at.keys()])]
  const width = Math.max(0, ...names.map((name) => name.length))
  return names.map((name) => `${name.padEnd(width)}  ${at.has(name) ? `applied ${at.get(name)}` : 'pending'}`)
}

/** `migrate:new`: an empty migration with the next number. */
export function newMigrationTask(settings: DataSettings): Task<{ file: string }> {
  return task({
    description: 'Make an empty migration with the next number',
    effect: 'create',
    params: z.object({
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9 _.-]*$/, 'letters, digits, blanks, -, _ and . only')
        .meta({ positional: true })
        .describe('what it does: add-rooms'),
    }),
    returns: z.object({ file: z.string() }),
    run: ({ params, log }) => {
      mkdirSync(settings.migrations, { recursive: true })
      const number = nextNumber(readdirSync(settings.migrations))
      const file = join(settings.migrations, `${number}-${params.name.toLowerCase().replaceAll(/[ _]+/g, '-')}.sql`)
      writeFileSync(file, `-- ${params.name}\n\n`, { flag: 'wx' })
      log(relative(settings.directory, file))
      return { file }
    },
    undo: async ({ value: { file } }) => {
      const { rm } = await import('node:fs/promises')
      if (existsSync(file)) await rm(file)
    },
  })
}
