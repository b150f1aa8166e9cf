import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { commentSql, continueTrace, traceparent } from '../../../infrastructure/backend/src/trace.ts'
import { childTraceparent } from '../../../infrastructure/frontend/lib/trace.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const valid = `00-${traceId}-${parentId}-01`

const invalid = [
  undefined,
  '',
  'junk',
  `ff-${traceId}-${parentId}-01`,
  `00-${'0'.repeat(32)}-${parentId}-01`,
  `00-${traceId}-${'0'.repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${parentId}-01`,
  `00-${traceId}-${parentId}`,
]

const traces = suite('trace context')

traces("continues the caller's trace in a span of its own", () => {
  const trace = continueTrace(valid, 'vendor=1')
  assert.is(trace.traceId, traceId)
  assert.is(trace.parentId, parentId)
  assert.is.not(trace.spanId, parentId)
  assert.is(trace.state, 'vendor=1')
  assert.is(traceparent(trace), `00-${traceId}-${trace.spanId}-01`)
})

traces('takes later versions with more fields, and not those of version 00', () => {
  assert.is(continueTrace(`01-${traceId}-${parentId}-01-more`).traceId, traceId)
  assert.is.not(continueTrace(`${valid}-more`).traceId, traceId)
})

traces('begins a trace without state where the header is missing or invalid', () => {
  for (const header of invalid) {
    const trace = continueTrace(header, 'vendor=1')
    assert.match(trace.traceId, /^[0-9a-f]{32}$/)
    assert.is.not(trace.traceId, traceId)
    assert.is(trace.parentId, undefined)
    assert.is(trace.state, undefined)
  }
})

traces('the frontend hands a trace on by the same rules', () => {
  assert.match(childTraceparent(valid), new RegExp(`^00-${traceId}-(?!${parentId})[0-9a-f]{16}-01$`))
  for (const header of invalid) {
    assert.match(childTraceparent(header), /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
    assert.not.match(childTraceparent(header), traceId)
  }
})

traces.run()

const comments = suite('SQL comments')

comments('are sorted, encoded, and absent without a tag', () => {
  assert.is(
    commentSql('SELECT 1; ', { route: "/api/a'b", absent: undefined, application: 'x*/y' }),
    "SELECT 1 /*application='x%2A%2Fy',route='%2Fapi%2Fa%27b'*/",
  )
  assert.is(commentSql('SELECT 1', { absent: undefined }), 'SELECT 1')
})

comments('no value can end its comment or its quotes', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })), (tags) => {
      const text = commentSql('', tags)
      if (text === '') return
      const inner = /^ \/\*(.*)\*\/$/s.exec(text)![1]!
      assert.not.match(inner, /\*|\/|\\/)
      assert.match(inner, /^[^']*='[^']*'(,[^']*='[^']*')*$/)
    }),
  )
})

comments.run()
