/**
 * Volumes as an archive and back, by tar and zstd in a helper container that has them mounted: at most compressed bytes pass
 * through this process.
 */
import { createReadStream, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type ContainerSpec, DevstackError, formatBytes, formatDuration, type ServiceHandle } from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { ArchiveJudge, listedEntry, listing } from './archive-check.ts'
import { diskFull, FileSink, hashFile } from './files.ts'
import type { Working } from './options.ts'
import { withScratch } from './scratch.ts'
import { archiveName, type ShelvedSnapshot, type SnapshotManifest } from './snapshot-shelf.ts'
import { TextLines } from './text-lines.ts'

/** The image of PostgreSQL has tar and zstd. */
export async function helperImage(working: Working): Promise<string> {
  const containers = await projectContainers(working)
  const own = containers.find((one) => serviceOf(one).startsWith('postgres'))
  const image = own?.imageId ?? 'devstack-postgres'
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
/** Where a folder of this machine is seen in a helper. */
const outside = '/outside'

interface WithVolumes {
  readonly image: string
  readonly volumes: Volumes
  readonly readOnly: boolean
  /** Of this machine, writable in the helper where the engine has such a folder. */
  readonly folder?: string
}

async function withVolumes<T>(
  working: Working,
  options: WithVolumes,
  use: (helper: ServiceHandle) => Promise<T>,
): Promise<T> {
  const { image, volumes, readOnly, folder } = options
  const mounts: ContainerSpec['mounts'][number][] = volumes.map(({ name, folder: within }) => ({
    ...{ type: 'volume', source: name, target: `${root}/${within}`, readOnly, copy: false },
  }))
  if (folder !== undefined) mounts.push({ type: 'bind', source: folder, target: outside, readOnly: false })
  const helper = { image, user: '0:0', entrypoint: ['sleep'], command: ['infinity'], mounts, networkMode: 'none' }
  try {
    return await withScratch(working, helper, use)
  } catch (thrown) {
    const elsewhere = thrown instanceof DevstackError && thrown.code === 'RUNTIME_MOUNT_MISSING'
    if (folder === undefined || !elsewhere) throw thrown
    return withVolumes(working, { image, volumes, readOnly }, use)
  }
}

interface Tar {
  readonly words: readonly string[]
  /** Of zstd. */
  readonly compression: readonly string[]
  readonly label: string
  /** Bytes of the archive before compression, as far as they are known. */
  readonly total: number
  /** An archive to read. */
  readonly file?: string
  /** The archive's place in the helper; default its standard input or output. */
  readonly within?: string
  readonly onOutput?: (chunk: Uint8Array) => void
}

/** Records of 10 KiB between two reports of tar. */
const checkpoint = 800
const record = 10 * 1024

/** tar in a helper. Gives the bytes before compression. */
async function runTar(working: Working, helper: ServiceHandle, options: Tar): Promise<number> {
  const { runtime, signal, progress } = working
  const { words, compression, label, total, file, within = '-', onOutput } = options
  const command = [
    ...['tar', '--numeric-owner', `--file=${within}`, '--totals'],
    ...[`--use-compress-program=zstd ${compression.join(' ')}`],
    ...[`--checkpoint=${checkpoint}`, '--checkpoint-action=echo=%u'],
    ...words,
  ]
  let rawBytes = 0
  const said: string[] = []
  const errors = new TextLines((line) => {
    const records = /^tar: (\d+)$/.exec(line)?.[1]
    const sum = /^Total bytes (?:written|read): (\d+)/.exec(line)?.[1]
    if (records === undefined && sum === undefined) {
      said.push(line)
      return
    }
    rawBytes = sum === undefined ? Number(records) * record : Number(sum)
    progress({ done: rawBytes, ...(total > 0 ? { total: Math.max(total, rawBytes) } : {}), unit: 'bytes', label })
  })
  const stdin = file === undefined ? undefined : createReadStream(file, { highWaterMark: 1 << 18 })
  try {
    const { exitCode } = await runtime.exec(helper.id, {
      command,
      signal,
      ...(stdin ? { stdin } : {}),
      onOutput: (chunk, stream) => {
        if (stream === 'stdout') onOutput?.(chunk)
        else errors.push(chunk)
      },
    })
    errors.end()
    if (exitCode !== 0) throw failed('tar', exitCode, said)
    return rawBytes
  } finally {
    stdin?.destroy()
  }
}

function failed(what: string, exitCode: number, said: readonly string[]): DevstackError {
  if (said.some((line) => line.includes('No space left on device'))) return diskFull(`${what} could not write`, said)
  return new DevstackError({
    kind: 'task',
    code: 'SNAPSHOT_TAR_FAILED',
    message: `${what} ended with exit code ${exitCode}.`,
    details: said.slice(-10),
    hint: 'Run the command again. If it took a snapshot: what should be frozen may be writing, see: devstack run status',
  })
}

export interface WriteArchive {
  readonly image: string
  readonly volumes: Volumes
  readonly file: string
  /** Keeps what writes into the volumes from it while `use` reads them, and only so long. */
  readonly still: <T>(use: () => Promise<T>) => Promise<T>
}

/**
 * All volumes as one archive. Where the engine sees this machine's files, tar writes it in its place: on the way through the
 * engine it would take a third longer, in which the stack is frozen.
 */
export async function writeArchive(
  working: Working,
  { volumes, image, file, still }: WriteArchive,
): Promise<Pick<SnapshotManifest, 'bytes' | 'sha256' | 'rawBytes'>> {
  const { runtime, signal, progress } = working
  const sink = new FileSink(file)
  const within = `${outside}/${basename(file)}`
  try {
    return await withVolumes(working, { image, volumes, readOnly: true, folder: dirname(file) }, async (helper) => {
      const direct = (await runtime.exec(helper.id, { command: ['test', '-w', within], signal })).exitCode === 0
      const sizes = await runtime.exec(helper.id, { command: ['du', '-sb', root], signal })
      const pack: Tar = {
        // sockets are no data, and tar leaves them out with a warning
        words: ['--create', `--directory=${root}`, '--warning=no-file-ignored', ...volumes.map(({ folder }) => folder)],
        compression: ['-1', '--threads=0'],
        label: 'volumes',
        total: Number(/^\d+/.exec(sizes.stdout)?.[0] ?? 0),
        ...(direct ? { within } : { onOutput: (chunk) => sink.write(chunk) }),
      }
      const rawBytes = await still(() => runTar(working, helper, pack))
      const streamed = sink.finish()
      if (!direct) return { ...streamed, rawBytes }
      const total = statSync(file).size
      return { ...(await hashFile(file, { signal, progress, label: 'checksum', total })), rawBytes }
    })
  } catch (thrown) {
    sink.abandon()
    throw thrown
  }
}

/** Every byte as written, and no entry that leads out of the volumes. Throws SNAPSHOT_DAMAGED and SNAPSHOT_ESCAPES. */
export async function checkSnapshot(working: Working, snapshot: ShelvedSnapshot): Promise<void> {
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
  const judge = new ArchiveJudge(manifest.volumes.map((volume) => volume.folder))
  const lines = new TextLines((line) => judge.entry(listedEntry(line)))
  const image = await helperImage(working)
  await withVolumes(working, { image, volumes: [], readOnly: true }, (helper) =>
    runTar(working, helper, {
      words: listing,
      compression: ['--decompress'],
      label: 'looking at every entry',
      total: manifest.rawBytes,
      file,
      onOutput: (chunk) => lines.push(chunk),
    }),
  )
  lines.end()
  judge.end()
}

/** Replaces what is in the volumes by an archive that was checked. */
export async function readArchive(
  working: Working,
  { snapshot, image }: { readonly snapshot: ShelvedSnapshot; readonly image: string },
): Promise<void> {
  const { runtime, signal, log } = working
  const { manifest, folder } = snapshot
  const started = Date.now()
  await withVolumes(working, { image, volumes: manifest.volumes, readOnly: false }, async (helper) => {
    const run = async (...command: readonly [string, ...string[]]): Promise<void> => {
      const { exitCode, stderr } = await runtime.exec(helper.id, { command, signal })
      if (exitCode !== 0) throw failed(command[0], exitCode, stderr.trim().split('\n'))
    }
    await run('find', root, '-mindepth', '2', '-delete')
    await runTar(working, helper, {
      words: ['--extract', `--directory=${root}`, '--same-permissions'],
      compression: ['--decompress'],
      label: 'volumes',
      total: manifest.rawBytes,
      file: join(folder, archiveName),
    })
    await run('sync', '--file-system', ...manifest.volumes.map((volume) => `${root}/${volume.folder}`))
  })
  log(
    `${manifest.volumes.length} volumes, ${formatBytes(manifest.rawBytes)}, unpacked in ${formatDuration(Date.now() - started)}`,
  )
}
