import { homedir } from 'node:os'
import { isAbsolute, resolve } from 'node:path'
import {
  bytes,
  count,
  fields,
  filled,
  flag,
  ignored,
  items,
  many,
  mode,
  type Reader,
  refuse,
  text,
  textual,
  typeError,
  unsupportedError,
  word,
} from './readers.ts'
import { composeError, type Node, short } from './tree.ts'

/** An absolute path for one that counts from the file's own folder; `~` is the user's home. */
export function resolvePath(path: string, node: Node): string {
  if (path === '~' || path.startsWith('~/')) return resolve(homedir(), path.slice(2))
  return resolve(node.source.directory, path)
}

/** A path in a file, made absolute. */
export const path: Reader = (node, at) => {
  const found = filled(node, at) as string
  if (found.includes('\0')) throw composeError('VALUE', `${at} holds a NUL character`, { at: node })
  return resolvePath(found, node)
}

/** Service `volumes:`, short and long, one per target; the last one counts. */
export const volumes: Reader = (node, at) => {
  const found = new Map<string, unknown>()
  for (const [index, item] of items(node, at).entries()) {
    const name = `${at}[${index}]`
    const mount = item.kind === 'map' ? longMount(item, name) : shortMount(item, name)
    found.set(String(mount['target']), mount)
  }
  return [...found.values()]
}

const longFields = fields({
  type: word('bind', 'volume', 'tmpfs', 'npipe', 'cluster', 'image'),
  source: text,
  target: filled,
  read_only: flag,
  // Only ever meant something to Docker Desktop on macOS, where it is a no-op by now.
  consistency: ignored,
  bind: fields({
    create_host_path: flag,
    propagation: refuse(),
    selinux: refuse(),
    recursive: refuse(),
  }),
  volume: fields({ nocopy: flag, subpath: refuse(), labels: refuse() }),
  tmpfs: fields({ size: bytes, mode }),
  image: refuse(),
})

function longMount(node: Node, at: string): Record<string, unknown> {
  const { source, ...read } = longFields(node, at)
  const type = read['type']
  if (type === undefined)
    throw composeError('MOUNT', `${at} has no type`, { at: node, hint: 'Add type: volume, bind or tmpfs' })
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs') throw unsupportedError(`${at}.type ${type}`, node)
  const target = containerPath(read['target'], node, at)
  if (type === 'bind') {
    if (typeof source !== 'string' || source === '')
      throw composeError('MOUNT', `${at} is a bind mount without a source`, { at: node })
    const create = (read['bind'] as { create_host_path?: boolean } | undefined)?.create_host_path ?? true
    return {
      ...read,
      source: resolvePath(source, node),
      target,
      read_only: read['read_only'] ?? false,
      bind: { create_host_path: create },
    }
  }
  if (type === 'tmpfs') {
    if (source !== undefined) throw composeError('MOUNT', `${at} is a tmpfs and can have no source`, { at: node })
    if (read['read_only']) throw unsupportedError(`${at}.read_only of a tmpfs`, node)
    return { ...read, target, read_only: false }
  }
  return { ...read, ...(source ? { source } : {}), target, read_only: read['read_only'] ?? false }
}

function shortMount(node: Node, at: string): Record<string, unknown> {
  const line = textual(node, at) as string
  if (typeof (node as { value: unknown }).value !== 'string')
    throw typeError(node, at, 'a mount such as "data:/var/lib/data"')
  const parts = line.split(':')
  if (parts.length > 3 || parts.some((part) => part === '') || line.includes('\0')) {
    throw composeError('MOUNT', `${at} is no mount: "${short(line)}"`, {
      at: node,
      hint: 'Write "source:/target" or "source:/target:ro"',
    })
  }
  const [first, second, options] = parts
  if (second === undefined) return { type: 'volume', target: containerPath(first, node, at), read_only: false }
  let readOnly = false
  let copy = true
  for (const option of options?.split(',') ?? []) {
    if (option === 'ro') readOnly = true
    else if (option === 'nocopy') copy = false
    else if (!['rw', 'cached', 'consistent', 'delegated'].includes(option)) {
      if (['z', 'Z', 'shared', 'slave', 'private', 'rshared', 'rslave', 'rprivate'].includes(option))
        throw unsupportedError(`The option ":${option}" of ${at}`, node)
      throw composeError('MOUNT', `${at} has an unknown option ":${short(option)}"`, {
        at: node,
        hint: 'ro and rw are known',
      })
    }
  }
  const target = containerPath(second, node, at)
  const isPath = isAbsolute(first!) || first!.startsWith('.') || first!.startsWith('~')
  if (isPath) {
    return {
      type: 'bind',
      source: resolvePath(first!, node),
      target,
      read_only: readOnly,
      bind: { create_host_path: true },
    }
  }
  return { type: 'volume', source: first, target, read_only: readOnly, ...(copy ? {} : { volume: { nocopy: true } }) }
}

function containerPath(target: unknown, node: Node, at: string): string {
  if (typeof target === 'string' && target.startsWith('/') && !target.includes('\0')) {
    return target.length > 1 ? target.replace(/\/+$/, '') || '/' : target
  }
  const what =
    target === undefined ? 'has no target' : `has the target "${short(String(target))}", which is no absolute path`
  throw composeError('MOUNT', `${at} ${what}`, { at: node })
}

/** Service `tmpfs:` as `{ target, size?, mode?, uid?, gid? }`. */
export const tmpfs: Reader = (node, at) => {
  const found = new Map<string, unknown>()
  for (const mount of many(tmpfsMount)(node, at) as { target: string }[]) found.set(mount.target, mount)
  return [...found.values()]
}

const tmpfsMount: Reader = (node, at) => {
  const line = text(node, at) as string
  const colon = line.indexOf(':')
  const target = containerPath(colon === -1 ? line : line.slice(0, colon), node, at)
  const options: Record<string, unknown> = {}
  for (const option of colon === -1 ? [] : line.slice(colon + 1).split(',')) {
    const [name = '', value = ''] = option.split('=')
    const part = { ...node, value, raw: value } as Node
    if (name === 'size') options['size'] = bytes(part, `${at} size`)
    else if (name === 'mode') options['mode'] = mode(part, `${at} mode`)
    else if (name === 'uid' || name === 'gid') options[name] = count(part, `${at} ${name}`)
    else if (name !== 'rw' && name !== '') throw unsupportedError(`The option "${short(name)}" of ${at}`, node)
  }
  return { target, ...options }
}

const modeHint = 'The file is mounted as it is: set owner and mode on the file itself'
const byName = { source: filled, target: filled, uid: refuse(modeHint), gid: refuse(modeHint), mode: refuse(modeHint) }
const grantFields = fields(byName)

/** Service `configs:` or `secrets:` as `{ source, target }`, the target absolute, one per target. */
export function grants(directory: '/' | '/run/secrets/'): Reader {
  return (node, at) => {
    const found = new Map<string, unknown>()
    for (const [index, item] of items(node, at).entries()) {
      const name = `${at}[${index}]`
      const read = item.kind === 'map' ? grantFields(item, name) : { source: filled(item, name) }
      const { source, target } = read as { source?: string; target?: string }
      if (source === undefined) throw composeError('MOUNT', `${name} has no source`, { at: item })
      const file = target ?? source
      const mount = { ...read, source, target: file.startsWith('/') ? file : `${directory}${file}` }
      found.set(mount.target, mount)
    }
    return [...found.values()]
  }
}
