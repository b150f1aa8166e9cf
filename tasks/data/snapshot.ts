/** `snapshot` and `restore-snapshot`: all volumes of the stack as they are, byte for byte. */
import { join } from 'node:path'
import { Readable } from 'node:stream'
import {
  DevstackError,
  formatBytes,
  formatDuration,
  labels,
  messageOf,
  type ServiceHandle,
  type Task,
  table,
  task,
  z,
} from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { checkArchive } from './archive-check.ts'
import { findCluster, findRedis, replicasCaughtUp } from './cluster.ts'
import { FileSink, hashFile } from './files.ts'
import { FrameWriter, readFrames } from './frames.ts'
import type { DataSettings, Working } from './options.ts'
import { withScratch } from './scratch.ts'
import { discard, openDraft } from './shelf.ts'
import {
  archiveName,
  findSnapshot,
  publishSnapshot,
  readSnapshots,
  type ShelvedSnapshot,
  type SnapshotManifest,
} from './snapshot-shelf.ts'
import { clearSnapshotState, readSnapshotState, writeSnapshotState } from './snapshot-state.ts'

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
        .describe('which one, `latest` for the newest; asked for when none is named'),
    }),
    returns: restoredValue,
    destroys: async ({ flags, runtime, project, signal }) => {
      if (!flags.noBackup) return []
      const volumes = await runtime.volumes({ [labels.project]: project.name }, { signal })
      return volumes.map(({ name }) => `what is in volume ${name} now`)
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
        : (await takeSnapshot(settings, context, 'before restore-snapshot')).id
      await putBack(settings, context, snapshot)
      return { snapshot: snapshot.id, ...(previous === undefined ? {} : { previous }) }
    },
    undo: async (context) => {
      const { previous } = context.value
      if (previous !== undefined) {
        const snapshot = findSnapshot(settings.snapshots, previous)
        await checkSnapshot(context, snapshot)
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
  await writeSnapshotState(settings, { doing: 'reading', frozen })
  try {
    await Promise.all(frozen.map((id) => runtime.pause(id, { signal })))
    const archive = await writeArchive(working, { image, volumes: kept, file: join(draft.folder, archiveName) })
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
  } finally {
    // also after an abort: nothing may stay frozen
    await thaw({ ...working, signal: AbortSignal.timeout(30_000) }, frozen)
    clearSnapshotState(settings)
  }
}

async function thaw(working: Working, ids: readonly string[]): Promise<number> {
  const { runtime, signal } = working
  const found = await Promise.all(ids.map((id) => runtime.inspect(id, { signal })))
  const paused = found.filter((one) => one?.state === 'paused')
  await Promise.all(paused.map((one) => runtime.unpause(one!.id, { signal })))
  return paused.length
}

/** Any image of the stack has a tar. */
async function helperImage(working: Working): Promise<string> {
  const containers = await projectContainers(working)
  const own = containers.find((one) => serviceOf(one).startsWith('postgres'))
  const image = own?.imageId ?? 'devstack-base'
  if (await working.runtime.image(image, { signal: working.signal })) return image
  throw new DevstackError({
    kind: 'runtime',
    code: 'SCRATCH_NO_IMAGE',
    message: 'There is no image of the stack here that volumes could be read with.',
    hint: 'Build them with: devstack run up',
  })
}

type Volumes = SnapshotManifest['volumes']
const root = '/volumes'

async function withVolumes<T>(
  working: Working,
  options: { readonly image: string; readonly volumes: Volumes; readonly readOnly: boolean },
  use: (helper: ServiceHandle) => Promise<T>,
): Promise<T> {
  const mounts = options.volumes.map(({ name, folder }) => ({
    ...{ type: 'volume' as const, source: name, target: `${root}/${folder}` },
    ...{ readOnly: options.readOnly, copy: false },
  }))
  const helper = { image: options.image, user: '0:0', entrypoint: ['sleep'], command: ['infinity'], mounts }
  return withScratch(working, { ...helper, networkMode: 'none' }, use)
}

async function writeArchive(
  working: Working,
  options: { readonly image: string; readonly volumes: Volumes; readonly file: string },
): Promise<Pick<SnapshotManifest, 'bytes' | 'sha256' | 'frames' | 'rawBytes'>> {
  const { runtime, signal, progress } = working
  const { volumes, image, file } = options
  return withVolumes(working, { image, volumes, readOnly: true }, async (helper) => {
    const sizes = await runtime.exec(helper.id, { command: ['du', '-sb', root], signal })
    const total = Number(/^\d+/.exec(sizes.stdout)?.[0] ?? 0)
    const sink = new FileSink(file)
    const writer = new FrameWriter((frame) => sink.write(frame))
    let broken: unknown
    const said: string[] = []
    try {
      const { exitCode } = await runtime.exec(helper.id, {
        // sockets are no data, and tar leaves them out with a warning
        command: [
          ...['tar', '--create', '--numeric-owner', '--warning=no-file-ignored', `--directory=${root}`],
          ...['--file=-', ...volumes.map(({ folder }) => folder)],
        ],
        signal,
        onOutput: (chunk, stream) => {
          if (stream === 'stderr') {
            said.push(Buffer.from(chunk).toString('utf8'))
            return
          }
          try {
            writer.push(chunk)
          } catch (thrown) {
            broken = thrown
            throw thrown
          }
          progress({ done: writer.rawBytes, ...(total > 0 ? { total } : {}), unit: 'bytes', label: 'volumes' })
        },
      })
      if (exitCode !== 0) throw tarFailed(exitCode, said.join(''))
      writer.finish()
      return { ...sink.finish(), frames: writer.frames, rawBytes: writer.rawBytes }
    } catch (thrown) {
      sink.abandon()
      throw broken ?? thrown
    }
  })
}

function tarFailed(exitCode: number, said: string): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'SNAPSHOT_TAR_FAILED',
    message: `tar ended with exit code ${exitCode}.`,
    details: said.trim().split('\n').slice(-10),
    hint: 'Run the command again; a container that writes although it should be frozen shows up in: devstack run status',
  })
}

/** Every byte as written, and no entry that leads out of the volumes. Throws SNAPSHOT_DAMAGED and SNAPSHOT_ESCAPES. */
export async function checkSnapshot(
  working: Pick<Working, 'signal' | 'progress'>,
  snapshot: ShelvedSnapshot,
): Promise<void> {
  const { signal, progress } = working
  const { manifest, folder, id } = snapshot
  const file = join(folder, archiveName)
  const found = await hashFile(file, { signal, progress, label: 'checking the archive', total: manifest.bytes })
  if (found.bytes !== manifest.bytes || found.sha256 !== manifest.sha256) {
    throw new DevstackError({
      kind: 'state',
      code: 'SNAPSHOT_DAMAGED',
      message: `The snapshot ${id} is damaged: ${archiveName} is not what was written.`,
      hint: 'Use another snapshot: devstack run snapshot:list',
      place: { file },
    })
  }
  await checkArchive(
    readFrames({ file, ...framesOf(manifest), signal, progress, label: 'checking the archive' }),
    manifest.volumes.map((volume) => volume.folder),
  )
}

const framesOf = ({ frames, rawBytes }: SnapshotManifest) => ({ frames, rawBytes })

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
  const { runtime, signal, progress, log } = working
  const started = Date.now()
  const { snapshot, image, running } = options
  const { manifest, folder } = snapshot
  for (const { name, labels: own } of manifest.volumes) await runtime.ensureVolume({ name, labels: own }, { signal })
  await withVolumes(working, { image, volumes: manifest.volumes, readOnly: false }, async (helper) => {
    const tar = readFrames({
      ...{ file: join(folder, archiveName), ...framesOf(manifest), signal, progress, label: 'volumes' },
    })
    const stdin = Readable.from(tar, { objectMode: false })
    const script = `find ${root} -mindepth 2 -delete && tar --extract --numeric-owner --same-permissions --directory=${root} --file=- && sync -f ${root}`
    const { exitCode, stderr } = await runtime.exec(helper.id, { command: ['sh', '-c', script], stdin, signal })
    if (exitCode !== 0) throw tarFailed(exitCode, stderr)
  })
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
