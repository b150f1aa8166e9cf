/** Word of a switch: which member it names, other groups, a Sentinel that comes back. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { followSwitches } from '../../../tasks/resilience/sentinel-switches.ts'

const test = suite('switches that Sentinel tells of')
const host = '127.0.0.1'

const part = (text: string) => `$${text.length}\r\n${text}\r\n`
const message = (text: string) => `*3\r\n${part('message')}${part('+switch-master')}${part(text)}`

/** A Sentinel that says `texts[n]` to its n-th subscriber, and then closes the connection. */
function sentinel(texts: readonly string[]) {
  let next = 0
  return createServer((socket: Socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      if (!chunk.toString().includes('SUBSCRIBE')) return socket.write('+PONG\r\n')
      socket.write(`*3\r\n${part('subscribe')}${part('+switch-master')}:1\r\n`)
      socket.end(message(texts[next] ?? 'other none 1 none 2'))
      next += 1
      return true
    })
  })
}

test('names the old master of this group, and listens again after a Sentinel was away', async () => {
  const server = sentinel([
    'devstack redis1 6379 redis2 6379',
    'other redis9 6379 redis8 6379',
    'devstack redis2 1 redis3 1',
  ])
  server.listen(0, host)
  await once(server, 'listening')
  const stop = new AbortController()
  const seen: string[] = []
  try {
    const { port } = server.address() as AddressInfo
    const enough = Promise.withResolvers<void>()
    const following = followSwitches([{ host, port }], {
      password: undefined,
      onSwitch: (old) => seen.push(old) === 2 && enough.resolve(),
      signal: stop.signal,
    })
    await enough.promise
    stop.abort()
    await following
    assert.equal(seen, ['redis1', 'redis2'])
  } finally {
    stop.abort()
    server.close()
  }
})

test('leaves no connection behind to a Sentinel that refuses the subscription', async () => {
  const closed: Promise<void>[] = []
  const again = Promise.withResolvers<void>()
  let asked = 0
  const server = createServer((socket: Socket) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    closed.push(promise)
    socket.on('error', () => undefined)
    socket.on('close', () => resolve())
    socket.on('data', (chunk) => {
      socket.write(chunk.toString().includes('SUBSCRIBE') ? '-NOPERM no\r\n' : '+PONG\r\n')
      if (!chunk.toString().includes('SUBSCRIBE')) return
      asked += 1
      if (asked === 2) again.resolve()
    })
  })
  server.listen(0, host)
  await once(server, 'listening')
  const stop = new AbortController()
  try {
    const { port } = server.address() as AddressInfo
    const following = followSwitches([{ host, port }], {
      password: undefined,
      onSwitch: () => assert.unreachable(),
      signal: stop.signal,
    })
    await again.promise
    stop.abort()
    await following
    await Promise.all(closed)
    assert.is(closed.length, 2)
  } finally {
    stop.abort()
    server.close()
  }
})

test('ends with its signal while no Sentinel answers', async () => {
  const server = createServer()
  server.listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const signal = AbortSignal.timeout(50)
  await followSwitches([{ host, port }], { password: undefined, onSwitch: () => assert.unreachable(), signal })
  assert.ok(signal.aborted)
})

test.run()
