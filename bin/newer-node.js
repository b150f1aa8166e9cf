// The system's Node is too old: the npm package `node` may have brought one along.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'

/** Starts devstack again with a Node from node_modules of this folder or one above; says what to do when there is none. */
export async function startWithNewerNode(root) {
  const found = candidates(process.cwd())
    .concat(candidates(root))
    .find((file) => existsSync(file))
  if (!found || process.env['DEVSTACK_NEWER_NODE'] === found) {
    process.stderr.write(
      `devstack needs Node 22.18 or newer; this is ${process.versions.node}.\n  → npm install --save-dev node@24 brings one along, or install it from nodejs.org.\n`,
    )
    process.exitCode = 2
    return
  }
  try {
    await run(found)
  } catch (thrown) {
    process.stderr.write(
      `${found} can not be started: ${thrown.message}\n  → npm rebuild node brings it anew; it must be executable here.\n`,
    )
    process.exitCode = 2
  }
}

async function run(node) {
  const child = spawn(node, ['--', ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, DEVSTACK_NEWER_NODE: node, PATH: `${dirname(node)}:${process.env['PATH'] ?? ''}` },
  })
  // the terminal tells both; anybody else tells only this process
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  const onTerminal = [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY)
  process.on('SIGINT', () => void (onTerminal || child.kill('SIGINT')))
  await new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
      resolve(undefined)
    })
  })
}

function candidates(from) {
  const files = []
  for (let directory = from; ; directory = dirname(directory)) {
    files.push(join(directory, 'node_modules', 'node', 'bin', 'node'))
    if (dirname(directory) === directory) return files
  }
}
