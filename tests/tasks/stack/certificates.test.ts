import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rootCertificates } from 'node:tls'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { extraCertificates } from '../../../tasks/stack/certificates.ts'

const certificates = suite<{ folder: string }>('certificates for builds')

certificates.before.each(async (context) => {
  context.folder = await mkdtemp(join(tmpdir(), 'devstack-certificates-'))
})

certificates.after.each((context) => rm(context.folder, { recursive: true, force: true }))

const publicRoot = rootCertificates[0]!
// Self-signed authorities made for this test alone, valid until 2126.
const own = await readFile(new URL('fixtures/authority.crt', import.meta.url), 'utf8')
const leaf = await readFile(new URL('fixtures/no-authority.crt', import.meta.url), 'utf8')

certificates(
  'takes what the administrator put in the folder, once, without public ones and junk',
  async ({ folder }) => {
    await mkdir(join(folder, 'deep'))
    await writeFile(join(folder, 'a.crt'), `text\n${own}\n${publicRoot}`)
    await writeFile(join(folder, 'deep', 'b.crt'), own)
    await writeFile(join(folder, 'c.crt'), `${leaf}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`)
    await writeFile(join(folder, 'd.pem'), 'not read')
    assert.is(await extraCertificates({ environment: {}, folder }), own.trim())
  },
)

certificates('else takes those of the bundle that the environment names', async ({ folder }) => {
  const bundle = join(folder, 'bundle.pem')
  await writeFile(bundle, `${publicRoot}\n${own}`)
  const environment = { NODE_EXTRA_CA_CERTS: bundle }
  assert.is(await extraCertificates({ environment, folder: join(folder, 'none') }), own.trim())
})

certificates('is empty where there is nothing to add', async ({ folder }) => {
  assert.is(await extraCertificates({ environment: {}, folder }), '')
  assert.is(await extraCertificates({ environment: { NODE_EXTRA_CA_CERTS: join(folder, 'none') }, folder }), '')
})

certificates.run()
