/** Volumes as an archive and back, by a helper container that has them mounted. */
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { DevstackError, type ServiceHandle } from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { checkArchive } from './archive-check.ts'
import { FileSink, hashFile } from './files.ts'
import { FrameWriter, readFrames } from './frames.ts'
import type { Working } from './options.ts'
import { withScratch } from './scratch.ts'
import { archiveName, type ShelvedSnapshot, type SnapshotManifest } from './snapshot-shelf.ts'

/** Any image of the stack has a tar. */
export async function helperImage(working: Working): Promise<string> {
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

/** All volumes as one archive. */
export async function writeArchive(
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

/** Replaces what is in the volumes by an archive that was checked. */
export async function readArchive(
  working: Working,
  { snapshot, image }: { readonly snapshot: ShelvedSnapshot; readonly image: string },
): Promise<void> {
  const { runtime, signal, progress } = working
  const { manifest, folder } = snapshot
  await withVolumes(working, { image, volumes: manifest.volumes, readOnly: false }, async (helper) => {
    const tar = readFrames({
      ...{ file: join(folder, archiveName), ...framesOf(manifest), signal, progress, label: 'volumes' },
    })
    const stdin = Readable.from(tar, { objectMode: false })
    const script = `find ${root} -mindepth 2 -delete && tar --extract --numeric-owner --same-permissions --directory=${root} --file=- && sync -f ${root}`
    const { exitCode, stderr } = await runtime.exec(helper.id, { command: ['sh', '-c', script], stdin, signal })
    if (exitCode !== 0) throw tarFailed(exitCode, stderr)
  })
}
