/** What the machine is that devstack runs on: read once, passed on as plain data so that decisions about it are pure. */
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/** The machine as facts. Sizes in bytes. */
export interface Host {
  readonly platform: NodeJS.Platform
  /** Node's names: `x64`, `arm64`. */
  readonly architecture: string
  /** Of /etc/os-release, by key; empty where there is none. */
  readonly release: Readonly<Record<string, string>>
  readonly nodeVersion: string
  readonly root: boolean
  /** systemd is the running init, so services are started through it. */
  readonly systemd: boolean
  readonly cpus: number
  readonly memoryBytes: number
  readonly diskFreeBytes: number
  /** Programs looked for and found, by name, with their paths. */
  readonly programs: Readonly<Record<string, string>>
}

const programNames = ['apt-get', 'dockerd', 'docker', 'podman', 'mmdebstrap', 'systemctl'] as const

/** Looks at this machine. `directory` is where free disk space is asked for; a folder above it serves when it is missing. */
export function readHost(directory: string, environment: NodeJS.ProcessEnv = process.env): Host {
  return {
    platform: process.platform,
    architecture: process.arch,
    release: readRelease(),
    nodeVersion: process.versions.node,
    root: process.getuid?.() === 0,
    // as sd_booted(3) decides it
    systemd: existsSync('/run/systemd/system'),
    cpus: availableParallelism(),
    memoryBytes: availableMemory(),
    diskFreeBytes: freeBytes(directory),
    programs: findPrograms(programNames, environment['PATH'] ?? ''),
  }
}

/** Whether packages come from Debian or from a distribution made of it, as os-release(5) tells by ID and ID_LIKE. */
export function isDebianFamily(release: Readonly<Record<string, string>>): boolean {
  const names = [release['ID'] ?? '', ...(release['ID_LIKE'] ?? '').split(' ')]
  return names.includes('debian') || names.includes('ubuntu')
}

/** Reads os-release(5): `KEY=value` lines, values optionally in shell quotes. Other lines are passed over. */
export function parseOsRelease(text: string): Readonly<Record<string, string>> {
  const release: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line.trim())
    if (!match) continue
    const [, key, raw] = match as unknown as [string, string, string]
    const quoted = /^(["'])(.*)\1$/.exec(raw)
    release[key] = quoted ? quoted[2]!.replaceAll(/\\(["'$`\\])/g, '$1') : raw
  }
  return release
}

/** The first executable of each name on the search path; /usr/sbin and /sbin are searched too, since a user's PATH often lacks them. */
export function findPrograms(names: readonly string[], searchPath: string): Readonly<Record<string, string>> {
  const folders = [...searchPath.split(delimiter).filter(Boolean), '/usr/sbin', '/sbin']
  const found: Record<string, string> = {}
  for (const name of names) {
    const path = folders.map((folder) => join(folder, name)).find((candidate) => existsSync(candidate))
    if (path !== undefined) found[name] = path
  }
  return found
}

function readRelease(): Readonly<Record<string, string>> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release'])
    if (existsSync(path)) return parseOsRelease(readFileSync(path, 'utf8'))
  return {}
}

/** Physical memory, or the limit of the control group devstack runs in where that is lower. */
function availableMemory(): number {
  const limit = process.constrainedMemory()
  return limit > 0 && limit < totalmem() ? limit : totalmem()
}

function freeBytes(directory: string): number {
  let folder = directory
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}
