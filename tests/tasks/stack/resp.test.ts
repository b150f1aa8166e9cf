import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { askRedis, encodeCommand, parseReply, RedisError, type Reply } from '../../../tasks/stack/resp.ts'

const test = suite('resp')

const scalar: fc.Arbitrary<Reply> = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.integer(),
  fc.constant(null),
  fc.stringMatching(/^[A-Z]{1,8} [a-z ]{0,20}$/).map((message) => new RedisError(message)),
)
const reply: fc.Arbitrary<Reply> = fc.letrec<{ reply: Reply; list: Reply }>((tie) => ({
  reply: fc.oneof({ maxDepth: 3, withCrossShrink: true }, scalar, tie('list')),
  list: fc.array(tie('reply'), { maxLength: 4 }),
})).reply

function encode(value: Reply): string {
  if (value === null) return '$-1\r\n'
  if (typeof value === 'number') return `:${value}\r\n`
  if (typeof value === 'string') return `$${Buffer.byteLength(value)}\r\n${value}\r\n`
  if (value instanceof RedisError) return `-${value.message}\r\n`
  return `*${value.length}\r\n${value.map(encode).join('')}`
}

test('every reply is read back as it was written, and where it ends', () => {
  fc.assert(
    fc.property(reply, fc.string(), (value, rest) => {
      const text = encode(value)
      const parsed = parseReply(Buffer.from(text + rest))
      assert.equal(parsed?.reply, value)
      assert.is(parsed?.next, Buffer.byteLength(text))
    }),
  )
})

test('no prefix of a reply is taken for the whole', () => {
  fc.assert(
    fc.property(reply, fc.nat(), (value, cut) => {
      const data = Buffer.from(encode(value))
      assert.is(parseReply(data.subarray(0, cut % data.length)), undefined)
    }),
  )
})

test('a command is an array of bulk strings, counted in bytes', () => {
  assert.is(encodeCommand(['SET', 'ä', '']), '*3\r\n$3\r\nSET\r\n$2\r\nä\r\n$0\r\n\r\n')
})

test('what is no Redis is named as such', () => {
  assert.throws(() => parseReply(Buffer.from('HTTP/1.1 400 Bad Request\r\n')), /not a Redis reply: "HTTP/)
})

test('password first, then all commands; replies in order, over however many packets', async () => {
  const seen: string[] = []
  await withServer(
    (socket) => {
      socket.setNoDelay()
      socket.on('data', (chunk) => {
        seen.push(chunk.toString())
        if (!seen.join('').endsWith(encodeCommand(['INCR', 'b']))) return
        socket.write('+OK\r\n$3\r\none\r', () => setImmediate(() => socket.write('\n:2\r\n')))
      })
    },
    async (target) => {
      assert.equal(
        await askRedis(
          target,
          [
            ['GET', 'a'],
            ['INCR', 'b'],
          ],
          { password: 'secret' },
        ),
        ['one', 2],
      )
    },
  )
  assert.is(
    seen.join(''),
    encodeCommand(['AUTH', 'secret']) + encodeCommand(['GET', 'a']) + encodeCommand(['INCR', 'b']),
  )
})

test('a refused password is thrown, the error of a command is a reply', async () => {
  await withServer(
    (socket) => socket.write('-WRONGPASS invalid\r\n-NOAUTH Authentication required.\r\n'),
    async (target) => {
      const error = await askRedis(target, [['PING']], { password: 'x' }).catch((thrown: unknown) => thrown)
      assert.instance(error, RedisError)
      assert.is((error as RedisError).code, 'WRONGPASS')
    },
  )
  await withServer(
    (socket) => socket.write('-LOADING busy\r\n'),
    async (target) => {
      const [only] = await askRedis(target, [['PING']])
      assert.is((only as RedisError).code, 'LOADING')
    },
  )
})

test('a connection that ends early, and an abort, both reject', async () => {
  await withServer(
    (socket) => socket.end('+OK\r\n'),
    async (target) => {
      const error = await askRedis(target, [['PING'], ['PING']]).catch((thrown: Error) => thrown)
      assert.match(String(error), /closed the connection/)
    },
  )
  await withServer(
    () => {},
    async (target) => {
      const abort = new AbortController()
      const asked = askRedis(target, [['PING']], { signal: abort.signal })
      abort.abort(new Error('enough'))
      assert.is(((await asked.catch((thrown: Error) => thrown)) as Error).message, 'enough')
    },
  )
})

async function withServer(
  answer: (socket: Socket) => void,
  use: (target: { host: string; port: number }) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    answer(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await use({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  } finally {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
}

test.run()
