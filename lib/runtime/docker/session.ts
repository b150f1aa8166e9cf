/** Finding the engine that answers, and agreeing on an API version with it. */
import { z } from 'zod'
import { DevstackError, messageOf } from '../../errors.ts'
import { type Candidate, type ConnectOptions, candidates, isCode } from './discover.ts'
import { openTransport, type Transport } from './transport.ts'

/** The newest API version this code was written for, and the oldest it can do with (Docker Engine 20.10). */
const newest = 51
const oldest = 41

/** A connected engine. */
export interface Session {
  readonly transport: Transport
  readonly kind: 'docker' | 'podman'
  readonly version: string
  /** Minor number of the agreed API version: 41 is 1.41. */
  readonly api: number
  readonly source: string
  readonly address: string
  /** On this machine, so that its clock, files and processes are ours too. */
  readonly local: boolean
  /** Names of the containers that were seen, by id: errors are told with names. */
  readonly names: Map<string, string>
}

const versionSchema = z.object({
  Version: z.string().default('unknown'),
  ApiVersion: z.string().regex(/^1\.\d+$/),
  MinAPIVersion: z
    .string()
    .regex(/^1\.\d+$/)
    .optional()
    .catch(undefined),
  Components: z
    .array(z.object({ Name: z.string() }))
    .nullish()
    .catch(undefined),
})

interface Tried {
  readonly candidate: Candidate
  readonly reason: string
  readonly remedy?: string
  readonly missing: boolean
}

/** Connects to the first candidate of these options that answers; see `firstAnswering`. */
export async function openSession(options: ConnectOptions, signal?: AbortSignal): Promise<Session> {
  return firstAnswering(await candidates(options), signal)
}

/**
 * Connects to the first candidate that answers. Throws RUNTIME_UNREACHABLE with everything that was tried, and
 * RUNTIME_TOO_OLD / RUNTIME_TOO_NEW when the one that answers speaks no common version.
 */
export async function firstAnswering(list: readonly Candidate[], signal?: AbortSignal): Promise<Session> {
  const tried: Tried[] = []
  for (const candidate of list) {
    signal?.throwIfAborted()
    const transport = await openTransport(candidate)
    let text: string
    try {
      text = await ask(transport, signal)
    } catch (error) {
      transport.close()
      signal?.throwIfAborted()
      tried.push(refusal(candidate, error))
      continue
    }
    try {
      return agree(transport, text)
    } catch (error) {
      transport.close()
      throw error
    }
  }
  throw unreachable(tried)
}

/** How long an address may take to answer its version. An engine that hangs must not hold everything. */
const patienceMs = 10_000

async function ask(transport: Transport, signal?: AbortSignal): Promise<string> {
  const deadline = AbortSignal.timeout(patienceMs)
  const both = signal ? AbortSignal.any([signal, deadline]) : deadline
  const answer = await transport.call({
    method: 'GET',
    path: '/version',
    signal: both,
    doing: { what: 'Asking the engine for its version' },
  })
  return answer.text
}

function agree(transport: Transport, text: string): Session {
  const { candidate } = transport
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const parsed = versionSchema.safeParse(json)
  if (!parsed.success)
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_ANSWER',
      message: `${candidate.text} (${candidate.source}) answers, but not as a container engine: ${text.slice(0, 120) || 'nothing'}.`,
      hint: 'Point DOCKER_HOST at the socket of a Docker or Podman engine.',
    })
  const { Version: version, ApiVersion, MinAPIVersion, Components } = parsed.data
  const minor = (full: string): number => Number(full.split('.')[1])
  const theirs = minor(ApiVersion)
  const where = `The engine at ${candidate.text} (${candidate.source}) is ${version} with API ${ApiVersion}`
  if (theirs < oldest)
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_TOO_OLD',
      message: `${where}; devstack needs API 1.${oldest} or newer.`,
      hint: 'Update to Docker Engine 20.10 or later, or Podman 4 or later.',
    })
  if (MinAPIVersion !== undefined && minor(MinAPIVersion) > newest)
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_TOO_NEW',
      message: `${where} and refuses anything below ${MinAPIVersion}; this devstack speaks up to 1.${newest}.`,
      hint: 'Update devstack.',
    })
  const api = Math.min(theirs, newest)
  transport.use(`1.${api}`)
  const podman = Components?.some(({ Name }) => /podman/i.test(Name)) ?? false
  return {
    transport,
    kind: podman ? 'podman' : 'docker',
    version,
    api,
    source: candidate.source,
    address: candidate.text,
    local: candidate.address.kind === 'socket',
    names: new Map(),
  }
}

function refusal(candidate: Candidate, error: unknown): Tried {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const path = candidate.address.kind === 'socket' ? candidate.address.path : candidate.text
  if (isCode(cause, 'ENOENT') || isCode(cause, 'ENOTDIR'))
    return { candidate, reason: 'there is no such socket', missing: true }
  if (isCode(cause, 'EACCES') || isCode(cause, 'EPERM'))
    return {
      candidate,
      reason: 'this user may not use it',
      remedy: path.includes('podman')
        ? 'Use your own Podman: `systemctl --user start podman.socket`.'
        : 'Join its group: `sudo usermod -aG docker $USER`, then log in again (or `newgrp docker` in this terminal).',
      missing: false,
    }
  if (isCode(cause, 'ECONNREFUSED'))
    return {
      candidate,
      reason: 'nobody listens: the engine is not running',
      remedy: path.includes('podman')
        ? 'Start it: `systemctl start podman.socket`.'
        : 'Start it: `sudo systemctl start docker` (or `sudo dockerd` where there is no systemd).',
      missing: false,
    }
  if (cause instanceof Error && cause.name === 'TimeoutError')
    return {
      candidate,
      reason: `no answer within ${patienceMs / 1000} s`,
      remedy: 'The engine hangs; restart it.',
      missing: false,
    }
  return { candidate, reason: messageOf(cause), missing: false }
}

function unreachable(tried: readonly Tried[]): DevstackError {
  const present = tried.filter(({ missing }) => !missing)
  const [first] = present
  const one = tried.length === 1 ? tried[0] : undefined
  const message = one
    ? `The container engine at ${one.candidate.text} (${one.candidate.source}) does not answer: ${one.reason}.`
    : first
      ? `No container engine answers; the nearest is ${first.candidate.text}: ${first.reason}.`
      : 'There is no container engine here: no socket of Docker or Podman was found.'
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_UNREACHABLE',
    message,
    details: [
      'tried:',
      ...tried.map(({ candidate, reason }) => `  ${candidate.text} (${candidate.source}): ${reason}`),
    ],
    hint:
      present.find(({ remedy }) => remedy !== undefined)?.remedy ??
      (one && one.candidate.source !== 'default socket'
        ? `Start that engine, or unset ${one.candidate.source}.`
        : '`devstack run setup` installs and starts one.'),
  })
}
