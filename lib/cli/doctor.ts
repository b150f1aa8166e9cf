/**
 * `devstack doctor`: looks at this machine and project and names a remedy for each thing that is wrong. Changes nothing.
 * Everything it looks at comes in through readers, and one that fails or hangs costs its own finding alone.
 */
import { statfs } from 'node:fs/promises'
import { freemem, totalmem } from 'node:os'
import { DevstackError, formatPlace, messageOf } from '../errors.ts'
import { publishElsewhere } from '../runtime/ports.ts'
import { type ContainerSummary, labels, type RuntimeReader } from '../runtime/runtime.ts'

/** What is checked, in the order in which it is shown. */
export type Check = 'node' | 'engine' | 'disk' | 'memory' | 'config' | 'ports' | 'locks' | 'containers'

export type Finding =
  | { readonly check: Check; readonly level: 'ok'; readonly message: string }
  /** A `problem` keeps tasks from running, a `warning` may. */
  | {
      readonly check: Check
      readonly level: 'warning' | 'problem'
      readonly message: string
      readonly remedy: string
      readonly details?: readonly string[]
    }

export interface HeldLock {
  readonly name: string
  readonly pid: number
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Whether the process that holds it still lives. */
  readonly alive: boolean
}

export interface DoctorInput {
  /** As `process.version` has it. */
  readonly nodeVersion: string
  /** `undefined` where there is no project yet. */
  readonly project?: { readonly name: string; readonly directory: string; readonly stateDirectory: string }
  /** Connects; throws RUNTIME_UNREACHABLE with a remedy when no engine answers. */
  readonly runtime: () => Promise<RuntimeReader> | RuntimeReader
  /** Loads the config; `ports` are those on this machine that its services publish. */
  readonly config: () => Promise<{
    readonly file: string
    readonly tasks: number
    readonly ports?: readonly number[]
  }>
  readonly locks: () => Promise<readonly HeldLock[]>
  /** Bytes, on the file system of a folder. */
  readonly disk: (directory: string) => Promise<{ readonly free: number; readonly total: number }>
  /** Bytes. */
  readonly memory: () => { readonly free: number; readonly total: number }
  /** Who listens on a TCP port of this machine, in words; `undefined` when nobody does. */
  readonly portHolder: (port: number) => Promise<string | undefined>
  readonly exists: (path: string) => Promise<boolean>
  /** Whether the run of this id is going on. */
  readonly isRunning: (run: string) => Promise<boolean>
  /** Milliseconds since the epoch; default `Date.now`. */
  readonly now?: () => number
  readonly signal?: AbortSignal
  /** How long one check may take, in milliseconds; default 10 s. */
  readonly deadlineMs?: number
}

const GiB = 1024 ** 3
/** Type stripping without a flag begins here. */
const leastNode = [22, 18] as const
/** https://docs.docker.com/engine/release-notes/20.10/ and Podman 4 speak at least this. */
const leastApi = [1, 41] as const
const scarce = { disk: 5 * GiB, exhausted: GiB, memory: 2 * GiB }

/** All findings, in the order of the checks. Never throws, except when `signal` aborts. */
export async function diagnose(input: DoctorInput): Promise<readonly Finding[]> {
  const runtime = once(async () => await input.runtime())
  const config = once(input.config)
  const containers = once(async () => (await runtime()).containers({ [labels.project]: undefined }, input))
  const checks: readonly (readonly [Check, () => Promise<readonly Finding[]> | readonly Finding[]])[] = [
    ['node', () => checkNode(input.nodeVersion)],
    ['engine', async () => checkEngine(await (await runtime()).info(input))],
    ['disk', async () => checkDisk(await input.disk(input.project?.directory ?? '.'), input.project?.directory ?? '.')],
    ['memory', () => checkMemory(input.memory())],
    ['config', async () => checkConfig(await config())],
    ['ports', () => checkPorts(input, config, containers)],
    ['locks', async () => checkLocks(await input.locks(), input)],
    ['containers', () => checkContainers(input, containers, runtime)],
  ]
  const findings = await Promise.all(checks.map(([check, look]) => guarded(check, look, input)))
  return findings.flat()
}

/** The exit code: 1 when something keeps tasks from running. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 {
  return findings.some(({ level }) => level === 'problem') ? 1 : 0
}

const marks = { ok: '✓', warning: '!', problem: '✗' } as const

/** The findings as text, one line each, with their remedies, and a last line that counts them. */
export function formatFindings(findings: readonly Finding[]): string {
  const lines = findings.flatMap((finding) => {
    const head = `${marks[finding.level]} ${finding.check.padEnd(10)}  ${finding.message}`
    if (finding.level === 'ok') return [head]
    const details =
      finding.details?.flatMap((detail) => detail.split('\n')).map((line) => `              ${line}`) ?? []
    return [head, ...details, `            → ${finding.remedy}`]
  })
  const count = (level: Finding['level']) => findings.filter((finding) => finding.level === level).length
  const plural = (number: number, noun: string) => `${number} ${noun}${number === 1 ? '' : 's'}`
  lines.push('', `${plural(count('problem'), 'problem')}, ${plural(count('warning'), 'warning')}.`)
  return lines.join('\n')
}

/** Disk and memory of this machine. */
export const machine: Pick<DoctorInput, 'disk' | 'memory'> = {
  async disk(directory) {
    const { bavail, blocks, bsize } = await statfs(directory)
    return { free: bavail * bsize, total: blocks * bsize }
  },
  memory: () => ({ free: freemem(), total: totalmem() }),
}

function checkNode(version: string): readonly Finding[] {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  const least = leastNode.join('.')
  if (major < leastNode[0] || (major === leastNode[0] && minor < leastNode[1])) {
    const message = `Node ${version} is too old: devstack needs ${least} or later.`
    return [{ check: 'node', level: 'problem', message, remedy: 'npm install --save-dev node@24, or install Node 24.' }]
  }
  return [{ check: 'node', level: 'ok', message: `Node ${version}` }]
}

function checkEngine(info: Awaited<ReturnType<RuntimeReader['info']>>): readonly Finding[] {
  const [major = 0, minor = 0] = info.apiVersion.split('.').map(Number)
  const name = info.kind === 'podman' ? 'Podman' : 'Docker'
  if (major < leastApi[0] || (major === leastApi[0] && minor < leastApi[1])) {
    return [
      {
        check: 'engine',
        level: 'problem',
        message: `${name} ${info.version} speaks API ${info.apiVersion}; devstack needs ${leastApi.join('.')}.`,
        remedy: 'Upgrade to Docker Engine 20.10 or Podman 4, or later.',
      },
    ]
  }
  const message = `${name} ${info.version}, API ${info.apiVersion}, at ${info.address} (${info.source})`
  return [{ check: 'engine', level: 'ok', message }]
}

function checkDisk({ free, total }: { free: number; total: number }, directory: string): readonly Finding[] {
  const message = `${gib(free)} of ${gib(total)} free on the disk of ${directory}`
  if (free >= scarce.disk) return [{ check: 'disk', level: 'ok', message }]
  const level = free < scarce.exhausted ? 'problem' : 'warning'
  const remedy = 'Free some: "devstack cache prune --max-size 100MB", "docker system prune".'
  return [{ check: 'disk', level, message: `Only ${message}.`, remedy }]
}

function checkMemory({ free, total }: { free: number; total: number }): readonly Finding[] {
  const message = `${gib(total)} of memory, ${gib(free)} free`
  if (total >= scarce.memory) return [{ check: 'memory', level: 'ok', message }]
  const remedy = 'Give the machine or its virtual machine 2 GiB or more, or run "devstack run up --fast".'
  return [{ check: 'memory', level: 'warning', message: `Only ${message}.`, remedy }]
}

function checkConfig({ file, tasks }: { file: string; tasks: number }): readonly Finding[] {
  if (tasks > 0) return [{ check: 'config', level: 'ok', message: `${file}: ${tasks} task${tasks === 1 ? '' : 's'}` }]
  const remedy = 'Give it tasks, or switch a pack on with use: [...].'
  return [{ check: 'config', level: 'warning', message: `${file} has no tasks.`, remedy }]
}

async function checkPorts(
  input: DoctorInput,
  config: () => ReturnType<DoctorInput['config']>,
  containers: () => Promise<readonly ContainerSummary[]>,
): Promise<readonly Finding[]> {
  // A config that does not load, or an engine that does not answer, has a finding of its own.
  const ports = await config().then(
    (loaded) => [...new Set(loaded.ports ?? [])],
    () => [],
  )
  if (ports.length === 0) return []
  const known = await containers().catch(() => [])
  const findings: Finding[] = []
  const elsewhere = `${publishElsewhere}: without its *_PORT lines in .env.local, up finds free ones.`
  for (const port of ports) {
    const holder = known.find(
      ({ state, ports: bound }) => state === 'running' && bound.some(({ hostPort }) => hostPort === port),
    )
    if (holder && holder.labels[labels.project] === input.project?.name) continue
    const who = holder ? `the container ${holder.name}` : await input.portHolder(port)
    if (who === undefined) continue
    const remedy = holder
      ? `Stop it (docker stop ${holder.name}), ${elsewhere}`
      : `Stop what listens there, ${elsewhere}`
    findings.push({ check: 'ports', level: 'problem', message: `Port ${port} is held by ${who}.`, remedy })
  }
  if (findings.length > 0) return findings
  return [{ check: 'ports', level: 'ok', message: `${ports.length} published ports are free or our own` }]
}

function checkLocks(locks: readonly HeldLock[], { now = Date.now }: DoctorInput): readonly Finding[] {
  const stale = locks.filter(({ alive }) => !alive)
  if (stale.length > 0) {
    return stale.map(({ name, pid, since }) => ({
      check: 'locks',
      level: 'warning',
      message: `The lock "${name}" belongs to process ${pid}, which is dead; held for ${ago(now() - since)}.`,
      remedy: 'Nothing need be done: the next run that wants it takes it over.',
    }))
  }
  const held = locks.map(({ name, pid, since }) => `${name} by process ${pid} for ${ago(now() - since)}`)
  return [{ check: 'locks', level: 'ok', message: held.length === 0 ? 'none is held' : `held: ${held.join(', ')}` }]
}

async function checkContainers(
  input: DoctorInput,
  containers: () => Promise<readonly ContainerSummary[]>,
  runtime: () => Promise<RuntimeReader>,
): Promise<readonly Finding[]> {
  const all = await containers().catch(() => undefined)
  if (all === undefined) return []
  const program = (await (await runtime()).info(input)).kind
  const findings: Finding[] = []
  const orphans = (names: readonly string[], why: string) => {
    const what = names.length === 1 ? 'A container is' : `${names.length} containers are`
    findings.push({
      check: 'containers',
      level: 'warning',
      message: `${what} orphaned: ${why}.`,
      details: names,
      remedy: `${program} rm --force --volumes ${names.join(' ')}`,
    })
  }
  const byDirectory = Map.groupBy(all, (container) => container.labels[labels.directory])
  const gone = new Set<string>()
  for (const [directory, group] of byDirectory) {
    if (directory === undefined || (await input.exists(directory))) continue
    gone.add(directory)
    orphans(
      group.map(({ name }) => name),
      `${directory} does not exist any more`,
    )
  }
  // A service outlives its run on purpose; what is no service should have gone with it.
  const helpers = all.filter(
    ({ labels: own }) =>
      own[labels.run] !== undefined &&
      own[labels.service] === undefined &&
      own[labels.project] === input.project?.name &&
      !gone.has(own[labels.directory] ?? ''),
  )
  for (const [run, group] of Map.groupBy(helpers, ({ labels: own }) => own[labels.run]!)) {
    if (await input.isRunning(run)) continue
    orphans(
      group.map(({ name }) => name),
      `the run ${run} has ended`,
    )
  }
  if (findings.length > 0) return findings
  return [{ check: 'containers', level: 'ok', message: `${all.length} of devstack's, none orphaned` }]
}

const remedies: Readonly<Record<Check, string>> = {
  node: 'Install Node 24.',
  engine: 'Start Docker or Podman, or set DOCKER_HOST; "devstack run setup" can install one.',
  disk: 'Check that the folder exists and can be read.',
  memory: 'Look at it with "free -h".',
  config: 'Correct the config, or write one with "devstack init".',
  ports: 'Look at them with "ss -ltnp".',
  locks: 'Check that .devstack/ can be read.',
  containers: 'Look at them with "docker ps --all".',
}

/** Turns what a check throws, or that it takes too long, into a finding. */
async function guarded(
  check: Check,
  look: () => Promise<readonly Finding[]> | readonly Finding[],
  { signal, deadlineMs = 10_000 }: DoctorInput,
): Promise<readonly Finding[]> {
  signal?.throwIfAborted()
  const { promise: over, reject } = Promise.withResolvers<never>()
  const deadline = setTimeout(() => reject(new Error(`no answer within ${deadlineMs / 1000} s`)), deadlineMs)
  const abort = () => reject(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([(async () => look())(), over])
  } catch (thrown) {
    signal?.throwIfAborted()
    const known = thrown instanceof DevstackError ? thrown : undefined
    const isMissing = known?.code === 'CONFIG_NOT_FOUND'
    const place = known?.place ? [`at ${formatPlace(known.place)}`] : []
    const more = [...place, ...(known?.details ?? [])]
    return [
      {
        check,
        level: isMissing ? 'warning' : 'problem',
        message: messageOf(thrown),
        remedy: known?.hint ?? remedies[check],
        ...(more.length === 0 ? {} : { details: more }),
      },
    ]
  } finally {
    clearTimeout(deadline)
    signal?.removeEventListener('abort', abort)
  }
}

/** Calls at most once; everybody gets the same answer. */
function once<T>(read: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined
  return () => {
    if (answer === undefined) {
      // An async wrapper, since a reader may also throw at once.
      answer = (async () => read())()
      answer.catch(() => {})
    }
    return answer
  }
}

function gib(bytes: number): string {
  return `${(bytes / GiB).toFixed(1)} GiB`
}

function ago(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`
}
