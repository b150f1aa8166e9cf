/** The base image that all of the stack's images share, made from Debian's packages where it can not be pulled. */
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Shell } from 'zx'
import { DevstackError, messageOf } from '../../lib/index.ts'
import { type Host, isDebianFamily } from './host.ts'

export const baseImage = 'debian:bookworm-slim'

/** The part of a runtime that is needed here. */
export interface ImageStore {
  image(reference: string, call?: { readonly signal?: AbortSignal }): Promise<{ readonly id: string } | undefined>
  pull(reference: string, call?: { readonly signal?: AbortSignal }): Promise<{ readonly id: string }>
  importImage(
    tar: NodeJS.ReadableStream,
    reference: string,
    call?: { readonly signal?: AbortSignal },
  ): Promise<{ readonly id: string }>
}

export interface BaseImageOptions {
  readonly $: Shell
  readonly images: ImageStore
  readonly host: Host
  readonly log: (text: string) => void
  readonly signal: AbortSignal
  /** Tried first; default true. */
  readonly pull?: boolean
}

export interface BaseImage {
  readonly id: string
  readonly reference: string
  readonly origin: 'present' | 'pulled' | 'built'
}

/**
 * Makes sure that the base image is there: as it is, else pulled, else built with mmdebstrap as root on Debian or Ubuntu.
 * Throws BASE_IMAGE_UNAVAILABLE when none of these can be done.
 */
export async function ensureBaseImage(options: BaseImageOptions): Promise<BaseImage> {
  const { images, host, log, signal } = options
  const present = await images.image(baseImage, { signal })
  if (present) return { id: present.id, reference: baseImage, origin: 'present' }
  let cause: unknown
  if (options.pull ?? true) {
    try {
      log(`pulling ${baseImage}`)
      const { id } = await images.pull(baseImage, { signal })
      return { id, reference: baseImage, origin: 'pulled' }
    } catch (thrown) {
      signal.throwIfAborted()
      cause = thrown
    }
  }
  const why = cause === undefined ? 'it is missing' : `it can not be pulled (${messageOf(cause)})`
  if (!host.root || !isDebianFamily(host.release) || host.programs['apt-get'] === undefined) {
    throw new DevstackError({
      kind: 'runtime',
      code: 'BASE_IMAGE_UNAVAILABLE',
      message: `The base image ${baseImage} is not here: ${why}.`,
      hint: `Pull it (docker pull ${baseImage}), or run this as root on Debian or Ubuntu, where it is built from packages.`,
      cause,
    })
  }
  log(`building ${baseImage} from Debian's packages, since ${why}`)
  const id = await buildBaseImage(options)
  return { id, reference: baseImage, origin: 'built' }
}

/** Makes a root file system with mmdebstrap and imports it. Needs root. Gives the image's id. */
async function buildBaseImage(options: Omit<BaseImageOptions, 'pull'>): Promise<string> {
  const { $, images, host, signal } = options
  const folder = await mkdtemp(join(tmpdir(), 'devstack-base-'))
  const tar = join(folder, 'base.tar')
  try {
    if (host.programs['mmdebstrap'] === undefined) {
      const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=120']
      await $`${apt} update -q`
      await $`${apt} install -q -y --no-install-recommends mmdebstrap debian-archive-keyring`
    }
    await $`mmdebstrap --variant=minbase bookworm ${tar}`
    const { id } = await images.importImage(createReadStream(tar), baseImage, { signal })
    return id
  } catch (cause) {
    signal.throwIfAborted()
    if (cause instanceof DevstackError) throw cause
    throw new DevstackError({
      kind: 'runtime',
      code: 'BASE_IMAGE_BUILD_FAILED',
      message: `The base image ${baseImage} could not be built from Debian's packages.`,
      details: wordsOf(cause).trimEnd().split('\n').slice(-20),
      hint: 'Check that Debian packages can be reached (apt-get update), then run the command again.',
      cause,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What a failed command wrote, else the message. */
function wordsOf(cause: unknown): string {
  const written = typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr) : ''
  return written.trim() === '' ? messageOf(cause) : written
}
