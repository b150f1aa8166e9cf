import { resolve } from 'node:path'
import type { Place } from '../errors.ts'
import { checkModel } from './check.ts'
import { parseEnvironment } from './environment.ts'
import { defaultProjectName, readSource, withDotEnv } from './files.ts'
import { interpolateTree } from './interpolate.ts'
import { resolvePath } from './mounts.ts'
import { publishedAt } from './ports.ts'
import { absolute, type FileRequest, Project } from './project.ts'
import { fields, filled, flag, ignored, refuse, typeError, word } from './readers.ts'
import { fileResource, network, volume } from './resources.ts'
import type { ComposeModel } from './schema.ts'
import { readService } from './service.ts'
import { child, composeError, isNull, type MapNode, mapAt, type Node, placeOf, type Spot, short } from './tree.ts'

export interface LoadOptions {
  /** Compose files, later ones over earlier ones; relative ones count from `directory`. */
  readonly files: readonly string[]
  /** Absolute folder of the project: relative paths in the files and `.env` count from it. */
  readonly directory: string
  /** For interpolation; wins over `.env`. */
  readonly environment: Readonly<Record<string, string>>
  /** Active profiles, `*` for all; default: COMPOSE_PROFILES. */
  readonly profiles?: readonly string[]
  readonly projectName?: string
}

type Json = Record<string, unknown>

/**
 * Compose files as one resolved, validated, frozen model: merged, included, extended and interpolated, every short form made long,
 * profiles applied, paths absolute. Whatever is wrong is a DevstackError of kind `compose` that names file, line and column. Reads
 * files and nothing else. Source: the Compose Specification, https://github.com/compose-spec/compose-spec.
 */
export async function loadCompose(options: LoadOptions): Promise<ComposeModel> {
  const directory = resolve(options.directory)
  if (options.files.length === 0) {
    throw composeError('FILE_MISSING', `No compose file is named for ${directory}`, {
      hint: 'Name one, or create compose.yaml',
    })
  }
  const schema = import('./schema.ts')
  const { environment, files } = await withDotEnv(directory, options.environment)
  const project = new Project()
  project.files.push(...files)
  const requests = requestsFor(options.files, directory, environment)
  const name = await projectName(project, requests, options.projectName ?? environment['COMPOSE_PROJECT_NAME'])
  environment['COMPOSE_PROJECT_NAME'] = name ?? defaultProjectName(directory)
  const root = await project.load(requests)
  const profiles = options.profiles ?? (environment['COMPOSE_PROFILES'] ?? '').split(',').map((one) => one.trim())
  const { model, places, spots } = await readModel(root, new Set(profiles), project)
  const warnings = [...project.unset].map(([variable, at]) => ({
    message: `The variable ${variable} is not set: it counts as empty`,
    place: placeOf(at),
  }))
  const whole = {
    ...(name === undefined ? {} : { name }),
    ...model,
    files: [...new Set(project.files)],
    places,
    warnings,
  }
  const { modelSchema } = await schema
  const checked = modelSchema.safeParse(whole, { jitless: true })
  if (!checked.success) {
    const issue = checked.error.issues[0]!
    const place = nearestPlace(issue.path.map(String), places)
    throw composeError(
      'INVALID',
      `${issue.path.map(String).join('.')} is not valid: ${issue.message}`,
      place ? { place } : {},
    )
  }
  checkModel(checked.data, spots)
  return freeze(checked.data) as ComposeModel
}

function requestsFor(
  files: readonly string[],
  directory: string,
  environment: LoadOptions['environment'],
): readonly FileRequest[] {
  return files.map((file) => ({
    path: absolute(directory, file),
    shown: file,
    role: 'compose file',
    directory,
    environment,
  }))
}

/** The `name:` of compose files, the last one that has any; undefined without. Throws as `loadCompose` does. */
export async function composeName(
  options: Pick<LoadOptions, 'files' | 'directory' | 'environment'>,
): Promise<string | undefined> {
  const { environment } = await withDotEnv(options.directory, options.environment)
  return projectName(new Project(), requestsFor(options.files, options.directory, environment), undefined)
}

/** The project's name as far as somebody gave one; of several files the last one counts. */
async function projectName(project: Project, requests: readonly FileRequest[], given: string | undefined) {
  let at: Node | undefined
  for (const request of requests) for (const document of await project.read(request)) at = child(document, 'name') ?? at
  const found =
    at && given === undefined
      ? (filled(
          interpolateTree(at, () => {}),
          'name',
        ) as string)
      : given
  if (!found) return undefined
  if (/^[a-z0-9][a-z0-9_-]*$/.test(found)) return found
  throw composeError('NAME', `"${short(found)}" can not be a project's name`, {
    ...(at && given === undefined ? { at } : {}),
    hint: 'It begins with a letter or digit and holds a-z, 0-9, _ and - only',
  })
}

const topLevel = fields({
  // Long obsolete; every implementation takes it and looks away.
  version: ignored,
  name: ignored,
  include: ignored,
  services: ignored,
  networks: ignored,
  volumes: ignored,
  configs: ignored,
  secrets: ignored,
  models: refuse(),
})

/** Where things stand, as nodes: for checks that look at the whole. */
export type Spots = ReadonlyMap<string, Spot>

async function readModel(root: MapNode, profiles: ReadonlySet<string>, project: Project) {
  const { extensions } = topLevel(root, '')
  const spots = new Map<string, Spot>()
  const section = (key: string, read: (node: Node, path: string) => unknown) => readSection(root, key, read, spots)
  const networks = section('networks', network)
  const volumes = section('volumes', volume)
  const configs = section('configs', fileResource('config'))
  const secrets = section('secrets', fileResource('secret'))
  for (const [kind, resources] of [
    ['configs', configs],
    ['secrets', secrets],
  ] as const)
    resolveContents(kind, resources, root)
  const services: Json = {}
  const disabled: Record<string, string[]> = {}
  const nodes = sectionMap(root, 'services')
  if (!nodes || nodes.entries.size === 0) {
    throw composeError('NO_SERVICES', 'There are no services', { at: nodes ?? root, hint: 'Add a services: map' })
  }
  for (const [name, entry] of nodes.entries) {
    const path = `services.${name}`
    if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/.test(name)) {
      throw composeError('NAME', `"${short(name)}" can not be a service's name`, {
        at: entry,
        hint: 'Letters, digits, ., _ and - are allowed',
      })
    }
    if (entry.value.tag === 'reset') continue
    spots.set(path, entry)
    const node = isNull(entry.value) ? mapAt(entry.value, new Map()) : entry.value
    const read = readService(node, path) as Json
    if (node.kind === 'map') for (const [key, one] of node.entries) spots.set(`${path}.${key}`, one)
    const wanted = (read['profiles'] ?? []) as string[]
    if (wanted.length > 0 && !profiles.has('*') && !wanted.some((one) => profiles.has(one))) {
      disabled[name] = wanted
      continue
    }
    for (const [port, item] of publishedAt(child(node, 'ports'), `${path}.ports`))
      spots.set(`${path}.ports:${port}`, item)
    services[name] = await completeService(name, entry, node, read, project)
  }
  for (const service of Object.values(services) as { depends_on: Record<string, { required: boolean }> }[]) {
    // `required: false` on what is not there is no dependency at all.
    const there = Object.entries(service.depends_on).filter(
      ([other, one]) => one.required || Object.hasOwn(services, other),
    )
    service.depends_on = Object.fromEntries(there)
  }
  const usesDefault = Object.values(services).some((one) =>
    Object.hasOwn((one as { networks: Json }).networks, 'default'),
  )
  if (usesDefault && !networks['default']) networks['default'] = { labels: {}, external: false }
  const places = Object.fromEntries([...spots].map(([path, spot]) => [path, placeOf(spot)]))
  const model = { services, networks, volumes, configs, secrets, disabled, ...(extensions ? { extensions } : {}) }
  return { model, places, spots: spots as Spots }
}

function sectionMap(root: MapNode, key: string): MapNode | undefined {
  const node = child(root, key)
  if (node === undefined) return undefined
  if (node.kind !== 'map') throw typeError(node, key, 'a map')
  return node
}

function readSection(
  root: MapNode,
  key: string,
  read: (node: Node, path: string) => unknown,
  spots: Map<string, Spot>,
) {
  const found: Json = {}
  for (const [name, entry] of sectionMap(root, key)?.entries ?? []) {
    if (entry.value.tag === 'reset' || name.startsWith('x-')) continue
    spots.set(`${key}.${name}`, entry)
    found[name] = read(entry.value, `${key}.${name}`)
  }
  return found
}

/** The texts of configs and secrets that come from a variable. */
function resolveContents(kind: string, resources: Json, root: MapNode): void {
  for (const [name, resource] of Object.entries(resources) as [string, Json][]) {
    const variable = resource['environment'] as string | undefined
    if (variable === undefined) continue
    const node = child(child(root, kind), name)!
    const { environment } = node.source
    if (!Object.hasOwn(environment, variable)) {
      throw composeError('VARIABLE_REQUIRED', `${kind}.${name} takes its text from ${variable}, which is not set`, {
        at: node,
        hint: `Set ${variable} in the environment or in .env`,
      })
    }
    resource['content'] = environment[variable]
  }
}

async function completeService(name: string, entry: Spot, node: Node, read: Json, project: Project): Promise<Json> {
  const fromFiles = await variablesOf(child(node, 'env_file'), `services.${name}.env_file`, 'env file', project)
  const labelsFromFiles = await variablesOf(
    child(node, 'label_file'),
    `services.${name}.label_file`,
    'label file',
    project,
  )
  const { links, ...rest } = read
  const implied = [...((links ?? []) as string[])]
  for (const key of ['network_mode', 'ipc', 'pid'])
    if (typeof read[key] === 'string' && read[key].startsWith('service:'))
      implied.push(read[key].slice('service:'.length))
  const dependency = { condition: 'service_started', required: true, restart: false }
  return {
    ports: [],
    expose: [],
    volumes: [],
    tmpfs: [],
    configs: [],
    secrets: [],
    profiles: [],
    ...rest,
    name,
    place: placeOf(entry),
    networks: read['networks'] ?? (read['network_mode'] === undefined ? { default: { aliases: [] } } : {}),
    environment: { ...fromFiles, ...(read['environment'] as Json | undefined) },
    labels: { ...labelsFromFiles, ...(read['labels'] as Json | undefined) },
    depends_on: {
      ...Object.fromEntries(implied.map((one) => [one, dependency])),
      ...(read['depends_on'] as Json | undefined),
    },
  }
}

const envFileFields = fields({ path: filled, required: flag, format: word('raw') })

/** Variables of `env_file` (or labels of `label_file`), the later files over the earlier. */
async function variablesOf(node: Node | undefined, path: string, role: 'env file' | 'label file', project: Project) {
  let found: Record<string, string> = {}
  if (!node) return found
  const items = node.kind === 'list' ? node.items.filter((item) => item.tag !== 'reset') : [node]
  for (const [index, item] of items.entries()) {
    const at = node.kind === 'list' ? `${path}[${index}]` : path
    const wish = item.kind === 'map' ? envFileFields(item, at) : { path: filled(item, at) }
    const { path: written, required = true, format } = wish as { path?: string; required?: boolean; format?: 'raw' }
    if (written === undefined) throw composeError('ENV_FILE', `${at} has no path`, { at: item })
    const file = resolvePath(written, item)
    const environment = { ...found, ...item.source.environment }
    try {
      const source = await readSource({ path: file, role, environment, namedAt: item })
      if (!project.files.includes(file)) project.files.push(file)
      found = { ...found, ...parseEnvironment(source, format) }
    } catch (error) {
      const { code } = error as { code?: string }
      if (required || (code !== 'COMPOSE_ENV_FILE_MISSING' && code !== 'COMPOSE_FILE_MISSING')) throw error
    }
  }
  return found
}

function nearestPlace(path: readonly string[], places: Readonly<Record<string, Place>>): Place | undefined {
  for (let length = path.length; length > 0; length -= 1) {
    const key = path.slice(0, length).join('.')
    if (Object.hasOwn(places, key)) return places[key]
  }
  return undefined
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const one of Object.values(value)) freeze(one)
  return Object.freeze(value)
}
