import { isIP } from 'node:net'
import { fields, ignored, items, numeric, type Reader, text, textual, typeError, word } from './readers.ts'
import { composeError, type Node, scalarText, short } from './tree.ts'

interface Port {
  readonly target: number
  readonly published?: number
  readonly host_ip?: string
  readonly protocol: string
}

const rangeLimit = 1000

/** `ports:` in all forms as one element a container port; of equal ones the last counts. */
export const ports: Reader = (node, path) => {
  const found = new Map<string, Port>()
  for (const [index, item] of items(node, path).entries()) {
    for (const port of portsOf(item, `${path}[${index}]`)) {
      const { target, published, host_ip, protocol } = port
      found.set(`${host_ip ?? ''}:${published ?? ''}:${target}/${protocol}`, port)
    }
  }
  return [...found.values()]
}

/** Where each published port of `ports:` stands, by number: the item that names it. */
export function publishedAt(node: Node | undefined, path: string): Map<number, Node> {
  const found = new Map<number, Node>()
  if (node === undefined) return found
  for (const item of items(node, path))
    for (const { published } of portsOf(item, path)) if (published) found.set(published, item)
  return found
}

/** `expose:` as texts `80` or `80/udp`. */
export const expose: Reader = (node, path) => {
  const found = items(node, path).flatMap((item, index) => {
    const line = textual(item, `${path}[${index}]`) as string
    const parts = /^([0-9-]+)(?:\/(tcp|udp))?$/.exec(line)
    if (!parts) throw portError(item, `${path}[${index}]`, line)
    const range = rangeOf(parts[1]!, item, `${path}[${index}]`, line)
    return range.map((port) => (parts[2] ? `${port}/${parts[2]}` : String(port)))
  })
  return [...new Set(found)]
}

function portsOf(item: Node, path: string): readonly Port[] {
  if (item.kind === 'map') return [longPort(item, path)]
  if (item.kind !== 'scalar' || item.value === null || typeof item.value === 'boolean')
    throw typeError(item, path, 'a port such as "8080:80"')
  const line = scalarText(item).trim()
  const [rest = '', protocol = 'tcp', ...more] = line.split('/')
  if (more.length > 0) throw portError(item, path, line)
  checkProtocol(protocol.toLowerCase(), item, path, line)
  const parts = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)??(?:([0-9-]*):)?([0-9-]+)$/.exec(rest)
  if (!parts) throw portError(item, path, line)
  const hostIp = parts[1] ?? parts[2]
  checkAddress(hostIp, item, path, line)
  const targets = rangeOf(parts[4]!, item, path, line)
  const published = parts[3] ? rangeOf(parts[3], item, path, line, 0) : []
  if (published.length > 0 && published.length !== targets.length) {
    throw composeError(
      'PORT',
      `${path} maps ${published.length} host ports to ${targets.length} container ports: "${short(line)}"`,
      {
        at: item,
        hint: 'Both ranges must have the same length',
      },
    )
  }
  return targets.map((target, index) => ({
    target,
    protocol: protocol.toLowerCase(),
    ...(published.length > 0 ? { published: published[index]! } : {}),
    ...(hostIp ? { host_ip: hostIp } : {}),
  }))
}

const longFields = fields({
  target: numeric({ integer: true }),
  published: (node, path) => {
    const line = textual(node, path) as string
    if (line === '') return undefined
    const range = rangeOf(line, node, path, line, 0)
    if (range.length === 1) return range[0]
    throw composeError('PORT', `${path} can not be a range: "${short(line)}"`, { at: node })
  },
  host_ip: text,
  protocol: textual,
  app_protocol: text,
  name: text,
  // Swarm's routing mesh aside, both publish the port on this machine.
  mode: (node, path) => void word('host', 'ingress')(node, path),
  'x-': ignored,
})

function longPort(item: Node, path: string): Port {
  const read = longFields(item, path) as Partial<Port>
  const { target, host_ip: hostIp, protocol = 'tcp' } = read
  if (target === undefined) throw composeError('PORT', `${path} has no target`, { at: item, hint: 'Add target: 80' })
  if (target < 1 || target > 65535) throw portError(item, `${path}.target`, String(target))
  checkProtocol(protocol, item, path, protocol)
  checkAddress(hostIp, item, path, hostIp ?? '')
  return { ...read, target, protocol }
}

function checkAddress(address: string | undefined, at: Node, path: string, line: string): void {
  if (address && isIP(address) === 0) throw portError(at, path, line, `"${short(address)}" is no IP address`)
}

function checkProtocol(protocol: string, at: Node, path: string, line: string): void {
  if (protocol === 'tcp' || protocol === 'udp') return
  throw portError(at, path, line, `the protocol "${short(protocol)}" is not supported, tcp and udp are`)
}

function rangeOf(written: string, at: Node, path: string, line: string, minimum = 1): readonly number[] {
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(written)
  if (!parts) throw portError(at, path, line)
  const first = Number(parts[1])
  const last = Number(parts[2] ?? parts[1])
  if (first < minimum || last > 65535) throw portError(at, path, line, 'ports go from 1 to 65535')
  if (last < first) throw portError(at, path, line, 'the range runs backwards')
  if (last - first >= rangeLimit) throw portError(at, path, line, `a range may hold ${rangeLimit} ports`)
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

function portError(at: Node, path: string, line: string, why?: string) {
  return composeError('PORT', `${path} is no port: "${short(line)}"${why ? ` (${why})` : ''}`, {
    at,
    hint: 'Write "8080:80", "127.0.0.1:8080:80/tcp" or "8000-8002:80-82"',
  })
}
