import { formatPlace } from '../errors.ts'
import type { ComposeModel, ComposeService } from './schema.ts'
import { formatDuration } from './units.ts'

type Json = Record<string, unknown>

/** What the model warns of, a line each. */
export function formatWarnings({ warnings }: ComposeModel): readonly string[] {
  return warnings.map(({ message, place }) => `Warning: ${message}${place ? ` (${formatPlace(place)})` : ''}.`)
}

/**
 * The resolved model as a compose file that means the same to any implementation of the specification: long forms, absolute paths, no
 * variables left (a dollar sign is written `$$`). What no active profile switches on is not in it. Ends with a line break.
 */
export async function formatConfig(model: ComposeModel, format: 'yaml' | 'json'): Promise<string> {
  const config = escapeDollars(configOf(model))
  if (format === 'json') return `${JSON.stringify(config, undefined, 2)}\n`
  const { stringify } = await import('yaml')
  return stringify(config, {
    aliasDuplicateObjects: false,
    lineWidth: 0,
    version: '1.1',
    compat: 'yaml-1.1',
    schema: 'core',
  })
}

function configOf(model: ComposeModel): Json {
  return pruned({
    name: model.name,
    services: mapped(model.services, serviceOf),
    networks: mapped(model.networks, engineResource),
    volumes: mapped(model.volumes, engineResource),
    configs: mapped(model.configs, fileResource),
    secrets: mapped(model.secrets, fileResource),
    ...model.extensions,
  })
}

function serviceOf(service: ComposeService): Json {
  const {
    name: _name,
    place: _place,
    stop_grace_period,
    healthcheck,
    shm_size,
    deploy,
    ports,
    networks,
    tmpfs,
    command,
    entrypoint,
    ...rest
  } = service
  return pruned({
    ...unfolded(rest),
    // An empty command clears the image's own, so it must stay.
    ...(command ? { command } : {}),
    ...(entrypoint ? { entrypoint } : {}),
    networks: mapped(networks, (one) => pruned(unfolded(one))),
    ports: ports.map((port) => ({
      ...unfolded(port),
      ...(port.published === undefined ? {} : { published: String(port.published) }),
    })),
    tmpfs: tmpfs.map(({ target, ...options }) => {
      const words = Object.entries(options).map(
        ([key, value]) => `${key}=${key === 'mode' ? value.toString(8) : value}`,
      )
      return words.length > 0 ? `${target}:${words.join(',')}` : target
    }),
    ...(stop_grace_period === undefined ? {} : { stop_grace_period: formatDuration(stop_grace_period) }),
    ...(healthcheck ? { healthcheck: healthcheckOf(healthcheck) } : {}),
    ...(shm_size === undefined ? {} : { shm_size: String(shm_size) }),
    ...(deploy ? { deploy: deployOf(deploy) } : {}),
  })
}

/** The specification wants sizes as text here, unlike elsewhere. */
function deployOf(deploy: NonNullable<ComposeService['deploy']>): Json {
  const config = unfolded(deploy)
  if (!isMap(config['resources'])) return config
  const resources = mapped(config['resources'], (part) =>
    isMap(part) && part['memory'] !== undefined ? { ...part, memory: String(part['memory']) } : part,
  )
  return { ...config, resources }
}

function healthcheckOf(healthcheck: NonNullable<ComposeService['healthcheck']>): Json {
  const { test, retries, extensions, ...times } = healthcheck
  const off = test?.[0] === 'NONE'
  return pruned({
    ...(off ? { disable: true } : { test }),
    ...mapped(times, (ms) => formatDuration(ms as number)),
    retries,
    ...extensions,
  })
}

function engineResource(resource: Json): Json {
  const { external, ...rest } = resource
  return pruned({ ...unfolded(rest), ...(external ? { external } : {}) })
}

function fileResource(resource: Json): Json {
  const { content, ...rest } = resource
  return unfolded({ ...rest, ...(resource['environment'] === undefined ? { content } : {}) })
}

/** Maps whose keys are names of the user, so that `extensions` in them is just a name. */
const named = new Set([
  'environment',
  'labels',
  'networks',
  'depends_on',
  'sysctls',
  'ulimits',
  'args',
  'options',
  'driver_opts',
])

/** `extensions` put back beside the other keys, at every depth. */
function unfolded(value: Json): Json {
  const { extensions, ...rest } = value
  const entries = Object.entries(rest).map(([key, one]) => {
    if (Array.isArray(one)) return [key, one.map((item) => (isMap(item) ? unfolded(item) : item))]
    if (!isMap(one)) return [key, one]
    return [key, named.has(key) ? mapped(one, (item) => (isMap(item) ? unfolded(item) : item)) : unfolded(one)]
  })
  return { ...Object.fromEntries(entries), ...(isMap(extensions) ? extensions : {}) }
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function mapped<T>(record: Readonly<Record<string, T>>, change: (value: T) => unknown): Json {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]))
}

/** Without what has no value, and without empty lists and maps that mean the same as nothing. */
function pruned(value: Json): Json {
  return Object.fromEntries(
    Object.entries(value).filter(([key, one]) => {
      if (one === undefined || one === null) return false
      if (typeof one !== 'object' || key === 'command' || key === 'entrypoint' || key.startsWith('x-')) return true
      return Object.keys(one).length > 0
    }),
  )
}

function escapeDollars(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$')
  if (Array.isArray(value)) return value.map(escapeDollars)
  if (typeof value !== 'object' || value === null) return value
  return mapped(value as Json, escapeDollars)
}
