import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { registryLogin, registryOf } from '../../../lib/runtime/docker/credentials.ts'
import { splitReference } from '../../../lib/runtime/docker/images.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const test = suite('logins to registries')
const hub = 'https://index.docker.io/v1/'

test('the registry and the tag of a reference', () => {
  for (const [reference, registry, name, tag] of [
    ['redis', hub, 'redis', 'latest'],
    ['redis:7', hub, 'redis', '7'],
    ['a/b:1', hub, 'a/b', '1'],
    ['docker.io/a/b', hub, 'docker.io/a/b', 'latest'],
    ['ghcr.io/a/b:1', 'ghcr.io', 'ghcr.io/a/b', '1'],
    ['localhost/a', 'localhost', 'localhost/a', 'latest'],
    ['host:5000/a', 'host:5000', 'host:5000/a', 'latest'],
    ['host:5000/a:2', 'host:5000', 'host:5000/a', '2'],
    ['a@sha256:00', hub, 'a@sha256:00', undefined],
  ] as const) {
    assert.is(registryOf(reference), registry, reference)
    assert.equal(splitReference(reference), tag === undefined ? { name } : { name, tag })
  }
})

test('logins of the docker client: kept ones, helpers, none', async () => {
  const folder = await temporaryFolder('rt-login-')
  try {
    const write = (config: object) => writeFile(join(folder.path, '.docker/config.json'), JSON.stringify(config))
    await mkdir(join(folder.path, '.docker'))
    const environment = { PATH: `${folder.path}:${process.env['PATH']}` }
    const login = (reference: string) => registryLogin(reference, { environment, home: folder.path })
    assert.equal(await login('x'), {})
    const auth = Buffer.from('me:se:cret').toString('base64')
    await write({ auths: { [hub]: { auth }, 'ghcr.io': { identitytoken: 'token' }, 'empty.io': {} } })
    assert.equal(await login('x'), { username: 'me', password: 'se:cret', serveraddress: hub })
    assert.equal(await login('ghcr.io/x'), { identitytoken: 'token', serveraddress: 'ghcr.io' })
    assert.equal(await login('empty.io/x'), {})
    assert.equal(await login('other.io/x'), {})
    const helper = join(folder.path, 'docker-credential-rt')
    await writeFile(
      helper,
      '#!/bin/sh\nread -r r\ntest "$r" = known.io || exit 1\necho \'{"Username":"<token>","Secret":"s"}\'\n',
    )
    await chmod(helper, 0o755)
    await write({ credsStore: 'rt', credHelpers: { 'strange.io': 'not-installed' } })
    assert.equal(await login('known.io/x'), { identitytoken: 's', serveraddress: 'known.io' })
    assert.equal(await login('unknown.io/x'), {})
    assert.equal(await login('strange.io/x'), {})
    await write({ auths: 7 })
    assert.equal(await login('x'), {})
  } finally {
    await folder.remove()
  }
})

test.run()
