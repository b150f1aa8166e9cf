import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { postgresPort } from '../../../tasks/stack/patroni.ts'
import { postgresServer } from '../../../tasks/stack/postgres.ts'
import { handleOf, probeContext } from './fake.ts'

const test = suite('postgres')

function message(kind: string, body: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(Buffer.byteLength(body) + 4)
  return Buffer.concat([Buffer.from(kind), length, Buffer.from(body)])
}

async function ask(answer: Buffer): Promise<{ verdict: unknown; asked: Buffer }> {
  const sockets = new Set<Socket>()
  let asked = Buffer.alloc(0)
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      asked = Buffer.concat([asked, chunk])
      socket.end(answer)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const handle = handleOf('postgres', postgresPort, (server.address() as AddressInfo).port)
    const verdict = await Promise.resolve(postgresServer()(handle, probeContext())).catch(
      (error: Error) => error.message,
    )
    return { verdict, asked }
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

test('a request for a password means that connections are accepted', async () => {
  const { verdict, asked } = await ask(message('R', '\0\0\0\nSCRAM-SHA-256\0\0'))
  assert.equal(verdict, { healthy: true, detail: 'accepts connections' })
  assert.is(asked.readInt32BE(0), asked.length)
  assert.is(asked.readInt32BE(4), 3 << 16)
})

test('starting up is told in its own words, an unknown user is no trouble', async () => {
  const error = (code: string, text: string) => message('E', `SFATAL\0VFATAL\0C${code}\0M${text}\0\0`)
  assert.equal((await ask(error('57P03', 'the database system is starting up'))).verdict, {
    healthy: false,
    detail: 'the database system is starting up',
  })
  assert.equal((await ask(error('28000', 'no pg_hba.conf entry'))).verdict, {
    healthy: true,
    detail: 'accepts connections',
  })
})

test('another server, and one that hangs up, are told', async () => {
  assert.match(String((await ask(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))).verdict), /is no PostgreSQL/)
  assert.match(String((await ask(Buffer.alloc(0))).verdict), /closed the connection|ECONNRESET/)
})

test.run()
