/**
 * One engine's connection: dockerode's transport (docker-modem) over a keep-alive agent, with bodies read here. The
 * modem's own reading never ends when an engine dies in mid-answer, so every answer is taken as a stream.
 */
import { type Agent, type IncomingMessage, Agent as PlainAgent } from 'node:http'
import { Agent as TlsAgent } from 'node:https'
import type { Duplex } from 'node:stream'
import { inspect } from 'node:util'
import type Modem from 'docker-modem'
import type Docker from 'dockerode'
import { DevstackError } from '../../errors.ts'
import type { Address, Candidate } from './discover.ts'
import { type Doing, failure } from './failures.ts'

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD'
  /** Without version and query. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly body?: unknown
  /** Sent instead of a body: a tar. */
  readonly file?: Buffer | NodeJS.ReadableStream
  readonly signal?: AbortSignal | undefined
  /** What is being done, for messages. */
  readonly doing: Doing
}

export interface Answer {
  readonly status: number
  readonly text: string
}

export interface Transport {
  readonly modem: Modem
  readonly candidate: Candidate
  /** Sets the API version that prefixes every path from now on: `1.41`. */
  use(version: string): void
  /** The whole answer; statuses of 400 and more throw unless `allow` holds them. */
  call(request: Request, allow?: readonly number[]): Promise<Answer>
  /** The answer's body as it comes. */
  stream(request: Request): Promise<IncomingMessage>
  /** The raw connection after the engine switched protocols; what it said already is in it. */
  hijack(request: Request): Promise<Duplex>
  /** dockerode on the same connection, for what it does better than a bare call. Loaded on first use: 50 ms. */
  docker(): Promise<Docker>
  close(): void
}

// The modem reports a status that is not in its table as an error without body; here all are looked at by the caller.
const everyStatus: Readonly<Record<string, true>> = Object.fromEntries(
  Array.from({ length: 500 }, (_, index) => [String(index + 100), true] as const),
)

/** A transport to a candidate. Nothing is sent yet. */
export async function openTransport(candidate: Candidate): Promise<Transport> {
  const [{ default: ModemClass }, agent] = await Promise.all([import('docker-modem'), openAgent(candidate.address)])
  const { address } = candidate
  // host and port are given even when empty: the modem would otherwise fill them from the process's DOCKER_HOST.
  const modem = new ModemClass(
    address.kind === 'socket'
      ? { socketPath: address.path, host: undefined, port: undefined, protocol: 'http', agent }
      : {
          socketPath: undefined,
          host: address.host.includes(':') ? `[${address.host}]` : address.host,
          port: address.port,
          protocol: address.tls ? 'https' : 'http',
          ca: address.tls?.ca,
          cert: address.tls?.cert,
          key: address.tls?.key,
          agent,
        },
  )
  const state: { version: string | undefined; docker: Promise<Docker> | undefined } = {
    version: undefined,
    docker: undefined,
  }

  const dial = (request: Request, hijack: boolean): Promise<IncomingMessage | Duplex> =>
    new Promise((resolve, reject) => {
      const { method, path, query, body, file, signal } = request
      const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined)
      const options = {
        method,
        path: `${path}?`,
        options: { _query: Object.fromEntries(given), _body: body ?? {} },
        isStream: true,
        statusCodes: everyStatus,
        ...(file && { file }),
        ...(signal && { abortSignal: signal }),
        ...(hijack && { hijack: true, openStdin: false }),
      }
      modem.dial(options, (error: unknown, answer: unknown) => {
        if (error) reject(error)
        else resolve(answer as IncomingMessage | Duplex)
      })
    })

  const send = async (request: Request, hijack = false): Promise<IncomingMessage | Duplex> => {
    request.signal?.throwIfAborted()
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await dial(request, hijack)
      } catch (error) {
        // An idle connection may be closed by the engine just as it is used again; reading twice does no harm.
        if (attempt === 0 && request.method === 'GET' && isReset(error) && !request.signal?.aborted) continue
        throw failure(error, request.doing, request.signal)
      }
    }
  }

  const refuse = async (answer: IncomingMessage, request: Request): Promise<never> => {
    const text = await readBody(answer, request)
    throw failure({ status: answer.statusCode ?? 0, message: engineMessage(text) }, request.doing)
  }

  return {
    modem,
    candidate,
    use(version) {
      state.version = version
      ;(modem as Modem & { version: string }).version = `v${version}`
    },
    async call(request, allow = []) {
      const answer = (await send(request)) as IncomingMessage
      const status = answer.statusCode ?? 0
      const text = await readBody(answer, request)
      if (status >= 400 && !allow.includes(status))
        throw failure({ status, message: engineMessage(text) }, request.doing)
      return { status, text: status >= 400 ? engineMessage(text) : text }
    },
    async stream(request) {
      const answer = (await send(request)) as IncomingMessage
      if ((answer.statusCode ?? 0) >= 400) await refuse(answer, request)
      return answer
    },
    async hijack(request) {
      const answer = await send(request, true)
      if (!('statusCode' in answer)) return answer as Duplex
      const response = answer as IncomingMessage
      if ((response.statusCode ?? 0) >= 400) await refuse(response, request)
      response.destroy()
      throw new DevstackError({
        kind: 'runtime',
        code: 'RUNTIME_ANSWER',
        message: `${request.doing.what}: the engine answered ${response.statusCode} where it should have switched protocols.`,
        hint: 'Is there a proxy between devstack and the engine? Talk to its socket directly.',
      })
    },
    docker() {
      state.docker ??= import('dockerode').then(({ default: DockerClass }) => {
        // The type lacks `modem`, which the constructor takes (dockerode/lib/docker.js).
        return new DockerClass({ modem } as unknown as Docker.DockerOptions)
      })
      return state.docker
    },
    close() {
      agent.destroy()
    },
  }
}

function openAgent(address: Address): Agent {
  // Idle sockets are unreferenced by Node, so they never hold the process; they are closed before Podman's service, which
  // ends after 5 s without a call, would do it in the middle of the next one.
  const options = { keepAlive: true, maxFreeSockets: 16, timeout: 4000 }
  if (address.kind === 'tcp' && address.tls) {
    return quiet(new TlsAgent({ ...options, rejectUnauthorized: address.tls.verify }))
  }
  return quiet(new PlainAgent(options))
}

/** The modem renders its options in full for a debug line before every call, sockets and all, also when nobody reads it. */
function quiet<A extends Agent>(agent: A): A {
  return Object.defineProperty(agent, inspect.custom, { value: () => '[agent]' })
}

async function readBody(answer: IncomingMessage, request: Request): Promise<string> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of answer) chunks.push(chunk as Uint8Array)
  } catch (error) {
    throw failure(error, request.doing, request.signal)
  }
  if (!answer.complete)
    throw failure(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }), request.doing, request.signal)
  return Buffer.concat(chunks).toString('utf8')
}

/** The `message` of an engine's error body; Podman adds a `cause`. */
function engineMessage(text: string): string {
  try {
    const body: unknown = JSON.parse(text)
    if (typeof body === 'object' && body !== null && 'message' in body) return String(body.message)
  } catch {
    // Not JSON: the text says what it says.
  }
  return text.trim()
}

const isReset = (thrown: unknown): boolean =>
  thrown instanceof Error && ['ECONNRESET', 'EPIPE'].includes((thrown as NodeJS.ErrnoException).code ?? '')
