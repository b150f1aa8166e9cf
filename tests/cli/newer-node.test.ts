import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { temporaryFolder } from '../support/temporary.ts'

const starting = suite('a newer Node')

const module_ = new URL('../../bin/newer-node.js', import.meta.url).href

/** What a system whose Node is too old does in a folder with this program in place of the newer one. */
async function started(program: { readonly text: string; readonly mode: number } | undefined) {
  const folder = await temporaryFolder('devstack-node-')
  try {
    const node = join(folder.path, 'node_modules', 'node', 'bin', 'node')
    if (program) {
      mkdirSync(dirname(node), { recursive: true })
      writeFileSync(node, program.text)
      chmodSync(node, program.mode)
    }
    const script = `import(${JSON.stringify(module_)}).then((newer) => newer.startWithNewerNode(${JSON.stringify(folder.path)}))`
    const env = { ...process.env, DEVSTACK_NEWER_NODE: '' }
    return spawnSync(process.execPath, ['-e', script], { cwd: folder.path, env, encoding: 'utf8' })
  } finally {
    await folder.remove()
  }
}

starting('ends as the command does that it runs', async () => {
  const { status, stdout } = await started({ text: '#!/bin/sh\necho started\nexit 7\n', mode: 0o755 })
  assert.is(stdout, 'started\n')
  assert.is(status, 7)
  assert.is((await started({ text: '#!/bin/sh\nkill -TERM $$\n', mode: 0o755 })).status, 143)
})

starting('says so when there is none, or one that can not be started', async () => {
  const none = await started(undefined)
  assert.is(none.status, 2)
  assert.match(none.stderr, /devstack needs Node .*\n.*npm install/)
  const barred = await started({ text: '', mode: 0o644 })
  assert.is(barred.status, 2, barred.stderr)
  assert.match(barred.stderr, /^\/.*node can not be started: .*EACCES\n.*npm rebuild node/)
})

starting.run()
