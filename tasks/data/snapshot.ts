/** `snapshot` and `restore-snapshot`: all volumes of the stack as they are, byte for byte. */
import { join } from 'node:path'
import {
  DevstackError,
  formatBytes,
  formatDuration,
  labels,
  messageOf,
  type Task,
  table,
  task,
  z,
} from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { findCluster, findRedis, replicasCaughtUp } from './cluster.ts'
import type { DataSettings, Working } from './options.ts'
import { discard, openDraft } from './shelf.ts'
import {
  archiveName,
  findSnapshot,
  pruneAutomatic,
  publishSnapshot,
  readSnapshots,
  type ShelvedSnapshot,
} from './snapshot-shelf.ts'
import { clearSnapshotState, readSnapshotState, writeSnapshotState } from './snapshot-state.ts'
import { checkSnapshot, helperImage, readArchive, writeArchive } from './volumes.ts'

const value = z.object({ id: z.string(), folder: z.string(), bytes: z.number() })
type Taken = z.infer<typeof value>

/** `snapshot`. */
export function snapshotTask(settings: DataSettings): Task<Taken> {
  return task({
    description: 'Keep all volumes of the stack as they are; it is frozen meanwhile',
    effect: 'create',
    locks: ['postgres'],
    runLocks: ['stack'],
    returns: value,
    run: async (context): Promise<Taken> => {
      const { id, folder, manifest } = await takeSnapshot(settings, context, 'asked for')
      return { id, folder, bytes: manifest.bytes }
    },
    undo: ({ value: { folder } }) => discard(settings.snapshots, folder),
  })
}

const restoredValue = z.object({ snapshot: z.string(), previous: z.string().optional() })
type Restored = z.infer<typeof restoredValue>

/** `restore-snapshot`. */
export function restoreSnapshotTask(settings: DataSettings): Task<Restored> {
  return task({
    description: 'Put back all volumes of the stack from a snapshot',
    effect: 'destroy',
    locks: ['postgres'],
    runLocks: ['stack'],
    params: z.object({
      snapshot: z
        .string()
        .optional()
        .meta({ positional: true })
        .describe('which one, `latest` for the newest that was asked for; a choice when none is named'),
    }),
    returns: restoredValue,
    destroys: async ({ params, flags, runtime, project, signal }) => {
      // what is not there is said before anything is asked
      if (params.snapshot !== undefined) findSnapshot(settings.snapshots, params.snapshot)
      const volumes = await runtime.volumes({ [labels.project]: project.name }, { signal })
      const kept = flags.noBackup ? ', without a snapshot of it' : '; a snapshot of it is taken first'
      return volumes.map(({ name }) => `what is in volume ${name} now${kept}`).sort()
    },
    run: async (context): Promise<Restored> => {
      const { params, flags, terminal } = context
      const choices = readSnapshots(settings.snapshots).snapshots.map(({ id, manifest }) => ({
        value: id,
        label: `${manifest.createdAt.slice(0, 19).replace('T', ' ')}  ${formatBytes(manifest.bytes)}  ${manifest.reason}`,
      }))
      const id =
        params.snapshot ?? (choices.length === 0 ? 'latest' : await terminal.choose('Which snapshot?', choices))
      const snapshot = findSnapshot(settings.snapshots, id)
      await checkSnapshot(context, snapshot)
      const previous = flags.noBackup
        ? undefined
        : await automaticSnapshot(settings, context, 'restore-snapshot', snapshot)
      await putBack(settings, context, snapshot)
      return { snapshot: snapshot.id, ...(previous === undefined ? {} : { previous }) }
    },
    undo: async (context) => {
      const { previous } = context.value
      if (previous !== undefined) {
        const snapshot = findSnapshot(settings.snapshots, previous)
        await checkSnapshot(context, snapshot)
        if (!context.flags.noBackup) {
          const id = await automaticSnapshot(settings, context, 'undo', snapshot)
          context.log(`what was there until now: devstack run restore-snapshot ${id}`)
        }
        return putBack(settings, context, snapshot)
      }
      throw new DevstackError({
        kind: 'state',
        code: 'RESTORE_NO_WAY_BACK',
        message: 'What was in the volumes before is gone: no snapshot was taken of it.',
        hint: 'Put back another one: devstack run restore-snapshot',
      })
    },
  })
}

/** `snapshot:list`. */
export function snapshotListTask(settings: DataSettings): Task<undefined> {
  return task({
    description: 'List the snapshots, newest first',
    effect: 'read',
    interactive: true,
    run: ({ terminal }) => {
      const { snapshots, broken } = readSnapshots(settings.snapshots)
      const text = table(snapshots, {
        width: terminal.columns,
        columns: [
          { title: 'snapshot', value: ({ id }) => id, min: 20 },
          { title: 'made', value: ({ manifest }) => manifest.createdAt.slice(0, 16).replace('T', ' ') },
          { title: 'size', value: ({ manifest }) => formatBytes(manifest.bytes), align: 'right' },
          { title: 'volumes', value: ({ manifest }) => manifest.volumes.length, align: 'right' },
          { title: 'why', value: ({ manifest }) => manifest.reason },
        ],
      })
      terminal.write(
        snapshots.length > 0 ? `${text}\n` : 'There are no snapshots. Make one with: devstack run snapshot\n',
      )
      for (const { id, why } of broken) terminal.write(`${id} can not be used: ${why}\n`)
    },
  })
}

/** The snapshot that is taken without being asked for, before another one is put back. Gives its id. */
async function automaticSnapshot(
  settings: DataSettings,
  working: Working,
  before: string,
  next: ShelvedSnapshot,
): Promise<string> {
  const { id } = await takeSnapshot(settings, working, `before ${before}`)
  const removed = pruneAutomatic(settings.snapshots, [id, next.id])
  if (removed.length > 0) working.log(`removed ${removed.join(', ')}: of snapshots made by themselves 3 are kept`)
  return id
}

/** Freezes what runs, so that all volumes are of one moment, and thaws it whatever happens. */
async function takeSnapshot(settings: DataSettings, working: Working, reason: string): Promise<ShelvedSnapshot> {
  const { runtime, project, signal, log } = working
  const started = Date.now()
  const volumes = await runtime.volumes({ [labels.project]: project.name }, { signal })
  if (volumes.length === 0) {
    throw new DevstackError({
      kind: 'runtime',
      code: 'SNAPSHOT_NO_VOLUMES',
      message: 'The stack has no volumes, so there is nothing to keep.',
      hint: 'Start it with: devstack run up',
    })
  }
  const kept = volumes.map(({ name, labels: own }) => ({
    name,
    folder: name.startsWith(`${project.name}_`) ? name.slice(project.name.length + 1) : name,
    labels: { ...own },
  }))
  const image = await helperImage(working)
  const frozen = (await projectContainers(working)).filter(({ state }) => state === 'running').map(({ id }) => id)
  const draft = openDraft(settings.snapshots)
  const still = async <T>(use: () => Promise<T>): Promise<T> => {
    await writeSnapshotState(settings, { doing: 'reading', frozen })
    try {
      await Promise.all(frozen.map((id) => runtime.pause(id, { signal })))
      return await use()
    } finally {
      // also after an abort: nothing may stay frozen
      await thaw({ ...working, signal: AbortSignal.timeout(30_000) }, frozen)
      clearSnapshotState(settings)
    }
  }
  try {
    const archive = await writeArchive(working, { image, volumes: kept, file: join(draft.folder, archiveName), still })
    const snapshot = publishSnapshot(settings.snapshots, draft, {
      ...{ format: 1, id: draft.id, project: project.name, createdAt: new Date(started).toISOString(), reason },
      ...{ volumes: kept, ...archive },
    })
    const sizes = `${formatBytes(archive.bytes)} of ${formatBytes(archive.rawBytes)}`
    log(`snapshot ${snapshot.id}: ${kept.length} volumes, ${sizes}, in ${formatDuration(Date.now() - started)}`)
    return snapshot
  } catch (thrown) {
    discard(settings.snapshots, draft.folder)
    throw thrown
  }
}

async function thaw(working: Working, ids: readonly string[]): Promise<number> {
  const { runtime, signal } = working
  const found = await Promise.all(ids.map((id) => runtime.inspect(id, { signal })))
  const paused = found.filter((one) => one?.state === 'paused')
  await Promise.all(paused.map((one) => runtime.unpause(one!.id, { signal })))
  return paused.length
}

/** Overwrites the volumes and starts again what ran. A kill in between is made good by the next command. */
async function putBack(settings: DataSettings, working: Working, snapshot: ShelvedSnapshot): Promise<void> {
  const { runtime, signal } = working
  const containers = await projectContainers(working)
  const image = await helperImage(working)
  const running = containers.filter(({ state }) => state === 'running' || state === 'paused').map(({ id }) => id)
  await writeSnapshotState(settings, { doing: 'writing', snapshot: snapshot.id, running })
  await Promise.all(
    containers.map(async ({ id, state }) => {
      if (state === 'paused') await runtime.unpause(id, { signal })
      // nothing of what they would still write is wanted
      await runtime.stop(id, { graceMs: 2000, signal })
    }),
  )
  await finishPutBack(settings, working, { snapshot, image, running })
}

async function finishPutBack(
  settings: DataSettings,
  working: Working,
  options: { readonly snapshot: ShelvedSnapshot; readonly image: string; readonly running: readonly string[] },
): Promise<void> {
  const { runtime, signal, log } = working
  const started = Date.now()
  const { snapshot, image, running } = options
  for (const { name, labels: own } of snapshot.manifest.volumes)
    await runtime.ensureVolume({ name, labels: own }, { signal })
  await readArchive(working, { snapshot, image })
  await startAgain(working, running)
  clearSnapshotState(settings)
  if (running.length > 0) {
    const cluster = await findCluster(settings, working)
    const redis = await findRedis(settings, working)
    log(`${cluster.handle.service} leads, ${redis.handle.service} is master`)
    await replicasCaughtUp(cluster, working).catch((thrown: unknown) => {
      signal.throwIfAborted()
      // the data is in place; a replica that joins late does so by itself
      log(messageOf(thrown))
    })
  }
  log(`snapshot ${snapshot.id} is put back, in ${formatDuration(Date.now() - started)}`)
}

/** What others wait for first: Patroni asks for etcd at its start, Sentinel for Redis. */
async function startAgain(working: Working, ids: readonly string[]): Promise<void> {
  const { runtime, signal } = working
  const containers = (await projectContainers(working)).filter(({ id }) => ids.includes(id))
  const rank = (service: string): number =>
    [/^etcd/, /^redis/, /^postgres/, /^sentinel/].findIndex((one) => one.test(service))
  const waves = Map.groupBy(containers, (one) => (rank(serviceOf(one)) < 0 ? 9 : rank(serviceOf(one))))
  for (const wave of [...waves.keys()].toSorted((a, b) => a - b)) {
    await Promise.all(waves.get(wave)!.map(({ id }) => runtime.start(id, { signal })))
  }
}

/** Ends what a killed snapshot began. */
export async function recoverSnapshot(settings: DataSettings, working: Working): Promise<void> {
  const state = readSnapshotState(settings)
  if (!state) return
  if (state.doing === 'reading') {
    const thawed = await thaw(working, state.frozen)
    clearSnapshotState(settings)
    if (thawed > 0) working.log(`A snapshot was broken off and left ${thawed} containers frozen: they run again.`)
    return
  }
  working.log(`Putting back snapshot ${state.snapshot} was broken off: it is done again.`)
  const snapshot = findSnapshot(settings.snapshots, state.snapshot)
  await checkSnapshot(working, snapshot)
  const containers = await projectContainers(working)
  await Promise.all(containers.map(({ id }) => working.runtime.stop(id, { graceMs: 2000, signal: working.signal })))
  await finishPutBack(settings, working, { snapshot, image: await helperImage(working), running: state.running })
}
