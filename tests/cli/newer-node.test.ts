import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { temporaryFolder } from '../support/temporary.ts'

const starting = suite('a newer Node')

const module_ = new URL('../../bin/newer-node.js', import.meta.url).href

interface Program {
  readonly text: string
  readonly mode: number
}

/** What a system whose Node is too old does in a folder with this program in place of the newer one. */
function started(program: Program | undefined) {
  return withCommand(program, async (script, options) =>
    spawnSync(process.execPath, ['-e', script], { ...options, encoding: 'utf8' }),
  )
}

async function withCommand<T>(
  program: Program | undefined,
  use: (script: string, options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv }) => Promise<T>,
): Promise<T> {
  const folder = await temporaryFolder('devstack-node-')
  try {
    const node = join(folder.path, 'node_modules', 'node', 'bin', 'node')
    if (program) {
      mkdirSync(dirname(node), { recursive: true })
      writeFileSync(node, program.text)
      chmodSync(node, program.mode)
    }
    const script = `import(${JSON.stringify(module_)}).then((newer) => newer.startWithNewerNode(${JSON.stringify(folder.path)}))`
    return await use(script, { cwd: folder.path, env: { ...process.env, DEVSTACK_NEWER_NODE: '' } })
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

starting('is told of every signal when there is no terminal that tells it', async () => {
  const text = `#!${process.execPath}
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => { console.log(name); process.exit(3) })
setInterval(() => {}, 60_000)
console.log('ready')
`
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const said = await withCommand({ text, mode: 0o755 }, async (script, options) => {
      const child = spawn(process.execPath, ['-e', script], { ...options, stdio: ['ignore', 'pipe', 'ignore'] })
      let output = ''
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk
        if (output === 'ready\n') child.kill(signal)
      })
      const [status] = await once(child, 'close')
      return `${output}${status}`
    })
    assert.is(said, `ready\n${signal}\n3`)
  }
})

starting.run()
