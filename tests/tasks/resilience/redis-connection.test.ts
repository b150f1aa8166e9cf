/** A lasting connection to Redis: one command at a time, deadlines, errors, a peer that goes. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RedisConnection } from '../../../tasks/resilience/redis-connection.ts'
import { fakeRedis } from '../stack/fake.ts'

const test = suite('a connection to Redis')
const host = '127.0.0.1'

test('logs in, sends commands in turn, and throws error replies', async () => {
  await using server = await fakeRedis({
    'AUTH SECRET': '+OK\r\n',
    'SADD LEDGER 1': ':1\r\n',
    'SADD LEDGER 2': '-NOREPLICAS Not enough good replicas to write.\r\n',
    ROLE: '*3\r\n$6\r\nmaster\r\n:100\r\n*0\r\n',
  })
  const connection = await RedisConnection.open({ host, port: server.port }, 'secret', 5000)
  try {
    assert.is(await connection.send(['SADD', 'ledger', '1'], 5000), 1)
    assert.equal(await connection.send(['ROLE'], 5000), ['master', 100, []])
    const refused = await connection.send(['SADD', 'ledger', '2'], 5000).catch((error: unknown) => error)
    assert.is((refused as { code: string }).code, 'NOREPLICAS')
    assert.is(await connection.send(['SADD', 'ledger', '1'], 5000), 1, 'it lives on after an error reply')
  } finally {
    connection.cut()
  }
})

test('refuses a wrong password', async () => {
  await using server = await fakeRedis({ 'AUTH SECRET': '-WRONGPASS invalid\r\n' })
  const refused = await RedisConnection.open({ host, port: server.port }, 'secret', 5000).catch((error) => error)
  assert.match((refused as Error).message, /WRONGPASS/)
})

test('gives up on a peer that accepts and never answers, and is cut then', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket.resume()))
  server.listen(0, host)
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const silent = await RedisConnection.open({ host, port }, undefined, 100).catch((error) => error)
    assert.match((silent as Error).message, /statement deadline/)
    if (!sockets[0]) await once(server, 'connection')
    if (!sockets[0]?.closed) await once(sockets[0]!, 'close')
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
})

test('says so when the peer closes', async () => {
  const server = createServer((socket) => {
    socket.once('data', () => socket.write('+PONG\r\n'))
    socket.on('data', (chunk) => chunk.toString().includes('ROLE') && socket.destroy())
    socket.on('error', () => undefined)
  })
  server.listen(0, host)
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const connection = await RedisConnection.open({ host, port }, undefined, 5000)
    const lost = await connection.send(['ROLE'], 5000).catch((error: unknown) => error)
    assert.match((lost as Error).message, /closed|ECONNRESET/)
    const again = await connection.send(['ROLE'], 5000).catch((error: unknown) => error)
    assert.instance(again, Error)
  } finally {
    server.close()
  }
})

test('hands on what is published, also beside the answer to the subscription', async () => {
  const message = (text: string) => `*3\r\n$7\r\nmessage\r\n$5\r\nnews1\r\n$${text.length}\r\n${text}\r\n`
  const subscribed = '*3\r\n$9\r\nsubscribe\r\n$5\r\nnews1\r\n:1\r\n'
  await using server = await fakeRedis({
    PING: '+PONG\r\n',
    'SUBSCRIBE NEWS1': `${subscribed}${message('first')}${message('second')}`,
  })
  const connection = await RedisConnection.open({ host, port: server.port }, undefined, 5000)
  const both = Promise.withResolvers<void>()
  const seen: string[] = []
  await connection.subscribe('news1', (text) => seen.push(text) === 2 && both.resolve(), 5000)
  await both.promise
  assert.equal(seen, ['first', 'second'])
  connection.cut()
  await connection.closed
})

test('ends with the reason of its signal, also while it waits for a reply', async () => {
  const server = createServer((socket) => {
    socket.once('data', () => socket.write('+PONG\r\n'))
    socket.on('error', () => undefined)
  })
  server.listen(0, host)
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const leave = new AbortController()
    const connection = await RedisConnection.open({ host, port }, undefined, 5000, leave.signal)
    const waiting = connection.send(['ROLE'], 60_000).catch((error: unknown) => error)
    leave.abort(new Error('another is master'))
    assert.is(((await waiting) as Error).message, 'another is master')
    await connection.closed
    const late = await RedisConnection.open({ host, port }, undefined, 5000, leave.signal).catch((error) => error)
    assert.is((late as Error).message, 'another is master')
  } finally {
    server.close()
  }
})

test.run()
