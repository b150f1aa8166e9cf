/**
 * Whether this machine can carry the stack: each thing looked at gives one finding with its level and, when something is
 * wrong, the remedy. Decisions are pure; what is read from the machine comes in as arguments. Findings are JSON-safe.
 */
import { createServer } from 'node:net'
import type { EngineInfo } from '../../lib/index.ts'
import type { Host } from './host.ts'

export type Level = 'ok' | 'warning' | 'error'
export type Check = 'os' | 'architecture' | 'node' | 'engine' | 'memory' | 'processors' | 'disk' | 'port'

export interface Finding {
  readonly check: Check
  /** `error`: the stack can not run; `warning`: it runs, but slower or untried. */
  readonly level: Level
  /** What was found and what is needed, in one sentence. */
  readonly message: string
  readonly remedy?: string
}

/** Below `least` is an error, below `good` a warning. */
export interface Threshold {
  readonly least: number
  readonly good: number
}

export interface Thresholds {
  /** `major.minor` or `major.minor.patch`. */
  readonly node: string
  readonly dockerApi: string
  readonly podman: string
  readonly memoryBytes: Threshold
  readonly processors: Threshold
  readonly diskBytes: Threshold
}

const gib = 2 ** 30

/**
 * What the whole HA stack takes: idle its twelve containers use about 250 MiB and its images about 1 GiB; a failover or a
 * restore takes a multiple of that for a while.
 */
const thresholds: Thresholds = {
  node: '22.18.0',
  dockerApi: '1.41',
  podman: '4.0.0',
  memoryBytes: { least: 1.5 * gib, good: 4 * gib },
  processors: { least: 1, good: 2 },
  diskBytes: { least: 3 * gib, good: 10 * gib },
}

/** Operating system, architecture, Node, memory, processors and disk. With `engine`, its machine counts where it is the smaller one. */
export function checkHost(host: Host, engine?: EngineInfo, limits: Thresholds = thresholds): readonly Finding[] {
  const memory = Math.min(host.memoryBytes, engine?.memoryBytes || Number.POSITIVE_INFINITY)
  const processors = Math.min(host.cpus, engine?.cpus || Number.POSITIVE_INFINITY)
  const ofEngine = engine !== undefined && (memory < host.memoryBytes || processors < host.cpus)
  const more = ofEngine ? `Give the engine's machine more (${engine.operatingSystem}).` : 'Use a larger machine, or '
  const fast = `start the small stack: \`devstack run up --fast\`.`
  return [
    checkSystem(host),
    checkArchitecture(host),
    checkNode(host, limits),
    atLeast({
      check: 'memory',
      what: 'of memory',
      found: memory,
      limit: limits.memoryBytes,
      show: formatGib,
      remedy: ofEngine ? `${more} Or ${fast}` : more + fast,
    }),
    atLeast({
      check: 'processors',
      what: processors === 1 ? 'processor' : 'processors',
      found: processors,
      limit: limits.processors,
      show: String,
      remedy: ofEngine ? `${more} Or ${fast}` : more + fast,
    }),
    atLeast({
      check: 'disk',
      what: 'free on the disk',
      found: host.diskFreeBytes,
      limit: limits.diskBytes,
      show: formatGib,
      remedy: 'Free some space; `docker system df` shows what the engine takes.',
    }),
  ]
}

function checkSystem({ platform, release }: Host): Finding {
  const name = release['PRETTY_NAME'] ?? platform
  if (platform === 'linux') return { check: 'os', level: 'ok', message: `${name}.` }
  if (platform === 'darwin') {
    const remedy = 'Nothing to do; report what does not work.'
    return { check: 'os', level: 'warning', message: `${name}: the stack is tried on Linux only.`, remedy }
  }
  const remedy = 'Run devstack on Linux or macOS; on Windows inside WSL 2.'
  return { check: 'os', level: 'error', message: `${name} is not supported.`, remedy }
}

function checkArchitecture({ architecture }: Host): Finding {
  if (['x64', 'arm64'].includes(architecture))
    return { check: 'architecture', level: 'ok', message: `${architecture}.` }
  return {
    check: 'architecture',
    level: 'error',
    message: `${architecture} is not supported.`,
    remedy: 'Use a machine with x64 or arm64; Debian has the packages of the stack for these.',
  }
}

function checkNode({ nodeVersion }: Host, limits: Thresholds): Finding {
  if (compareVersions(nodeVersion, limits.node) >= 0)
    return { check: 'node', level: 'ok', message: `Node ${nodeVersion}.` }
  return {
    check: 'node',
    level: 'error',
    message: `Node ${nodeVersion} is older than ${limits.node}.`,
    remedy: 'Run `npm ci` in the repository and use `npx devstack`, which brings its own Node, or install a newer one.',
  }
}

interface Amount {
  readonly check: Check
  readonly what: string
  readonly found: number
  readonly limit: Threshold
  readonly show: (value: number) => string
  readonly remedy: string
}

function atLeast({ check, what, found, limit, show, remedy }: Amount): Finding {
  if (found >= limit.good) return { check, level: 'ok', message: `${show(found)} ${what}.` }
  const level = found >= limit.least ? 'warning' : 'error'
  const wanted = level === 'error' ? `at least ${show(limit.least)} is needed` : `${show(limit.good)} is advised`
  return { check, level, message: `${show(found)} ${what}; ${wanted}.`, remedy }
}

/** Kind, version and API of the engine; undefined means that none answers. */
export function checkEngine(engine: EngineInfo | undefined, limits: Thresholds = thresholds): Finding {
  if (!engine) {
    return {
      check: 'engine',
      level: 'error',
      message: 'No container engine answers.',
      remedy:
        '`devstack run setup` installs one on Debian and Ubuntu; elsewhere install Docker or Podman and start it.',
    }
  }
  const name = `${engine.kind === 'podman' ? 'Podman' : 'Docker Engine'} ${engine.version}`
  const [version, needed] =
    engine.kind === 'podman' ? [engine.version, limits.podman] : [engine.apiVersion, limits.dockerApi]
  if (compareVersions(version, needed) < 0) {
    return {
      check: 'engine',
      level: 'error',
      message: `${name} (API ${engine.apiVersion}) is too old.`,
      remedy: 'Install Docker Engine 20.10 or newer, or Podman 4 or newer.',
    }
  }
  const message = `${name}, API ${engine.apiVersion}, at ${engine.address} (${engine.source}).`
  return { check: 'engine', level: 'ok', message }
}

export interface WantedPort {
  readonly service: string
  readonly hostIp: string
  readonly port: number
}

export interface PortOptions {
  readonly signal?: AbortSignal
  /** Whether a port is held by what this project runs already, which is fine. */
  readonly ours: (port: WantedPort) => boolean
  /** Says who holds a port, as a clause: `it is held by the process nginx (pid 7)`. */
  readonly holder: (port: WantedPort) => Promise<string>
}

/** One finding for every port that something else holds, and one that all are free when none is. */
export async function checkPorts(ports: readonly WantedPort[], options: PortOptions): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const [index, wanted] of ports.entries()) {
    options.signal?.throwIfAborted()
    const twin = ports.slice(0, index).find((other) => samePort(other, wanted))
    if (twin) {
      findings.push({
        check: 'port',
        level: 'error',
        message: `Port ${wanted.port} is published by both ${twin.service} and ${wanted.service}.`,
        remedy: 'Give one of them another port in the compose file.',
      })
    } else if (!options.ours(wanted)) {
      const answer = await portAnswer(wanted)
      if (answer !== 'free') findings.push(await portFinding(wanted, answer, options))
    }
  }
  if (findings.length > 0 || ports.length === 0) return findings
  return [{ check: 'port', level: 'ok', message: `${ports.length} ports free.` }]
}

function samePort(one: WantedPort, other: WantedPort): boolean {
  const everywhere = ['', '0.0.0.0', '::']
  const meet = one.hostIp === other.hostIp || everywhere.includes(one.hostIp) || everywhere.includes(other.hostIp)
  return one.port !== 0 && one.port === other.port && meet
}

type PortAnswer = 'free' | 'in use' | 'not permitted' | 'no such address'

async function portFinding(wanted: WantedPort, answer: PortAnswer, options: PortOptions): Promise<Finding> {
  const where = `${wanted.hostIp}:${wanted.port}`
  if (answer === 'in use') {
    return {
      check: 'port',
      level: 'error',
      message: `Port ${where} for ${wanted.service} is in use: ${await options.holder(wanted)}.`,
      remedy: 'End what holds it, or publish another port: without its *_PORT lines in .env.local, up finds free ones.',
    }
  }
  if (answer === 'no such address') {
    return {
      check: 'port',
      level: 'error',
      message: `${wanted.service} publishes on ${where}, an address that this machine does not have.`,
      remedy: 'Publish on 127.0.0.1.',
    }
  }
  return {
    check: 'port',
    level: 'warning',
    message: `Whether port ${where} for ${wanted.service} is free can not be told without more rights.`,
    remedy: 'Ports below 1024 need an engine that runs as root; publish a higher one.',
  }
}

/** Binds for a moment, as the engine would. */
function portAnswer({ hostIp, port }: WantedPort): Promise<PortAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<PortAnswer>()
  const server = createServer()
  server.once('error', (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'EADDRINUSE') resolve('in use')
    else if (cause.code === 'EACCES') resolve('not permitted')
    else if (cause.code === 'EADDRNOTAVAIL') resolve('no such address')
    else reject(cause)
  })
  server.listen({ host: hostIp || '0.0.0.0', port, exclusive: true }, () => server.close(() => resolve('free')))
  return promise
}

/** The worst level of all findings. */
export function verdict(findings: readonly Finding[]): Level {
  if (findings.some((finding) => finding.level === 'error')) return 'error'
  return findings.some((finding) => finding.level === 'warning') ? 'warning' : 'ok'
}

/** Lines for a person: a mark, the check, what was found; the remedy below. */
export function formatFindings(findings: readonly Finding[]): readonly string[] {
  const marks: Readonly<Record<Level, string>> = { ok: '✔', warning: '!', error: '✖' }
  return findings.flatMap(({ check, level, message, remedy }) => [
    `${marks[level]} ${check.padEnd(12)} ${message}`,
    ...(remedy === undefined || level === 'ok' ? [] : [`  ${' '.repeat(12)} → ${remedy}`]),
  ])
}

/** Compares dotted numbers part by part; whatever follows the numbers (`+dfsg1`, `-rc1`) is not looked at. */
export function compareVersions(one: string, other: string): number {
  const parts = (version: string) => (/^\d+(?:\.\d+)*/.exec(version)?.[0] ?? '0').split('.').map(Number)
  const [left, right] = [parts(one), parts(other)]
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0)
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}

function formatGib(bytes: number): string {
  return `${(bytes / gib).toFixed(1)} GiB`
}
