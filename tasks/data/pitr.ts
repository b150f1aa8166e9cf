/** Point-in-time recovery: switch it on, take base backups, and read a state of the past out of the archive. */
import {
  DevstackError,
  endpoint,
  formatBytes,
  formatDuration,
  labels,
  reachOf,
  type Task,
  table,
  task,
  z,
} from '../../lib/index.ts'
import { postgresPort } from '../stack/patroni.ts'
import { archiveFolder, archives, archiveUntilNow, baseBackups, pgBackRest, setArchiving, stanza } from './archive.ts'
import { dumpPostgres, ownVersion } from './backup.ts'
import { type Cluster, findCluster } from './cluster.ts'
import { formatMoment, parseMoment } from './moment.ts'
import type { DataSettings, Working } from './options.ts'
import { untilAnswers, withScratch } from './scratch.ts'
import { discard, openDraft, publish, type Shelved } from './shelf.ts'

/** `pitr:enable`. */
export function enableTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Archive everything PostgreSQL writes from now on, so that any moment can be restored',
    effect: 'change',
    locks: ['postgres'],
    run: async (context) => {
      const cluster = await findCluster(settings, context)
      if (await archives(cluster, context)) {
        context.log(`${cluster.handle.service} archives already`)
        return
      }
      await pgBackRest(context, cluster.handle, ['stanza-create'])
      await setArchiving(settings, context, { cluster, on: true })
      await pgBackRest(context, cluster.handle, ['check'])
      await baseBackup(context, cluster, 'full')
      context.log('from now on: devstack run restore --at "10 minutes ago"')
    },
    undo: async (context) => {
      await setArchiving(settings, context, { cluster: await findCluster(settings, context), on: false })
    },
  })
}

/** `pitr:disable`. What was archived stays until the volume goes. */
export function disableTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Stop archiving what PostgreSQL writes',
    effect: 'change',
    locks: ['postgres'],
    run: async (context) => {
      await setArchiving(settings, context, { cluster: await findCluster(settings, context), on: false })
    },
    undo: async (context) => {
      await setArchiving(settings, context, { cluster: await findCluster(settings, context), on: true })
    },
  })
}

/** `pitr:backup`. */
export function baseBackupTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Take a base backup into the archive: restores start from it and are quicker',
    effect: 'create',
    locks: ['postgres'],
    params: z.object({
      full: z.boolean().default(false).describe('all of it, and not what changed since the last one'),
    }),
    run: async (context) => {
      const cluster = await enabledCluster(settings, context)
      await baseBackup(context, cluster, context.params.full ? 'full' : 'incr')
    },
  })
}

async function baseBackup(working: Working, cluster: Cluster, type: 'full' | 'incr'): Promise<void> {
  const started = Date.now()
  await pgBackRest(working, cluster.handle, [`--type=${type}`, 'backup'])
  const newest = (await baseBackups(working, cluster.handle)).at(-1)
  if (newest) {
    working.log(
      `base backup ${newest.label} of ${formatBytes(newest.info.size)}, in ${formatDuration(Date.now() - started)}`,
    )
  }
}

/** `pitr:status`. */
export function pitrStatusTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'Show which moments can be restored',
    effect: 'read',
    interactive: true,
    params: z.object({ json: z.boolean().default(false).describe('print JSON') }),
    run: async (context) => {
      const { params, terminal } = context
      const cluster = await findCluster(settings, context)
      const on = await archives(cluster, context)
      const backups = on ? await baseBackups(context, cluster.handle) : []
      const list = backups.map(({ label, type, timestamp, info }) => ({
        ...{ label, type, size: info.size },
        completed: new Date(timestamp.stop * 1000).toISOString(),
      }))
      if (params.json) {
        terminal.write(`${JSON.stringify({ archiving: on, backups: list }, null, 2)}\n`)
      } else if (!on) {
        terminal.write('Nothing is archived. Begin with: devstack run pitr:enable\n')
      } else {
        const text = table(list, {
          columns: [
            { title: 'base backup', value: ({ label }) => label },
            { title: 'completed', value: ({ completed }) => completed.slice(0, 19).replace('T', ' ') },
            { title: 'size', value: ({ size }) => formatBytes(size), align: 'right' },
          ],
        })
        terminal.write(`${cluster.handle.service} archives. Any moment since the first can be restored:\n${text}\n`)
      }
    },
  })
}

async function enabledCluster(settings: DataSettings, working: Working): Promise<Cluster> {
  const cluster = await findCluster(settings, working)
  if (await archives(cluster, working)) return cluster
  throw new DevstackError({
    kind: 'usage',
    code: 'PITR_NOT_ENABLED',
    message: 'PostgreSQL does not archive what it writes, so there is no way back to a moment.',
    hint: 'Switch it on: devstack run pitr:enable (or restore a backup: devstack run restore)',
  })
}

/**
 * The state of a moment as a backup: pgBackRest restores it in a throwaway container, which is dumped. The cluster itself
 * is only read, apart from one commit that ends what is archived.
 */
export async function backupOfMoment(settings: DataSettings, working: Working, at: string): Promise<Shelved> {
  const moment = parseMoment(at)
  const cluster = await enabledCluster(settings, working)
  const first = (await baseBackups(working, cluster.handle))[0]
  if (!first || first.timestamp.stop * 1000 > moment.getTime()) {
    throw new DevstackError({
      kind: 'usage',
      code: 'PITR_TOO_EARLY',
      message: `${formatMoment(moment)} is before the first base backup${first ? `, which was done at ${formatMoment(new Date(first.timestamp.stop * 1000))}` : ''}.`,
      hint: 'Choose a later moment, or restore a backup: devstack run restore',
    })
  }
  await archiveUntilNow(cluster, working)
  const draft = openDraft(settings.backups)
  try {
    const { files, postgres } = await withMoment(working, cluster, moment, (server) =>
      dumpPostgres(server, working, draft),
    )
    const backup = publish(settings.backups, draft, {
      ...{ format: 1, id: draft.id, project: working.project.name, createdAt: new Date().toISOString() },
      reason: `state of ${formatMoment(moment)}`,
      devstack: ownVersion(),
      postgres,
      files,
    })
    working.log(`the state of ${formatMoment(moment)} is backup ${backup.id}`)
    return backup
  } catch (thrown) {
    discard(settings.backups, draft.folder)
    throw thrown
  }
}

/** A throwaway server with the state of a moment. */
async function withMoment<T>(
  working: Working,
  cluster: Cluster,
  moment: Date,
  use: (server: Pick<Cluster, 'handle' | 'address' | 'password'>) => Promise<T>,
): Promise<T> {
  const { runtime, signal, log } = working
  const started = Date.now()
  const options = {
    image: cluster.handle.image,
    entrypoint: ['sh', '-ec'],
    command: [recoveryScript(moment)],
    mounts: [{ type: 'volume' as const, source: await archiveVolume(working), target: archiveFolder, readOnly: true }],
    ports: [{ hostIp: '127.0.0.1', hostPort: 0, containerPort: postgresPort, protocol: 'tcp' as const }],
  }
  return withScratch(working, options, async (handle) => {
    const address = endpoint(handle, postgresPort, await reachOf(runtime, signal))
    // its users and passwords are those of the cluster at that moment
    const server = { handle, address, password: cluster.password }
    await untilAnswers(working, server, { patienceMs: 3_600_000 })
    log(`${formatMoment(moment)} is reached in a throwaway server, in ${formatDuration(Date.now() - started)}`)
    return use(server)
  })
}

/** Its settings are those of a member: what ties it to the cluster is taken out. */
function recoveryScript(moment: Date): string {
  const directory = '/var/lib/postgresql/data/main'
  const settings = {
    ...{ hot_standby: 'off', archive_mode: 'off', fsync: 'off', synchronous_standby_names: '', cluster_name: '' },
    ...{
      primary_conninfo: '',
      primary_slot_name: '',
      listen_addresses: '*',
      unix_socket_directories: '/run/postgresql',
    },
  }
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}='${value}'`)
  const target = `--type=time --target='${formatMoment(moment)}' --target-action=promote --archive-mode=off`
  return [
    `mkdir -m 0700 -p ${directory}`,
    `pgbackrest --stanza=${stanza} ${target} restore`,
    `exec postgres -D ${directory} ${options.join(' ')}`,
  ].join('\n')
}

async function archiveVolume({ runtime, project, signal }: Working): Promise<string> {
  const volumes = await runtime.volumes({ [labels.project]: project.name }, { signal })
  const found = volumes.find(({ name }) => /[_-]archive$/.test(name))
  if (found) return found.name
  throw new DevstackError({
    kind: 'state',
    code: 'ARCHIVE_MISSING',
    message: `There is no volume with the archive of ${project.name}.`,
    hint: 'Bring the stack up as it is described now: devstack run up',
  })
}
