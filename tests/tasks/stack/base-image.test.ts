import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Shell } from 'zx'
import { baseImage, ensureBaseImage, type ImageStore } from '../../../tasks/stack/base-image.ts'
import type { Host } from '../../../tasks/stack/host.ts'
import { refusal } from '../../support/refusal.ts'

const host: Host = {
  platform: 'linux',
  architecture: 'x64',
  release: { ID: 'debian' },
  nodeVersion: '24.0.0',
  root: true,
  systemd: false,
  cpus: 2,
  memoryBytes: 2 ** 33,
  diskFreeBytes: 2 ** 36,
  programs: { 'apt-get': '/usr/bin/apt-get', mmdebstrap: '/usr/bin/mmdebstrap' },
}
const signal = new AbortController().signal
const empty: ImageStore = {
  image: async () => undefined,
  pull: async () => {
    throw new Error('no route to the registry')
  },
  importImage: async () => ({ id: 'sha256:imported' }),
}
const unused = (() => assert.unreachable('a command was run')) as unknown as Shell

const base = suite('base image')

base('is left alone when it is there', async () => {
  const images = { ...empty, image: async () => ({ id: 'sha256:there' }) }
  const found = await ensureBaseImage({ $: unused, images, host, log: () => undefined, signal })
  assert.equal(found, { id: 'sha256:there', reference: baseImage, origin: 'present' })
})

base('is pulled where that works', async () => {
  const images = { ...empty, pull: async () => ({ id: 'sha256:pulled' }) }
  const found = await ensureBaseImage({ $: unused, images, host, log: () => undefined, signal })
  assert.is(found.origin, 'pulled')
})

base('is built from packages where it can not be pulled, and says why', async () => {
  const said: string[] = []
  const ran: string[] = []
  const $ = (async (pieces: TemplateStringsArray) => {
    ran.push(pieces.join('…'))
    // no tar is made: the import below fails on reading it, so give it nothing to read
  }) as unknown as Shell
  const images: ImageStore = {
    ...empty,
    importImage: async (tar) => {
      tar.on('error', () => undefined)
      return { id: 'sha256:imported' }
    },
  }
  const found = await ensureBaseImage({ $, images, host, log: (text) => said.push(text), signal })
  assert.equal(found, { id: 'sha256:imported', reference: baseImage, origin: 'built' })
  assert.equal(ran, ['mmdebstrap --variant=minbase bookworm …'])
  assert.match(said.join('\n'), /building .* since it can not be pulled \(no route to the registry\)/)
})

base('is refused with a remedy where it can not be built', async () => {
  for (const change of [{ root: false }, { release: { ID: 'fedora' } }] satisfies Partial<Host>[]) {
    const options = { $: unused, images: empty, host: { ...host, ...change }, log: () => undefined, signal }
    const error = await refusal(() => ensureBaseImage(options))
    assert.is(error.code, 'BASE_IMAGE_UNAVAILABLE')
    assert.match(error.hint ?? '', 'docker pull')
  }
})

base('tells what a failed build wrote', async () => {
  const $ = (async () => {
    throw Object.assign(new Error('exit code: 25'), { stderr: 'E: no mirror\n' })
  }) as unknown as Shell
  const error = await refusal(() =>
    ensureBaseImage({ $, images: empty, host, log: () => undefined, signal, pull: false }),
  )
  assert.is(error.code, 'BASE_IMAGE_BUILD_FAILED')
  assert.equal(error.details, ['E: no mirror'])
})

base.run()
