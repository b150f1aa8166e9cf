import { address, extraHosts } from './addresses.ts'
import { build } from './build.ts'
import { deploy } from './deploy.ts'
import { healthcheck } from './healthcheck.ts'
import { grants, tmpfs, volumes } from './mounts.ts'
import { engineName, image } from './names.ts'
import { expose, ports } from './ports.ts'
import {
  bytes,
  command,
  count,
  duration,
  type Fields,
  fields,
  filled,
  flag,
  ignored,
  integer,
  list,
  many,
  numeric,
  pairs,
  type Reader,
  record,
  refuse,
  textual,
  typeError,
  unique,
  unsupportedError,
  word,
} from './readers.ts'
import { composeError, isNull, mapAt, type Node, scalarText, short } from './tree.ts'

const dependencyFields = fields({
  condition: word('service_started', 'service_healthy', 'service_completed_successfully'),
  required: flag,
  restart: flag,
})

const dependsOn: Reader = (node, path) => {
  const defaults = { condition: 'service_started', required: true, restart: false }
  if (node.kind === 'list') {
    const names = list(filled)(node, path) as string[]
    return Object.fromEntries(names.map((name) => [name, defaults]))
  }
  return record((item, at) => ({ ...defaults, ...(isNull(item) ? {} : dependencyFields(item, at)) }))(node, path)
}

const attachmentFields = fields({
  aliases: unique(list(filled)),
  ipv4_address: address(4),
  ipv6_address: address(6),
  priority: integer,
  link_local_ips: refuse(),
  mac_address: refuse(),
  driver_opts: refuse(),
  interface_name: refuse(),
  gw_priority: refuse(),
})

const serviceNetworks: Reader = (node, path) => {
  if (node.kind === 'list')
    return Object.fromEntries((list(filled)(node, path) as string[]).map((name) => [name, { aliases: [] }]))
  return record((item, at) => ({ aliases: [], ...(isNull(item) ? {} : attachmentFields(item, at)) }))(node, path)
}

const networkMode: Reader = (node, path) => {
  const found = filled(node, path) as string
  if (['host', 'none', 'bridge'].includes(found) || /^(service|container):./.test(found)) return found
  throw composeError('VALUE', `${path} can not be "${short(found)}"`, {
    at: node,
    hint: 'It may be host, none, bridge, service:<name> or container:<name>; networks of your own stand under networks:',
  })
}

/** `ipc` and `pid`: a namespace of the host or of another service. */
function namespaceMode(...words: readonly string[]): Reader {
  return (node, path) => {
    const found = filled(node, path) as string
    if (words.includes(found) || /^(service|container):./.test(found)) return found
    throw composeError('VALUE', `${path} can not be "${short(found)}"`, {
      at: node,
      hint: `It may be ${words.join(', ')}, service:<name> or container:<name>`,
    })
  }
}

const restart: Reader = (node, path) => {
  const found = scalarText(node.kind === 'scalar' ? node : raiseType(node, path, 'a restart policy'))
  // Unquoted `no` is false to a YAML 1.1 reader.
  if (found === 'false') return 'no'
  if (/^(no|always|unless-stopped|on-failure(:\d{1,9})?)$/.test(found)) return found
  throw composeError('VALUE', `${path} can not be "${short(found)}"`, {
    at: node,
    hint: 'It may be "no", always, unless-stopped, on-failure or on-failure:<times>',
  })
}

function raiseType(node: Node, path: string, wanted: string): never {
  throw typeError(node, path, wanted)
}

const ulimit: Reader = (node, path) => {
  if (node.kind === 'scalar') {
    const value = integer(node, path)
    return { soft: value, hard: value }
  }
  const read = fields({ soft: integer, hard: integer })(node, path)
  if (read['soft'] === undefined || read['hard'] === undefined)
    throw composeError('VALUE', `${path} needs both soft and hard`, { at: node })
  return { soft: read['soft'], hard: read['hard'] }
}

const deviceFields = fields({ source: filled, target: filled, permissions: filled })

const device: Reader = (node, path) => {
  if (node.kind === 'map') {
    const { source, target = source, permissions = 'rwm' } = deviceFields(node, path)
    if (source === undefined) throw composeError('VALUE', `${path} has no source`, { at: node })
    return { source, target, permissions }
  }
  const line = filled(node, path) as string
  const [source = '', target = source, permissions = 'rwm', ...more] = line.split(':')
  if (!source.startsWith('/')) throw unsupportedError(`The device "${short(line)}" of ${path}`, node)
  if (more.length > 0 || !target.startsWith('/') || !/^[rwm]{1,3}$/.test(permissions)) {
    throw composeError('VALUE', `${path} is no device: "${short(line)}"`, {
      at: node,
      hint: 'Write "/dev/host:/dev/container:rwm"',
    })
  }
  return { source, target, permissions }
}

/** One per path inside; the last one counts. */
const devices: Reader = (node, path) => {
  const found = list(device)(node, path) as { target: string }[]
  return [...new Map(found.map((one) => [one.target, one])).values()]
}

const logging = fields({ driver: filled, options: record(textual) })

const pullPolicy: Reader = (node, path) => {
  const found = textual(node, path) as string
  if (/^(daily|weekly|every_.+)$/.test(found)) throw unsupportedError(`${path} "${short(found)}"`, node)
  const known = word('always', 'never', 'missing', 'if_not_present', 'build')(node, path)
  return known === 'if_not_present' ? 'missing' : known
}

const one: Reader = (node, path) => {
  if (count(node, path) !== 1)
    throw unsupportedError(`${path} other than 1`, node, 'Write one service for each container')
  return undefined
}

const links: Reader = (node, path) =>
  (list(filled)(node, path) as string[]).map((link) => {
    const [service = '', alias] = link.split(':')
    if (alias !== undefined && alias !== service)
      throw unsupportedError(
        `The alias of "${short(link)}" in ${path}`,
        node,
        `Give ${service} an alias under its networks`,
      )
    return service
  })

const user: Reader = (node, path) => {
  const found = textual(node, path) as string
  if (found.trim() === '') throw composeError('EMPTY_VALUE', `${path} is empty`, { at: node })
  return found
}

const serviceTable: Fields = {
  image,
  build,
  command,
  entrypoint: command,
  environment: pairs((name, node) => {
    const { environment } = node.source
    return Object.hasOwn(environment, name) ? environment[name] : undefined
  }),
  labels: pairs(),
  depends_on: dependsOn,
  links,
  ports,
  expose,
  volumes,
  tmpfs,
  networks: serviceNetworks,
  network_mode: networkMode,
  configs: grants('/'),
  secrets: grants('/run/secrets/'),
  container_name: engineName,
  hostname: filled,
  domainname: filled,
  platform: filled,
  pull_policy: pullPolicy,
  user,
  working_dir: filled,
  restart,
  stop_signal: filled,
  stop_grace_period: duration,
  healthcheck,
  deploy,
  scale: one,
  profiles: unique(list(filled)),
  init: flag,
  tty: flag,
  stdin_open: flag,
  privileged: flag,
  read_only: flag,
  cap_add: unique(list(filled)),
  cap_drop: unique(list(filled)),
  security_opt: unique(list(filled)),
  group_add: unique(list(textual)),
  sysctls: pairs(),
  ulimits: record(ulimit),
  devices,
  extra_hosts: extraHosts,
  dns: unique(many(filled)),
  dns_search: unique(many(filled)),
  shm_size: bytes,
  mem_limit: bytes,
  mem_reservation: bytes,
  memswap_limit: bytes,
  cpus: numeric({ minimum: 0 }),
  cpu_shares: count,
  cpu_quota: count,
  cpu_period: count,
  cpuset: textual,
  pids_limit: integer,
  oom_score_adj: integer,
  ipc: namespaceMode('host', 'private', 'shareable', 'none'),
  pid: namespaceMode('host'),
  logging,
  // What `docker compose up` prints and watches; nothing about the container.
  attach: ignored,
  develop: ignored,
  // Read before this table is used.
  env_file: ignored,
  label_file: ignored,
  extends: ignored,
  annotations: refuse(),
  blkio_config: refuse(),
  cgroup: refuse(),
  cgroup_parent: refuse(),
  cpu_count: refuse(),
  cpu_percent: refuse(),
  cpu_rt_period: refuse(),
  cpu_rt_runtime: refuse(),
  credential_spec: refuse(),
  device_cgroup_rules: refuse(),
  dns_opt: refuse(),
  external_links: refuse('Attach both containers to one external network instead'),
  gpus: refuse(),
  isolation: refuse(),
  mac_address: refuse(),
  mem_swappiness: refuse(),
  models: refuse(),
  oom_kill_disable: refuse(),
  post_start: refuse('Write a task that needs the service instead'),
  pre_stop: refuse('Write a task that needs the service instead'),
  provider: refuse(),
  pull_refresh_after: refuse(),
  runtime: refuse(),
  storage_opt: refuse(),
  use_api_socket: refuse('Mount the socket under volumes: instead'),
  userns_mode: refuse(),
  uts: refuse(),
  volumes_from: refuse('Name the volume and mount it in both services'),
}

const serviceFields = fields(serviceTable)

/** One service in its normalized form, without `name` and `place`. */
export function readService(node: Node, path: string): Record<string, unknown> {
  const read = serviceFields(node, path)
  const map = node.kind === 'map' ? node : mapAt(node, new Map())
  if (read['image'] === undefined && read['build'] === undefined) {
    throw composeError('IMAGE', `${path} has neither image nor build`, { at: node, hint: 'Add image: name:tag' })
  }
  if (read['network_mode'] !== undefined && read['networks'] !== undefined) {
    throw composeError('NETWORK_MODE', `${path} has both network_mode and networks`, {
      at: map.entries.get('network_mode') ?? node,
      hint: 'Keep one of the two',
    })
  }
  return read
}
