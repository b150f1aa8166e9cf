import { extraHosts } from './addresses.ts'
import { path, resolvePath } from './mounts.ts'
import { image } from './names.ts'
import { fields, filled, flag, list, pairs, type Reader, refuse, text, typeError, unsupportedError } from './readers.ts'
import { composeError, type Node } from './tree.ts'

const remote = /^(https?:\/\/|git:\/\/|git@|ssh:\/\/|github\.com\/|docker-image:|oci-layout:|service:|target:)/

const context: Reader = (node, at) => {
  const found = filled(node, at) as string
  if (remote.test(found))
    throw unsupportedError(`The remote context of ${at}`, node, 'Check the sources out and name their folder')
  return path(node, at)
}

const platforms: Reader = (node, at) => {
  const found = list(filled)(node, at) as string[]
  if (found.length > 1) throw unsupportedError(`More than one platform in ${at}`, node)
  return found
}

const buildFields = fields({
  context,
  dockerfile: filled,
  dockerfile_inline: text,
  args: pairs((name, node) =>
    Object.hasOwn(node.source.environment, name) ? node.source.environment[name] : undefined,
  ),
  labels: pairs(),
  target: filled,
  platforms,
  network: filled,
  no_cache: flag,
  pull: flag,
  extra_hosts: extraHosts,
  tags: list(image),
  additional_contexts: refuse(),
  attest: refuse(),
  cache_from: refuse(),
  cache_to: refuse(),
  entitlements: refuse(),
  isolation: refuse(),
  privileged: refuse(),
  provenance: refuse(),
  sbom: refuse(),
  secrets: refuse(),
  shm_size: refuse(),
  ssh: refuse(),
  ulimits: refuse(),
})

/** `build:`, short or long; the context absolute. */
export const build: Reader = (node, at) => {
  if (node.kind === 'list') throw typeError(node, at, 'a folder or a map')
  const read = node.kind === 'scalar' ? { context: context(node, at) } : buildFields(node, at)
  if (read.dockerfile !== undefined && read.dockerfile_inline !== undefined) {
    throw composeError('BUILD', `${at} has both dockerfile and dockerfile_inline`, {
      at: node,
      hint: 'Keep one of the two',
    })
  }
  return { ...read, context: read.context ?? resolvePath('.', node as Node) }
}
