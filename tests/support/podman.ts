/** A Podman service of the test's own: storage, networks and socket in a temporary folder, gone afterwards. */
import { execFile, spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { temporaryFolder } from './temporary.ts'

export type Podman = { readonly address: string; stop(): Promise<void> } | { readonly missing: string }

/** Starts a service; says what is missing where there is no Podman, or not the rights to run one. */
export async function startPodman(): Promise<Podman> {
  const run = promisify(execFile)
  const version = await run('podman', ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
  if (version === undefined) return { missing: 'podman is not installed' }
  if (process.getuid?.() !== 0) return { missing: 'a service of its own needs root here' }
  const folder = await temporaryFolder('rt-podman-')
  const path = (name: string): string => join(folder.path, name)
  // runc and these limits: crun fails on hybrid cgroups, and limits cannot be raised where tests run in containers.
  const runc = await run('sh', ['-c', 'command -v runc']).then(
    () => true,
    () => false,
  )
  await mkdir(path('networks'))
  await writeFile(
    path('containers.conf'),
    [
      '[containers]',
      'default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]',
      '[engine]',
      ...(runc ? ['runtime = "runc"'] : []),
      'cgroup_manager = "cgroupfs"',
      'events_logger = "file"',
      '[network]',
      `network_config_dir = "${path('networks')}"`,
      '',
    ].join('\n'),
  )
  const socket = path('podman.sock')
  const child = spawn(
    'podman',
    [
      '--root',
      path('root'),
      '--runroot',
      path('run'),
      '--tmpdir',
      path('tmp'),
      'system',
      'service',
      '--time=0',
      `unix://${socket}`,
    ],
    { env: { ...process.env, CONTAINERS_CONF: path('containers.conf') }, stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    await ended
    await run('sh', ['-c', 'umount "$0"/root/overlay 2>/dev/null || true', folder.path])
    await folder.remove()
  }
  for (let tries = 0; tries < 300 && child.exitCode === null; tries += 1) {
    if (await answers(socket)) return { address: `unix://${socket}`, stop }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await stop()
  return { missing: `${version} does not start here: ${said.trim().slice(-300)}` }
}

const answers = (socket: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(socket)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => resolve(false))
  })
