/** The archive that going back in time reads from: pgBackRest in the containers of the members, one volume for all. */
import { setTimeout as delay } from 'node:timers/promises'
import { DevstackError, endpoint, reachOf, type ServiceHandle, z } from '../../lib/index.ts'
import { requestJson } from '../stack/http.ts'
import { patroniPort } from '../stack/patroni.ts'
import { type Cluster, variablesOf, withClient } from './cluster.ts'
import type { DataSettings, Working } from './options.ts'

export const stanza = 'devstack'
export const archiveFolder = '/var/lib/pgbackrest'
const archiveCommand = `pgbackrest --stanza=${stanza} archive-push %p`
const noArchiveCommand = '/bin/true'

const infoSchema = z.array(
  z.object({
    name: z.string(),
    status: z.object({ code: z.number(), message: z.string() }),
    backup: z
      .array(
        z.object({
          label: z.string(),
          type: z.enum(['full', 'diff', 'incr']),
          /** Unix seconds. */
          timestamp: z.object({ start: z.number(), stop: z.number() }),
          info: z.object({ size: z.number(), repository: z.object({ size: z.number().optional() }).optional() }),
        }),
      )
      .default([]),
  }),
)
export type BaseBackup = z.infer<typeof infoSchema>[number]['backup'][number]

/** A pgBackRest command in a member's container. Throws PGBACKREST_FAILED with what it said. */
export async function pgBackRest(working: Working, handle: ServiceHandle, words: readonly string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await working.runtime.exec(handle.id, {
    command: ['pgbackrest', `--stanza=${stanza}`, ...words],
    signal: working.signal,
  })
  if (exitCode === 0) return stdout
  throw new DevstackError({
    kind: 'task',
    code: 'PGBACKREST_FAILED',
    message: `pgbackrest ${words.find((word) => !word.startsWith('-')) ?? ''} in ${handle.service} ended with exit code ${exitCode}.`,
    details: `${stdout}\n${stderr}`.trim().split('\n').slice(-15),
    hint: 'See the state of the cluster with: devstack run health',
  })
}

/** Base backups in the archive, oldest first. */
export async function baseBackups(working: Working, handle: ServiceHandle): Promise<readonly BaseBackup[]> {
  const text = await pgBackRest(working, handle, ['info', '--output=json'])
  const parsed = infoSchema.safeParse(JSON.parse(text))
  if (!parsed.success) {
    throw new DevstackError({
      kind: 'task',
      code: 'PGBACKREST_FAILED',
      message: `pgbackrest info answered something else than expected: ${z.prettifyError(parsed.error)}`,
    })
  }
  return parsed.data
    .filter(({ name }) => name === stanza)
    .flatMap(({ backup }) => backup)
    .toSorted((a, b) => a.timestamp.stop - b.timestamp.stop)
}

/** Whether the leader archives what it writes. */
export async function archives(cluster: Cluster, working: Working): Promise<boolean> {
  return withClient(cluster, { database: 'postgres', signal: working.signal }, async (client) => {
    const { rows } = await client.query<{ command: string }>("SELECT current_setting('archive_command') AS command")
    return rows[0]!.command === archiveCommand
  })
}

/**
 * Switches archiving on or off for whoever leads, now and after every failover: the setting is the cluster's, in etcd.
 * Returns once the leader has it.
 */
export async function setArchiving(
  settings: DataSettings,
  working: Working,
  { cluster, on }: { readonly cluster: Cluster; readonly on: boolean },
): Promise<void> {
  const { runtime, signal } = working
  if (cluster.handle.service === 'postgres') {
    throw new DevstackError({
      kind: 'usage',
      code: 'PITR_NEEDS_CLUSTER',
      message: 'The fast mode has no archive, so it can not go back in time.',
      hint: 'Start the whole stack: devstack run up',
    })
  }
  const password = (await variablesOf(settings))['PATRONI_PASSWORD'] ?? ''
  const address = endpoint(cluster.handle, patroniPort, await reachOf(runtime, signal))
  const parameters = on
    ? { archive_command: archiveCommand, archive_timeout: '60s' }
    : { archive_command: noArchiveCommand, archive_timeout: null }
  const { status } = await requestJson(address, '/config', {
    method: 'PATCH',
    json: { postgresql: { parameters } },
    login: { user: 'patroni', password },
    signal,
  })
  if (status !== 200) {
    throw new DevstackError({
      kind: 'task',
      code: 'PATRONI_REFUSED',
      message: `Patroni of ${cluster.handle.service} answered ${status} to the new setting of archive_command.`,
      hint: 'The password of its REST API is PATRONI_PASSWORD in .env.local.',
    })
  }
  const until = performance.now() + 30_000
  while ((await archives(cluster, working)) !== on) {
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'timeout',
        code: 'ARCHIVING_NOT_SET',
        message: `${cluster.handle.service} did not take over archive_command within 30 s.`,
        hint: `See why with: devstack run logs ${cluster.handle.service}`,
      })
    }
    await delay(200, undefined, { signal })
  }
}

/** Brings everything written until now into the archive, with a commit at its end: a moment before it can be reached. */
export async function archiveUntilNow(cluster: Cluster, working: Working): Promise<void> {
  await withClient(cluster, { database: 'postgres', signal: working.signal }, async (client) => {
    await client.query('SELECT pg_current_xact_id()')
  })
  await pgBackRest(working, cluster.handle, ['check'])
}
