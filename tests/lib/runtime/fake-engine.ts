/** An engine made of scripted answers: a node:http server on a unix socket. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { connect } from '../../../lib/runtime/docker/connect.ts'
import type { Runtime } from '../../../lib/runtime/runtime.ts'
import { temporaryFolder } from '../../support/temporary.ts'

export interface Asked {
  readonly method: string
  /** Without the version. */
  readonly path: string
  readonly query: URLSearchParams
  readonly body: string
  readonly headers: IncomingMessage['headers']
}

/** Answers one call; what it returns is sent as JSON, unless it answered by itself. */
export type Script = (asked: Asked, response: ServerResponse, socket: Socket) => unknown

export interface FakeEngine {
  readonly socket: string
  readonly asked: readonly Asked[]
  runtime(environment?: Readonly<Record<string, string>>): Runtime
  /** The engine stops: connections end, the socket goes. */
  closeServer(): Promise<void>
  /** Ends every connection at once, as a dying engine does; the socket stays unless `close` follows. */
  hangUp(): void
  close(): Promise<void>
}

export const version = (api = '1.41', more: object = {}) => ({ Version: '20.10.24', ApiVersion: api, ...more })

/** Starts one. `scripts` are looked up by `GET /path`, the path without version, ids as they stand. */
export async function fakeEngine(scripts: Readonly<Record<string, Script>>): Promise<FakeEngine> {
  const folder = await temporaryFolder('rt-fake-')
  const socket = join(folder.path, 'engine.sock')
  const asked: Asked[] = []
  const sockets = new Set<Socket>()
  const handle = async (request: IncomingMessage, response: ServerResponse, upgraded?: Socket) => {
    const chunks: Buffer[] = []
    if (!upgraded) for await (const chunk of request) chunks.push(chunk as Buffer)
    const url = new URL(request.url ?? '/', 'http://engine')
    const one: Asked = {
      method: request.method ?? '',
      path: url.pathname.replace(/^\/v1\.\d+/, ''),
      query: url.searchParams,
      body: Buffer.concat(chunks).toString('utf8'),
      headers: request.headers,
    }
    asked.push(one)
    const script = scripts[`${one.method} ${one.path}`]
    if (!script && one.path === '/version') return json(response, version())
    if (!script) return json(response, { message: `no script for ${one.method} ${one.path}` }, 501)
    const answer = await script(one, response, upgraded ?? request.socket)
    if (answer !== undefined) json(response, answer)
  }
  const server = createServer((request, response) => void handle(request, response).catch(() => response.destroy()))
  server.on('upgrade', (request, raw: Socket) => {
    // A script that switches protocols writes to the socket itself.
    void handle(request, undefined as unknown as ServerResponse, raw).catch(() => raw.destroy())
  })
  server.on('connection', (raw) => {
    sockets.add(raw)
    raw.on('close', () => sockets.delete(raw))
    raw.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  const runtimes: Runtime[] = []
  const hangUp = (): void => {
    for (const raw of sockets) raw.destroy()
  }
  const closeServer = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    hangUp()
    await closed
  }
  return {
    socket,
    asked,
    runtime(environment = {}) {
      const runtime = connect({ environment: { DOCKER_HOST: `unix://${socket}`, ...environment }, home: folder.path })
      runtimes.push(runtime)
      return runtime
    },
    hangUp,
    closeServer,
    async close() {
      for (const runtime of runtimes) runtime.close()
      await closeServer()
      await folder.remove()
    },
  }
}

/** Answers with JSON. */
export function json(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

/** A refusal as engines send it. */
export const refuse =
  (status: number, message: string): Script =>
  (_asked, response) =>
    json(response, { message }, status)

/** One frame of a multiplexed stream. */
export function frame(stream: 1 | 2, text: string | Uint8Array): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : Buffer.from(text)
  const header = Buffer.alloc(8)
  header[0] = stream
  header.writeUInt32BE(bytes.length, 4)
  return Buffer.concat([header, bytes])
}
