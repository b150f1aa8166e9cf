/** One address of a cluster member. */
export interface Host {
  readonly name: string
  readonly port: number
}

/** `name:port`, an IPv6 name in brackets. */
export function formatHost(host: Host): string {
  return host.name.includes(':') ? `[${host.name}]:${host.port}` : `${host.name}:${host.port}`
}

/**
 * Reads `a:1,b:2,[::1]:3`, the form of libpq's host lists, where each may leave its port to the default. White space
 * around members is allowed. Throws an Error that names the member at fault; an empty list is one.
 */
export function parseHosts(text: string, defaultPort: number): readonly Host[] {
  const members = text
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
  if (members.length === 0) throw new Error('the list of hosts is empty')
  return members.map((member) => {
    const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(member)
    const name = match?.[1] ?? match?.[2]
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    if (name === undefined || port < 1 || port > 65_535) throw new Error(`"${member}" is not a host, or host:port`)
    return { name, port }
  })
}
