/** Address ranges in CIDR notation (RFC 4632). */
import { BlockList, isIP } from 'node:net'

/** Two ranges share an address. Ranges of different families never do, nor do texts that are no ranges. */
export function overlaps(a: string, b: string): boolean {
  const [x, y] = [parse(a), parse(b)]
  if (!x || !y || x.family !== y.family) return false
  return holds(x, y.address) || holds(y, x.address)
}

interface Range {
  readonly address: string
  readonly bits: number
  readonly family: 'ipv4' | 'ipv6'
}

function parse(text: string): Range | undefined {
  const [address = '', bits = ''] = text.split('/')
  const version = isIP(address)
  if (version === 0 || !/^\d{1,3}$/.test(bits)) return undefined
  if (Number(bits) > (version === 4 ? 32 : 128)) return undefined
  return { address, bits: Number(bits), family: version === 4 ? 'ipv4' : 'ipv6' }
}

function holds(range: Range, address: string): boolean {
  const list = new BlockList()
  list.addSubnet(range.address, range.bits, range.family)
  return list.check(address, range.family)
}
