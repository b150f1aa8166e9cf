/**
 * What a container was made from, kept on it as labels: a fingerprint that says whether anything differs, and the spec
 * itself without its secrets, so that a difference can be named.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { type ContainerSpec, labels } from './runtime.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Labels that say who made a container when, not what it is. */
const ownLabels: ReadonlySet<string> = new Set([labels.hash, labels.spec, labels.run, labels.directory])

/** Lists in which order means nothing. */
const unordered: ReadonlySet<string> = new Set([
  'ports',
  'expose',
  'mounts',
  'aliases',
  'extraHosts',
  'capAdd',
  'capDrop',
  'securityOpt',
  'groupAdd',
  'ulimits',
  'devices',
])

/** Lists whose being empty means something: they clear what the image says. */
const meaningfulWhenEmpty: ReadonlySet<string> = new Set(['command', 'entrypoint'])

/**
 * SHA-256 (hexadecimal) over the spec in canonical form: keys sorted, lists sorted where order means nothing, what is
 * undefined, false or empty left out, own labels left out. Equal specs have equal hashes in every process.
 */
export function specHash(spec: ContainerSpec): string {
  return createHash('sha256').update(canonicalText(spec)).digest('hex')
}

const canonicalText = (spec: ContainerSpec): string => JSON.stringify(canonical(spec))

function canonical(spec: ContainerSpec): Json {
  const kept = Object.fromEntries(Object.entries(spec.labels).filter(([name]) => !ownLabels.has(name)))
  return normal({ ...spec, labels: kept } as unknown as Json, '') ?? {}
}

/** Sorted and without what says nothing; undefined when nothing is left. */
function normal(value: Json | undefined, field: string): Json | undefined {
  if (value === undefined || value === null || value === false) return undefined
  if (Array.isArray(value)) {
    const items = (value as readonly Json[]).map((item) => normal(item, '') ?? item)
    if (items.length === 0 && !meaningfulWhenEmpty.has(field)) return undefined
    return unordered.has(field) ? items.toSorted(byText) : items
  }
  if (typeof value === 'object') {
    // An environment variable that is set to nothing is not the same as one that is not set.
    const entries = Object.entries(value as { readonly [key: string]: Json }).toSorted(([a], [b]) => (a < b ? -1 : 1))
    const kept = entries.flatMap(([key, inner]) => {
      const result = normal(inner, key)
      return result === undefined ? [] : [[key, result] as const]
    })
    return kept.length === 0 ? undefined : Object.fromEntries(kept)
  }
  return value
}

const byText = (a: Json, b: Json): number => {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)]
  return x < y ? -1 : x > y ? 1 : 0
}

const secretName =
  /pass(word|wd|phrase)|(^|[^a-z])pass($|[^a-z])|secret|token|api_?key|private_?key|access_?key|credential|(^|[^a-z])auth(orization)?($|[^a-z])|requirepass|_?pwd($|_)/i
const secretUrl = /:\/\/[^/@\s:]*:[^/@\s]+@/

/** A variable, option or label of this name (or with this value) holds something that must not be shown. */
export function looksSecret(name: string, value = ''): boolean {
  return secretName.test(name) || secretUrl.test(value)
}

const maskPrefix = 'devstack:hidden:'

/** A value's stand-in: its HMAC-SHA-256 under a random salt. Tells whether a value is the same, and not what it is. */
function hide(value: string): string {
  const salt = randomBytes(12).toString('hex')
  return `${maskPrefix}${salt}:${createHmac('sha256', salt).update(value).digest('hex')}`
}

const isHidden = (value: unknown): value is string => typeof value === 'string' && value.startsWith(maskPrefix)

function hides(hidden: string, value: string): boolean {
  const [salt = '', digest = ''] = hidden.slice(maskPrefix.length).split(':')
  const expected = Buffer.from(createHmac('sha256', salt).update(value).digest('hex'))
  const given = Buffer.from(digest)
  return expected.length === given.length && timingSafeEqual(expected, given)
}

/** The spec as JSON for the label `devstack.spec`, every secret-looking value replaced by a salted hash. */
export function storedSpec(spec: ContainerSpec): string {
  const secrets = secretsOf(spec)
  const concealed = {
    ...spec,
    environment: concealRecord(spec.environment, secrets),
    labels: concealRecord(
      Object.fromEntries(Object.entries(spec.labels).filter(([name]) => !ownLabels.has(name))),
      secrets,
    ),
    ...(spec.command && { command: concealList(spec.command, secrets) }),
    ...(spec.entrypoint && { entrypoint: concealList(spec.entrypoint, secrets) }),
    ...(spec.healthcheck && {
      healthcheck: { ...spec.healthcheck, test: concealList(spec.healthcheck.test, secrets) },
    }),
    ...(spec.logging && { logging: { ...spec.logging, options: concealRecord(spec.logging.options, secrets) } }),
  }
  return JSON.stringify(concealed)
}

/** The values that must not be shown wherever they stand; very short ones would hide half of everything. */
const secretsOf = (spec: ContainerSpec): readonly string[] =>
  Object.entries(spec.environment)
    .filter(([name, value]) => value.length >= 6 && looksSecret(name, value))
    .map(([, value]) => value)

const holdsSecret = (text: string, secrets: readonly string[]): boolean =>
  secretUrl.test(text) || secrets.some((secret) => text.includes(secret))

function concealRecord(
  record: Readonly<Record<string, string>>,
  secrets: readonly string[],
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => [
      name,
      value !== '' && (looksSecret(name, value) || holdsSecret(value, secrets)) ? hide(value) : value,
    ]),
  )
}

function concealList(list: readonly string[], secrets: readonly string[]): readonly string[] {
  return list.map((item, index) => (isSecretItem(list, index, secrets) ? hide(item) : item))
}

/** `--password`, `x` and `--password=x` and `redis-cli -a x` in one text. */
function isSecretItem(list: readonly string[], index: number, secrets: readonly string[]): boolean {
  const item = list[index]!
  const before = list[index - 1] ?? ''
  if (holdsSecret(item, secrets)) return true
  if (/^--?[\w-]+$/.test(before) && looksSecret(before) && !item.startsWith('-')) return true
  return /(^|\s|--?)[\w-]*(pass|passwd|password|secret|token|requirepass)[\w-]*[=: ]\S/i.test(item)
}

/** Made when it is needed: most starts never come here. */
const storedSchema = () =>
  z.looseObject({
    name: z.string(),
    project: z.string(),
    service: z.string(),
    image: z.string(),
    environment: z.record(z.string(), z.string()),
    labels: z.record(z.string(), z.string()),
    ports: z.array(z.looseObject({ hostIp: z.string(), hostPort: z.number(), containerPort: z.number() })),
    mounts: z.array(z.looseObject({ type: z.string(), target: z.string() })),
    networks: z.array(z.looseObject({ network: z.string(), aliases: z.array(z.string()) })),
    restart: z.looseObject({ name: z.string() }),
  })

/** The spec kept in a container's labels, secrets hidden; undefined when there is none or it cannot be read. */
export function readStoredSpec(of: Readonly<Record<string, string>>): ContainerSpec | undefined {
  const text = of[labels.spec]
  if (text === undefined) return undefined
  try {
    const parsed = storedSchema().safeParse(JSON.parse(text))
    return parsed.success ? (parsed.data as unknown as ContainerSpec) : undefined
  } catch {
    return undefined
  }
}

/** The fields in a person's words. */
const words: Readonly<Record<string, string>> = {
  workingDirectory: 'working directory',
  networkMode: 'network mode',
  extraHosts: 'extra hosts',
  dnsSearch: 'DNS search',
  dns: 'DNS',
  stopSignal: 'stop signal',
  stopGraceMs: 'stop grace period (ms)',
  stdinOpen: 'open stdin',
  readOnly: 'read-only root',
  capAdd: 'added capabilities',
  capDrop: 'dropped capabilities',
  securityOpt: 'security options',
  groupAdd: 'added groups',
  shmSizeBytes: 'shared memory (bytes)',
  memoryBytes: 'memory limit (bytes)',
  memoryReservationBytes: 'memory reservation (bytes)',
  memorySwapBytes: 'memory and swap (bytes)',
  cpuShares: 'CPU shares',
  cpus: 'CPUs',
  cpuset: 'CPU set',
  pidsLimit: 'process limit',
  oomScoreAdj: 'OOM score',
  restart: 'restart policy',
}

/**
 * The fields that differ, in words: `environment PGPORT: 5432 → 5433`, `image: a → b`, `port 8080 added`. Values that look
 * secret are masked. Either side may be a stored spec, whose secrets are hidden; equal secrets then count as equal.
 * Empty exactly when nothing differs.
 */
export function specDifferences(was: ContainerSpec, now: ContainerSpec): string[] {
  const before = canonical(was) as Readonly<Record<string, Json>>
  const after = canonical(now) as Readonly<Record<string, Json>>
  const secrets = [...secretsOf(was), ...secretsOf(now)]
  const found: string[] = []
  for (const field of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
    const [a, b] = [before[field], after[field]]
    if (same(a, b)) continue
    if (isRecord(a ?? {}) && isRecord(b ?? {}) && field !== 'restart')
      found.push(...recordDifferences(field, { a: (a ?? {}) as Fields, b: (b ?? {}) as Fields, secrets }))
    else if (unordered.has(field) || field === 'networks')
      found.push(...listDifferences(field, (a ?? []) as readonly Json[], (b ?? []) as readonly Json[]))
    else found.push(`${words[field] ?? field}: ${show(field, a, secrets)} → ${show(field, b, secrets)}`)
  }
  return found
}

type Fields = Readonly<Record<string, Json>>

const singular: Readonly<Record<string, string>> = { labels: 'label', sysctls: 'sysctl' }

function recordDifferences(
  field: string,
  { a, b, secrets }: { readonly a: Fields; readonly b: Fields; readonly secrets: readonly string[] },
): readonly string[] {
  const found: string[] = []
  for (const key of [...new Set([...Object.keys(a), ...Object.keys(b)])].sort()) {
    if (same(a[key], b[key])) continue
    const name = `${singular[field] ?? words[field] ?? field} ${key}`
    if (a[key] === undefined) found.push(`${name} added: ${show(key, b[key], secrets)}`)
    else if (b[key] === undefined) found.push(`${name} removed`)
    else found.push(`${name}: ${show(key, a[key], secrets)} → ${show(key, b[key], secrets)}`)
  }
  return found
}

function listDifferences(field: string, a: readonly Json[], b: readonly Json[]): readonly string[] {
  const noun = (words[field] ?? field).replace(/s$/, '')
  const gone = a.filter((item) => !b.some((other) => same(item, other)))
  const fresh = b.filter((item) => !a.some((other) => same(item, other)))
  const found = [
    ...gone.map((item) => `${noun} removed: ${describe(field, item)}`),
    ...fresh.map((item) => `${noun} added: ${describe(field, item)}`),
  ]
  return found.length > 0 ? found : [`${words[field] ?? field}: in another order, or repeated`]
}

/** One element of a list as a person writes it. */
function describe(field: string, item: Json): string {
  if (!isRecord(item)) return JSON.stringify(item)
  if (field === 'ports') {
    const suffix = item['protocol'] === 'udp' ? '/udp' : ''
    return `${item['hostIp']}:${item['hostPort'] ?? 0}:${item['containerPort']}${suffix}`
  }
  if (field === 'mounts') {
    const flags = item['readOnly'] === true ? ' (read-only)' : ''
    return `${item['type']} ${item['source'] === undefined ? '' : `${item['source']} at `}${item['target']}${flags}`
  }
  if (field === 'networks') {
    const address = item['ipv4Address'] === undefined ? '' : ` at ${item['ipv4Address']}`
    const aliases = (item['aliases'] as readonly string[] | undefined) ?? []
    return `${item['network']}${address}${aliases.length === 0 ? '' : ` as ${aliases.join(', ')}`}`
  }
  return JSON.stringify(item)
}

/** A value for a person; secrets masked. */
function show(name: string, value: Json | undefined, secrets: readonly string[]): string {
  if (value === undefined) return '(not set)'
  if (isHidden(value)) return '***'
  if (typeof value === 'string') return looksSecret(name, value) || holdsSecret(value, secrets) ? '***' : value || '""'
  if (Array.isArray(value)) {
    const list = value as readonly Json[]
    const texts = list.map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))
    const shown = texts.map((item, index) => (isHidden(item) || isSecretItem(texts, index, secrets) ? '***' : item))
    return `[${shown.join(', ')}]`
  }
  return JSON.stringify(value)
}

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Deep equality in which a hidden value equals what it hides. */
function same(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (a === undefined || b === undefined || a === null || b === null) return false
  if (typeof a === 'string' && typeof b === 'string') {
    if (isHidden(a) && !isHidden(b)) return hides(a, b)
    return isHidden(b) && !isHidden(a) && hides(b, a)
  }
  if (Array.isArray(a) && Array.isArray(b)) {
    const [x, y] = [a as readonly Json[], b as readonly Json[]]
    return x.length === y.length && x.every((item, index) => same(item, y[index]))
  }
  if (isRecord(a) && isRecord(b)) {
    const keys = new Set([...Object.keys(a), ...Object.keys(b)])
    return [...keys].every((key) => same((a as Fields)[key], (b as Fields)[key]))
  }
  return false
}
