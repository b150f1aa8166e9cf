/** A Podman service of the test's own: storage, networks and socket in a temporary folder, gone afterwards. */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
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
  const storage = ['--root', path('root'), '--runroot', path('run'), '--tmpdir', path('tmp')]
  const env = { ...process.env, CONTAINERS_CONF: path('containers.conf') }
  const child = spawn('podman', [...storage, 'system', 'service', '--time=0', `unix://${socket}`], {
    // its monitors leave a file `oom` where it was started when a container runs out of memory
    cwd: folder.path,
    env,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async (): Promise<void> => {
    // What the scenarios did not remove, so that its rules and interfaces go with it.
    await run('podman', [...storage, 'rm', '--all', '--force', '--time=0'], { env }).catch(() => undefined)
    child.kill('SIGTERM')
    await ended
    await endMonitors(folder.path)
    await unmount(folder.path)
    await folder.remove()
  }
  for (let tries = 0; tries < 300 && child.exitCode === null; tries += 1) {
    if (await answers(socket)) return { address: `unix://${socket}`, stop }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await stop()
  return { missing: `${version} does not start here: ${said.trim().slice(-300)}` }
}

/** Podman lets the monitor of every exec live five minutes longer; without its storage it would only make a mess. */
async function endMonitors(folder: string): Promise<void> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
    if (!line.includes(folder) || !/conmon/.test(line)) continue
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // It ended by itself.
    }
  }
}

/** Unmounts everything below a folder, the innermost first. */
async function unmount(folder: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1] ?? '')
  for (const point of mounts.filter((mount) => mount.startsWith(`${folder}/`)).reverse())
    await promisify(execFile)('umount', ['--lazy', point]).catch(() => undefined)
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
