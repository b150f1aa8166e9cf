/** Who holds a port of this machine: a container by the engine's listing, a process by /proc (Linux, proc(5)). */
import { readdir, readFile, readlink } from 'node:fs/promises'
import { type ContainerSummary, labels } from './runtime.ts'

/** Who listens on a port of this machine. */
export type PortHolder =
  | { readonly kind: 'container'; readonly name: string; readonly project?: string }
  | { readonly kind: 'process'; readonly pid: number; readonly command: string }
  /** Something listens, and who it is cannot be seen: other users' processes are hidden without root. */
  | { readonly kind: 'unseen' }
  | { readonly kind: 'nobody' }

/** What else can be done about a port that is taken; whoever knows where its number stands adds that. */
export const publishElsewhere = 'or publish another port'

/** Both would receive the same connections: equal, or one of them is every address. */
export function sameAddress(a: string, b: string): boolean {
  const any = new Set(['', '0.0.0.0', '::', '*'])
  return a === b || any.has(a) || any.has(b)
}

/** The process that listens on a TCP port of this machine. */
export async function portHolder(port: number, hostIp = '0.0.0.0'): Promise<PortHolder> {
  const inodes = new Set<string>()
  for (const file of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(file, 'utf8').catch(() => '')
    for (const line of text.split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
      const [address = '', hex = ''] = local.split(':')
      const listening = state === '0A'
      if (listening && inode && Number.parseInt(hex, 16) === port && sameAddress(addressOf(address), hostIp))
        inodes.add(inode)
    }
  }
  if (inodes.size === 0) return { kind: 'nobody' }
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  for (const pid of pids) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1]
      if (inode !== undefined && inodes.has(inode))
        return { kind: 'process', pid: Number(pid), command: await command(pid) }
    }
  }
  return { kind: 'unseen' }
}

/** The holder of a port: the container that publishes it, else the process that listens. `local`: the engine is on this machine. */
export async function holderOf(question: {
  readonly port: number
  readonly hostIp: string
  readonly containers: readonly ContainerSummary[]
  readonly local: boolean
}): Promise<PortHolder> {
  const { port, hostIp, containers, local } = question
  for (const container of containers) {
    if (container.state !== 'running' && container.state !== 'paused') continue
    if (!container.ports.some((binding) => binding.hostPort === port && sameAddress(binding.hostIp, hostIp))) continue
    const project = container.labels[labels.project] ?? container.labels['com.docker.compose.project']
    return { kind: 'container', name: container.name, ...(project !== undefined && { project }) }
  }
  return local ? portHolder(port, hostIp) : { kind: 'unseen' }
}

/** A holder as a clause: `container "x" of project "y" publishes it`. */
export function describeHolder(holder: PortHolder): string {
  switch (holder.kind) {
    case 'container':
      return `container "${holder.name}"${holder.project === undefined ? '' : ` of project "${holder.project}"`} publishes it`
    case 'process':
      return `process ${holder.pid} (${holder.command}) listens there`
    case 'unseen':
      return 'a process that this user cannot see listens there (as root, `ss -ltnp` shows it)'
    case 'nobody':
      return 'it is in use, though nobody seems to listen there now'
  }
}

async function command(pid: string): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = line.split('\0').filter(Boolean)
  if (words.length === 0) return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim()
  // The arguments may hold secrets; the program and its first word say enough.
  return words.slice(0, 2).join(' ').slice(0, 80)
}

/** An address of /proc/net/tcp: hexadecimal, in the machine's byte order (little-endian on all platforms we run on). */
export function addressOf(hex: string): string {
  const bytes = hex.match(/../g)?.map((pair) => Number.parseInt(pair, 16)) ?? []
  if (bytes.length === 4) return bytes.reverse().join('.')
  if (bytes.length !== 16) return ''
  const words = [0, 4, 8, 12].flatMap((at) => bytes.slice(at, at + 4).reverse())
  if (words.every((byte) => byte === 0)) return '::'
  const mapped = words.slice(0, 10).every((byte) => byte === 0) && words[10] === 255 && words[11] === 255
  if (mapped) return words.slice(12).join('.')
  if (words.slice(0, 15).every((byte) => byte === 0) && words[15] === 1) return '::1'
  return Array.from({ length: 8 }, (_, index) => ((words[index * 2]! << 8) | words[index * 2 + 1]!).toString(16)).join(
    ':',
  )
}
