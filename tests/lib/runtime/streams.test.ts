import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { unixTime } from '../../../lib/runtime/docker/logs.ts'
import { demultiplexer, jsonMessages, textLines } from '../../../lib/runtime/docker/streams.ts'
import { frame } from './fake-engine.ts'

const test = suite('engine streams')

/** The bytes cut at these places. */
function cut(bytes: Uint8Array, places: readonly number[]): readonly Uint8Array[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end))
}

async function* source(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

test('law: frames come out as they went in, however the bytes are cut', () => {
  const messages = fc.array(fc.tuple(fc.constantFrom(1 as const, 2 as const), fc.uint8Array({ maxLength: 40 })))
  fc.assert(
    fc.property(messages, fc.array(fc.nat(), { maxLength: 20 }), (sent, places) => {
      const split = demultiplexer({ raw: false })
      const wire = Buffer.concat(sent.map(([stream, bytes]) => frame(stream, bytes)))
      const got = [...cut(wire, places).flatMap((chunk) => split.push(chunk)), ...split.rest()]
      assert.equal(
        got.map(({ stream, bytes }) => [stream, Buffer.from(bytes).toString('hex')]),
        sent.map(([stream, bytes]) => [stream === 1 ? 'stdout' : 'stderr', Buffer.from(bytes).toString('hex')]),
      )
    }),
  )
})

test('bytes that cannot be frames are given as they are', () => {
  const split = demultiplexer({ raw: false })
  const text = 'a terminal has no frames'
  const got = split.push(Buffer.from(text)).concat(split.push(Buffer.from('!')))
  assert.is(got.map(({ bytes }) => Buffer.from(bytes).toString()).join(''), `${text}!`)
})

test('law: lines come out whole, however the bytes are cut', async () => {
  const line = fc.stringMatching(/^[a-zäöü€😀 ]{0,12}$/u)
  await fc.assert(
    fc.asyncProperty(fc.array(line, { minLength: 1 }), fc.array(fc.nat(), { maxLength: 20 }), async (sent, places) => {
      const got: string[] = []
      for await (const one of textLines(source(cut(Buffer.from(`${sent.join('\n')}\n`), places)))) got.push(one)
      assert.equal(got, sent)
    }),
  )
})

test('what is no JSON in a stream of JSON is output', async () => {
  const got = []
  for await (const message of jsonMessages(source([Buffer.from('{"a":1}\r\n\nplain words\n7\n{"b":2}')])))
    got.push(message)
  assert.equal(got, [{ a: 1 }, { stream: 'plain words\n' }, { b: 2 }])
})

test('times as engines read them', () => {
  assert.is(unixTime(12), '12')
  assert.is(unixTime(0), '0')
  assert.is(unixTime(100), '100')
  assert.is(unixTime(12.5), '12.5')
  assert.is(unixTime('1970-01-01T00:00:12Z'), '12')
  assert.is(unixTime('1970-01-01T01:00:12.000000001+01:00'), '12.000000001')
  assert.throws(() => unixTime('yesterday'), /RFC 3339/)
})

test.run()
