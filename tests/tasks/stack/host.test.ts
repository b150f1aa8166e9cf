import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { findPrograms, isDebianFamily, parseOsRelease, readHost } from '../../../tasks/stack/host.ts'

const host = suite('host')

host('reads os-release with its quotes, comments and escapes', () => {
  const text = [
    '# a comment',
    'NAME="Debian GNU/Linux"',
    "ID='debian'",
    'VERSION_ID=12',
    'MOTTO="say \\"hi\\" for \\$5"',
    'not a line',
    '',
  ]
  assert.equal(parseOsRelease(text.join('\n')), {
    NAME: 'Debian GNU/Linux',
    ID: 'debian',
    VERSION_ID: '12',
    MOTTO: 'say "hi" for $5',
  })
})

host('knows what is made of Debian', () => {
  assert.ok(isDebianFamily({ ID: 'debian' }))
  assert.ok(isDebianFamily({ ID: 'ubuntu', ID_LIKE: 'debian' }))
  assert.ok(isDebianFamily({ ID: 'linuxmint', ID_LIKE: 'ubuntu debian' }))
  assert.not(isDebianFamily({ ID: 'fedora' }))
  assert.not(isDebianFamily({ ID: 'notdebian', ID_LIKE: 'rhel fedora' }))
  assert.not(isDebianFamily({}))
})

host('finds programs on the search path, the first one winning', () => {
  const folder = mkdtempSync(join(tmpdir(), 'host-'))
  try {
    writeFileSync(join(folder, 'podman'), '')
    const found = findPrograms(['podman', 'no-such-program'], `${folder}:/usr/bin`)
    assert.equal(found, { podman: join(folder, 'podman') })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

host('measures this machine, also for a folder that is not there yet', () => {
  const read = readHost('/no/such/folder/yet')
  assert.is(read.platform, process.platform)
  assert.ok(read.memoryBytes > 0)
  assert.ok(read.cpus >= 1)
  assert.ok(read.diskFreeBytes >= 0)
  assert.equal(JSON.parse(JSON.stringify(read)), read)
})

host.run()
