import { isIP } from 'node:net'
import { filled, list, many, type Reader, record, text, textual } from './readers.ts'
import { composeError, type Node, short } from './tree.ts'

/** An address of this version of the Internet Protocol. */
export function address(version: 4 | 6): Reader {
  return (node, path) => {
    const found = text(node, path) as string
    if (isIP(found) === version) return found
    throw composeError('ADDRESS', `${path} is no IPv${version} address: "${short(found)}"`, { at: node })
  }
}

/** `host:address` lines; the map form may give several addresses to a host. */
export const extraHosts: Reader = (node, path) => {
  const lines: string[] = []
  const add = (host: string, value: string, at: Node) => {
    const bare = value.replace(/^\[(.*)\]$/, '$1')
    if (host === '' || (isIP(bare) === 0 && bare !== 'host-gateway')) {
      throw composeError('ADDRESS', `${path} maps "${short(host)}" to "${short(value)}", which is no IP address`, {
        at,
        hint: 'Write "name=10.0.0.1" or "name=host-gateway"',
      })
    }
    lines.push(`${host}:${bare}`)
  }
  if (node.kind === 'list') {
    for (const line of list(filled)(node, path) as string[]) {
      const split = line.includes('=') ? line.indexOf('=') : line.indexOf(':')
      add(line.slice(0, Math.max(split, 0)).trim(), line.slice(split + 1).trim(), node)
    }
  } else {
    const hosts = record(many(textual))(node, path) as Record<string, string[]>
    for (const [host, addresses] of Object.entries(hosts)) for (const one of addresses) add(host, one, node)
  }
  return [...new Set(lines)]
}
