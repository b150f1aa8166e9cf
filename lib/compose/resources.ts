import { isIP } from 'node:net'
import { path as filePath } from './mounts.ts'
import { engineName } from './names.ts'
import {
  fields,
  filled,
  flag,
  ignored,
  list,
  pairs,
  type Reader,
  record,
  refuse,
  text,
  textual,
  unsupportedError,
} from './readers.ts'
import { composeError, isNull, mapAt, type Node, short } from './tree.ts'

/** `external: true`, or the old `external: { name }`. */
const external: Reader = (node, path) => {
  if (node.kind === 'map') return fields({ name: engineName })(node, path)
  return flag(node, path)
}

const subnet: Reader = (node, path) => {
  const found = text(node, path) as string
  const [address = '', bits = ''] = found.split('/')
  const version = isIP(address)
  if (version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)) return found
  throw composeError('ADDRESS', `${path} is no subnet: "${short(found)}"`, { at: node, hint: 'Write 10.20.0.0/24' })
}

const ip: Reader = (node, path) => {
  const found = text(node, path) as string
  if (isIP(found) !== 0) return found
  throw composeError('ADDRESS', `${path} is no IP address: "${short(found)}"`, { at: node })
}

const ipamPool = fields({ subnet, ip_range: subnet, gateway: ip, aux_addresses: refuse() })

const ipam = fields({
  driver: (node, path) => {
    if (textual(node, path) !== 'default') throw unsupportedError(`${path} other than default`, node)
  },
  config: (node, path) => {
    // Two files may each describe a part of the same pool.
    const bySubnet = new Map<unknown, Record<string, unknown>>()
    for (const pool of list(ipamPool)(node, path) as Record<string, unknown>[])
      bySubnet.set(pool['subnet'], { ...bySubnet.get(pool['subnet']), ...pool })
    const pools = [...bySubnet.values()]
    if (pools.length > 1) throw unsupportedError(`More than one pool in ${path}`, node)
    return pools
  },
  options: refuse(),
})

const networkFields = fields({
  name: engineName,
  driver: filled,
  driver_opts: record(textual),
  ipam,
  external,
  internal: flag,
  attachable: flag,
  enable_ipv6: flag,
  enable_ipv4: (node, path) => {
    if (flag(node, path) === false) throw unsupportedError(`${path}: false`, node)
  },
  labels: pairs(),
})

const volumeFields = fields({
  name: engineName,
  driver: filled,
  driver_opts: record(textual),
  external,
  labels: pairs(),
})

const notHere = 'It means something to a swarm only: use file, content or environment'
const swarmExternal: Reader = (node, path) => {
  if (node.kind === 'map' || flag(node, path)) throw unsupportedError(path, node, notHere)
}

const sourced = {
  file: filePath,
  environment: filled,
  external: swarmExternal,
  // A name for `docker config` and `docker secret`, which are not used.
  name: ignored,
  labels: refuse(),
  template_driver: refuse(),
}

const configFields = fields({ ...sourced, content: textual })
const secretFields = fields({ ...sourced, driver: refuse(), driver_opts: refuse() })

function emptyAsMap(node: Node): Node {
  return isNull(node) ? mapAt(node, new Map()) : node
}

/** A network or volume, `external` always said; what exists already can not be described again. */
function engineResource(read: Record<string, unknown>, node: Node, path: string): Record<string, unknown> {
  const { external: outside = false, ...rest } = read
  const oldName = typeof outside === 'object' ? (outside as { name?: string }).name : undefined
  const more = Object.keys(rest).find((key) => key !== 'name' && key !== 'extensions')
  if (outside !== false && more !== undefined) {
    throw composeError('EXTERNAL', `${path} is external and can have no ${more}`, {
      at: (node.kind === 'map' ? node.entries.get(more) : undefined) ?? node,
      hint: `Remove ${more}, or external`,
    })
  }
  return { labels: {}, ...rest, ...(oldName ? { name: oldName } : {}), external: outside !== false }
}

export const network: Reader = (node, path) => engineResource(networkFields(emptyAsMap(node), path), node, path)
export const volume: Reader = (node, path) => engineResource(volumeFields(emptyAsMap(node), path), node, path)

/** A config or secret: exactly one of `file` (absolute), `content` and `environment`. */
export function fileResource(kind: 'config' | 'secret'): Reader {
  const read = kind === 'config' ? configFields : secretFields
  return (node, path) => {
    const found = read(emptyAsMap(node), path)
    const sources = ['file', 'content', 'environment'].filter((key) => found[key] !== undefined)
    if (sources.length === 1) return found
    const what = sources.length === 0 ? 'has no source' : `has both ${sources.join(' and ')}`
    throw composeError('FILE_RESOURCE', `${path} ${what}`, {
      at: node,
      hint: 'Give it one of file, content and environment',
    })
  }
}
