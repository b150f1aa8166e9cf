/** Small parts of the data pack: moments, roles, frames, comparisons. */
import { createHash } from 'node:crypto'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { identifier, literal } from '../../../tasks/data/cluster.ts'
import { compareContents } from '../../../tasks/data/contents.ts'
import { connectionText } from '../../../tasks/data/dump.ts'
import { FileSink } from '../../../tasks/data/files.ts'
import { FrameWriter, readFrames } from '../../../tasks/data/frames.ts'
import { missingRoles } from '../../../tasks/data/globals.ts'
import { formatMoment, parseMoment } from '../../../tasks/data/moment.ts'
import { temporaryFolder } from './folder.ts'

const test = suite('data')

test('moments', () => {
  const now = new Date('2026-11-30T12:00:00Z')
  const at = (text: string) => parseMoment(text, now).toISOString()
  assert.is(at('10 minutes ago'), '2026-11-30T11:50:00.000Z')
  assert.is(at('1 minute ago'), '2026-11-30T11:59:00.000Z')
  assert.is(at('90s ago'), '2026-11-30T11:58:30.000Z')
  assert.is(at('1.5 hours ago'), '2026-11-30T10:30:00.000Z')
  assert.is(at('2 days ago'), '2026-11-28T12:00:00.000Z')
  assert.is(at('2026-11-30T11:00:00Z'), '2026-11-30T11:00:00.000Z')
  assert.is(at('2026-11-30 11:00:00.25+01:00'), '2026-11-30T10:00:00.250Z')
  for (const text of [
    '',
    'yesterday',
    '10 minutes',
    'minutes ago',
    '5 parsecs ago',
    '2026-13-40',
    '2027-01-01T00:00:00Z',
  ])
    assert.throws(() => at(text), /is no moment|in the future/)
  assert.is(formatMoment(now), '2026-11-30 12:00:00.000+00')
})

test('roles that are there keep their passwords', () => {
  const globals = [
    '\\restrict abc',
    'SET standard_conforming_strings = on;',
    'CREATE ROLE app;',
    "ALTER ROLE app WITH LOGIN PASSWORD 'SCRAM-SHA-256$x';",
    'CREATE ROLE "Read ""er";',
    'ALTER ROLE "Read ""er" WITH NOLOGIN;',
    'CREATE ROLE application;',
    'GRANT app TO "Read ""er" GRANTED BY postgres;',
  ].join('\n')
  assert.equal(missingRoles(globals, new Set(['app', 'postgres'])), [
    'CREATE ROLE "Read ""er";',
    'ALTER ROLE "Read ""er" WITH NOLOGIN;',
    'CREATE ROLE application;',
    'GRANT app TO "Read ""er" GRANTED BY postgres;',
  ])
  assert.equal(missingRoles(globals, new Set(['app', 'Read "er', 'application'])).length, 1)
})

test('names and texts are quoted', () => {
  assert.is(identifier('a"b'), '"a""b"')
  assert.is(literal("it's"), "'it''s'")
  assert.is(literal('a\\b'), " E'a\\\\b'")
  assert.is(connectionText("x=1'"), "dbname='x=1\\''")
})

test('states are compared table by table', () => {
  const table = (name: string, rows: number, checksum = '1') => ({ name, rows, checksum })
  assert.equal(compareContents([table('a', 1)], [table('a', 1)]), [])
  assert.equal(
    compareContents([table('a', 1), table('b', 2), table('c', 3)], [table('a', 2), table('c', 3, '2'), table('d', 0)]),
    ['a has 2 rows instead of 1', 'b is missing', 'c has 3 rows, some of which differ', 'd is not in the backup'],
  )
})

test('frames give back what was written, however it was cut', async () => {
  const folder = temporaryFolder()
  const quiet = { signal: new AbortController().signal, label: '', progress: () => {} }
  let count = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(3_000_000), { maxLength: 6 }), async (sizes) => {
      count += 1
      const file = join(folder.path, `${count}.zst`)
      const sink = new FileSink(file)
      const writer = new FrameWriter((frame) => sink.write(frame))
      const written = createHash('sha256')
      for (const [index, size] of sizes.entries()) {
        const chunk = Buffer.alloc(size, `piece ${index}`)
        written.update(chunk)
        writer.push(chunk)
      }
      writer.finish()
      const { bytes } = sink.finish()
      assert.is(
        bytes,
        writer.frames.reduce((sum, length) => sum + length, 0),
      )
      const found = createHash('sha256')
      for await (const piece of readFrames({ file, frames: writer.frames, rawBytes: writer.rawBytes, ...quiet }))
        found.update(piece)
      assert.is(found.digest('hex'), written.digest('hex'))
    }),
    { numRuns: 15 },
  )
  const broken = join(folder.path, 'broken')
  writeFileSync(broken, 'no frame')
  appendFileSync(broken, ' at all')
  let said = ''
  try {
    for await (const piece of readFrames({ file: broken, frames: [15], rawBytes: 1, ...quiet })) said += piece.length
  } catch (thrown) {
    said = (thrown as Error).message
  }
  assert.match(said, /can not be unpacked/)
  folder.remove()
})

test.run()
