import { dirname, resolve } from 'node:path'
import { type FileRole, readSource, withDotEnv } from './files.ts'
import { interpolateTree } from './interpolate.ts'
import { mergeNodes } from './merge.ts'
import { resolvePath } from './mounts.ts'
import { parseYaml } from './parse.ts'
import { fields, filled, many, refuse, typeError, unsupportedError } from './readers.ts'
import {
  child,
  composeError,
  type Entry,
  type MapNode,
  mapAt,
  type Node,
  type ScalarNode,
  type Spot,
  short,
  toJson,
} from './tree.ts'

type Environment = Readonly<Record<string, string>>

/** One file to read, with what its paths and variables count from. */
export interface FileRequest {
  readonly path: string
  readonly shown?: string
  readonly role: FileRole
  readonly directory: string
  readonly environment: Environment
  readonly namedAt?: Spot
}

const sections = ['services', 'networks', 'volumes', 'configs', 'secrets'] as const
const remote = /^(https?:\/\/|git@|git:\/\/|ssh:\/\/|oci:\/\/)/

/**
 * Reads files and what they include and extend into one tree: interpolated, merged, with no `include` or `extends` left. Each file is
 * read once.
 */
export class Project {
  /** Absolute paths of everything read, in order. */
  readonly files: string[] = []
  /** Variables without a value, each at its first place. */
  readonly unset = new Map<string, ScalarNode>()
  private readonly documents = new Map<string, Promise<readonly MapNode[]>>()

  /** Files as the trees they hold, not interpolated yet; an empty file and a top level that is no map are refused. */
  read(request: FileRequest): Promise<readonly MapNode[]> {
    const key = `${request.path}\0${request.directory}`
    const known = this.documents.get(key)
    if (known) return known
    const reading = this.readFile(request)
    this.documents.set(key, reading)
    return reading
  }

  private async readFile(request: FileRequest): Promise<readonly MapNode[]> {
    const source = await readSource(request)
    if (!this.files.includes(request.path)) this.files.push(request.path)
    const documents = (await parseYaml(source)).filter((node) => node.kind !== 'scalar' || node.value !== null)
    if (documents.length === 0) {
      throw composeError('EMPTY', `The ${request.role} ${source.file} is empty`, {
        place: { file: source.file },
        hint: 'A compose file has at least a services: map',
      })
    }
    for (const node of documents)
      if (node.kind !== 'map') throw typeError(node, 'The top level of a compose file', 'a map')
    return documents as readonly MapNode[]
  }

  /** All requests merged in order, the later over the earlier. `chain` holds the files that are being included. */
  async load(requests: readonly FileRequest[], chain: readonly string[] = []): Promise<MapNode> {
    let merged: MapNode | undefined
    for (const request of requests) {
      for (const document of await this.read(request)) {
        const interpolated = this.interpolate(document)
        const included = await this.include(interpolated, [...chain, request.path])
        const extended = await this.extend(included, merged)
        merged = merged ? (mergeNodes(merged, extended) as MapNode) : extended
      }
    }
    return merged!
  }

  private interpolate(node: MapNode): MapNode {
    return interpolateTree(node, (name, at) => {
      if (!this.unset.has(name)) this.unset.set(name, at)
    }) as MapNode
  }

  private async include(root: MapNode, chain: readonly string[]): Promise<MapNode> {
    const node = child(root, 'include')
    if (!node) return root
    if (node.kind !== 'list') throw typeError(node, 'include', 'a list')
    let result = without(root, 'include')
    for (const [index, item] of node.items.entries()) {
      const { requests } = await this.includeRequests(item, `include[${index}]`)
      for (const request of requests) {
        const at = chain.indexOf(request.path)
        if (at !== -1) throw cycle('include', [...chain.slice(at), request.path], item)
      }
      const included = await this.load(requests, chain)
      result = importSections(result, included, item)
    }
    return result
  }

  private async includeRequests(item: Node, path: string) {
    const short = item.kind === 'map' ? includeFields(item, path) : { path: [filled(item, path)] }
    const {
      path: written,
      project_directory: folder,
      env_file: envFiles,
    } = short as {
      path?: string[]
      project_directory?: string
      env_file?: string[]
    }
    if (!written || written.length === 0) throw composeError('INCLUDE', `${path} has no path`, { at: item })
    for (const one of written)
      if (remote.test(one))
        throw unsupportedError(`The remote file ${one} of ${path}`, item, 'Copy the file here and include the copy')
    const paths = written.map((one) => resolvePath(one, item))
    const directory = folder === undefined ? dirname(paths[0]!) : resolvePath(folder, item)
    const outer = item.source.environment
    let environment: Environment = outer
    if (envFiles) {
      const { parseEnvironment } = await import('./environment.ts')
      let own: Environment = {}
      for (const file of envFiles) {
        const absolute = resolvePath(file, item)
        const source = await readSource({
          path: absolute,
          role: 'env file',
          environment: { ...own, ...outer },
          namedAt: item,
        })
        this.files.push(absolute)
        own = { ...own, ...parseEnvironment(source) }
      }
      environment = { ...own, ...outer }
    } else if (directory !== item.source.directory) {
      const found = await withDotEnv(directory, outer)
      this.files.push(...found.files.filter((file) => !this.files.includes(file)))
      environment = found.environment
    }
    const requests = paths.map(
      (one): FileRequest => ({ path: one, role: 'included file', directory, environment, namedAt: item }),
    )
    return { requests }
  }

  private async extend(root: MapNode, earlier: MapNode | undefined): Promise<MapNode> {
    const services = child(root, 'services')
    if (services?.kind !== 'map') return root
    const resolved = new Map<string, Node>()
    const entries = new Map<string, Entry>()
    for (const [name, entry] of services.entries) {
      const value = await this.extended(name, { root, earlier, resolved, chain: [] })
      entries.set(name, value ? { ...entry, value } : entry)
    }
    return withEntry(root, 'services', mapAt(services, entries))
  }

  private async extended(name: string, scope: ExtendScope): Promise<Node | undefined> {
    const known = scope.resolved.get(name)
    if (known) return known
    const services = child(scope.root, 'services')
    const own = services?.kind === 'map' ? services.entries.get(name)?.value : undefined
    const node = own ?? child(child(scope.earlier, 'services'), name)
    if (!node) return undefined
    const wish = own?.kind === 'map' ? child(own, 'extends') : undefined
    if (own?.kind !== 'map' || !wish) return node
    const path = `services.${name}.extends`
    const { service, file } = (wish.kind === 'map' ? extendsFields(wish, path) : { service: filled(wish, path) }) as {
      service?: string
      file?: string
    }
    if (service === undefined) throw composeError('EXTENDS', `${path} names no service`, { at: wish })
    if (file !== undefined && remote.test(file))
      throw unsupportedError(`The remote file ${file} of ${path}`, wish, 'Copy the file here and extend the copy')
    const here = `${own.source.path}#${name}`
    const chain = [...scope.chain, here]
    const target = file === undefined ? undefined : resolvePath(file, wish)
    const step = `${target ?? own.source.path}#${service}`
    if (chain.includes(step)) throw cycle('extends', [...chain.slice(chain.indexOf(step)), step], wish)
    let next: ExtendScope = { ...scope, chain }
    if (target !== undefined && target !== own.source.path) {
      const root = await this.extendedFile(target, wish)
      next = { root, earlier: undefined, resolved: new Map(), chain }
    }
    const base = await this.extended(service, next)
    if (!base) {
      const { suggest } = await import('../errors.ts')
      const all = child(next.root, 'services')
      const names = all?.kind === 'map' ? [...all.entries.keys()] : []
      const where = target === undefined ? 'this file' : target
      throw composeError(
        'EXTENDS',
        `${path}: there is no service "${short(service)}" in ${where}.${suggest(service, names)}`,
        { at: wish },
      )
    }
    const merged = mergeNodes(base, without(own, 'extends'), ['services', name])
    scope.resolved.set(name, merged)
    return merged
  }

  private async extendedFile(path: string, at: Node): Promise<MapNode> {
    const { environment } = at.source
    const documents = await this.read({
      path,
      role: 'extended file',
      directory: dirname(path),
      environment,
      namedAt: at,
    })
    return documents.map((one) => this.interpolate(one)).reduce((a, b) => mergeNodes(a, b) as MapNode)
  }
}

interface ExtendScope {
  readonly root: MapNode
  /** What earlier files of the same merge gave. */
  readonly earlier: MapNode | undefined
  readonly resolved: Map<string, Node>
  readonly chain: readonly string[]
}

const includeFields = fields({ path: many(filled), project_directory: filled, env_file: many(filled) })
const extendsFields = fields({ service: filled, file: filled, 'x-': refuse() })

function cycle(what: 'include' | 'extends', path: readonly string[], at: Spot) {
  return composeError('CYCLE', `This ${what} goes in a circle: ${path.join(' -> ')}`, {
    at,
    hint: `Remove one of these ${what} entries`,
  })
}

function without(node: MapNode, key: string): MapNode {
  const entries = new Map(node.entries)
  entries.delete(key)
  return mapAt(node, entries)
}

function withEntry(node: MapNode, key: string, value: Node): MapNode {
  const entries = new Map(node.entries)
  const earlier = entries.get(key)
  entries.set(key, { source: value.source, offset: value.offset, ...earlier, value })
  return mapAt(node, entries)
}

/** The resources of an included tree beside those of `root`; one name for two different things is refused. */
function importSections(root: MapNode, included: MapNode, at: Node): MapNode {
  let result = root
  for (const section of sections) {
    const theirs = child(included, section)
    if (theirs?.kind !== 'map') continue
    const own = child(result, section)
    const entries = new Map(own?.kind === 'map' ? own.entries : [])
    for (const [name, entry] of theirs.entries) {
      const mine = entries.get(name)
      if (!mine) entries.set(name, entry)
      else if (JSON.stringify(toJson(mine.value)) !== JSON.stringify(toJson(entry.value))) {
        throw composeError('INCLUDE_CONFLICT', `${section}.${name} stands in two files that are included together`, {
          at: mine.source === at.source ? mine : at,
          hint: 'Rename one, or list both files in one include entry (path: [a, b]) to merge them',
        })
      }
    }
    result = withEntry(result, section, mapAt(own?.kind === 'map' ? own : theirs, entries))
  }
  return result
}

/** Absolute path of a file named on the command line or in a configuration. */
export function absolute(directory: string, file: string): string {
  return resolve(directory, file)
}
