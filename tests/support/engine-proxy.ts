/** A socket in front of the real engine, for tests in which the engine dies or its disk fills up in the middle of something. */
import { connect, createServer, type Socket } from 'node:net'
import { engineSocket } from './engine.ts'

/** `cut`: the engine is gone, for this connection, all others and all to come. */
export type Treatment = 'pass' | 'cut' | { readonly status: number; readonly message: string }

export interface EngineProxy {
  /** For DOCKER_HOST. */
  readonly address: string
  close(): Promise<void>
}

/** Listens on `path`; `treat` is asked for each request by its first line, such as `POST /v1.41/containers/x/start HTTP/1.1`. */
export async function engineProxy(path: string, treat: (request: string) => Treatment): Promise<EngineProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const engine = connect(engineSocket())
    for (const socket of [client, engine]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        engine.destroy()
      })
    }
    engine.pipe(client)
    client.on('data', (chunk) => {
      const first = /^[A-Z]+ \/[^\r\n]* HTTP\/1\.1/.exec(chunk.toString('latin1', 0, 2048))?.[0]
      const treatment = first === undefined ? 'pass' : treat(first)
      if (treatment === 'pass') engine.write(chunk)
      else if (treatment === 'cut') cut()
      else {
        const body = JSON.stringify({ message: treatment.message })
        client.end(
          `HTTP/1.1 ${treatment.status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
        )
      }
    })
  })
  function cut(): void {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  return {
    address: `unix://${path}`,
    close: async () => cut(),
  }
}
