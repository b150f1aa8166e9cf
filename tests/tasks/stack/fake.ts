/** Stand-ins for the products of the stack: real sockets, canned answers. */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { ProbeContext, Runtime, ServiceHandle } from '../../../lib/index.ts'

export interface Fake extends AsyncDisposable {
  readonly port: number
}

/** Answers JSON by path; a function may look at the request's body. A path that is not listed gives 404. */
export function fakeHttp(
  answers: Readonly<Record<string, unknown | ((body: unknown) => unknown)>>,
  status = 200,
): Promise<Fake> {
  const server = createHttpServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    request.on('end', () => {
      const answer = answers[request.url ?? '']
      const body = typeof answer === 'function' ? answer(text === '' ? undefined : JSON.parse(text)) : answer
      response.writeHead(body === undefined ? 404 : status, { 'content-type': 'application/json' })
      response.end(typeof body === 'string' ? body : JSON.stringify(body ?? { message: 'not found' }))
    })
  })
  return listening(server)
}

/** Answers each command of RESP by its words in upper case, with an encoded reply. */
export function fakeRedis(answers: Readonly<Record<string, string>>): Promise<Fake> {
  const server = createServer((socket) => {
    let pending = ''
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      pending += chunk.toString()
      for (;;) {
        const command = /^\*(\d+)\r\n((?:\$\d+\r\n[^\r]*\r\n)+?)(?=\*|$)/.exec(pending)
        if (!command) return
        pending = pending.slice(command[0].length)
        const words = [...command[2]!.matchAll(/\$\d+\r\n([^\r]*)\r\n/g)].map((match) => match[1]!.toUpperCase())
        socket.write(answers[words.join(' ')] ?? `-ERR unknown command ${words.join(' ')}\r\n`)
      }
    })
  })
  return listening(server)
}

export function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** A flat list of names and values, as Sentinel answers. */
export function flat(record: Readonly<Record<string, string | number>>): string {
  const words = Object.entries(record).flatMap(([name, value]) => [name, String(value)])
  return `*${words.length}\r\n${words.map(bulk).join('')}`
}

/** A service whose container port is published on a port of this machine. */
export function handleOf(service: string, containerPort: number, hostPort: number): ServiceHandle {
  return {
    id: `id-${service}`,
    name: `test-${service}-1`,
    service,
    project: 'test',
    image: 'test',
    addresses: {},
    ports: [{ hostIp: '127.0.0.1', hostPort, containerPort, protocol: 'tcp' }],
  }
}

/** What a probe gets. The engine is one whose containers are reached through published ports. */
export function probeContext(): ProbeContext {
  const info = async () => ({ address: 'unix:///none', rootless: true, operatingSystem: 'none' })
  return { signal: AbortSignal.timeout(30_000), runtime: { info } as unknown as Runtime }
}

async function listening(server: Server): Promise<Fake> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
