import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatDuration, parseBytes, parseDuration, splitWords } from '../../../lib/compose/units.ts'

const test = suite('compose units')

test('durations are milliseconds', () => {
  const known: readonly (readonly [string, number | undefined])[] = [
    ['10ms', 10],
    ['40s', 40_000],
    ['1m30s', 90_000],
    ['1h5m30s20ms', 3_930_020],
    ['1.5s', 1500],
    ['.5s', 500],
    ['500us', 0.5],
    ['0', 0],
    ['0s', 0],
    ['2d', 172_800_000],
    ['5', undefined],
    ['', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['1s ', undefined],
    ['5 s', undefined],
    ['1w', undefined],
  ]
  for (const [text, ms] of known) assert.is(parseDuration(text), ms, text)
})

test('a duration that is printed reads back as itself', () => {
  fc.assert(fc.property(fc.nat(), (ms) => parseDuration(formatDuration(ms)) === ms))
  assert.is(parseDuration(formatDuration(0.5)), 0.5)
})

test('sizes are bytes in powers of 1024', () => {
  const known: readonly (readonly [string, number | undefined])[] = [
    ['4096', 4096],
    ['2b', 2],
    ['1024kb', 1_048_576],
    ['2k', 2048],
    ['300m', 314_572_800],
    ['1gb', 1_073_741_824],
    ['1.5G', 1_610_612_736],
    ['64MiB', 67_108_864],
    ['', undefined],
    ['m', undefined],
    ['-5m', undefined],
    ['5x', undefined],
    ['99999999999p', undefined],
  ]
  for (const [text, bytes] of known) assert.is(parseBytes(text), bytes, text)
})

test('command lines are split as a shell would', () => {
  const known: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['a b  c', ['a', 'b', 'c']],
    ['', []],
    ['  ', []],
    [`sh -c 'echo "x" y'`, ['sh', '-c', 'echo "x" y']],
    [`sh -c "echo 'x' \\"y\\" \\n"`, ['sh', '-c', `echo 'x' "y" \\n`]],
    ['a\\ b', ['a b']],
    [`a''`, ['a']],
    [`''`, ['']],
    [`x="a b"c`, ['x=a bc']],
    ['a\\\nb', ['ab']],
    [`'open`, undefined],
    ['open"', undefined],
    ['end\\', undefined],
  ]
  for (const [text, words] of known) assert.equal(splitWords(text), words, text)
})

test('words in single quotes come back as they were', () => {
  const word = fc.string({ minLength: 1 }).filter((text) => !text.includes("'"))
  fc.assert(
    fc.property(fc.array(word), (words) => {
      assert.equal(splitWords(words.map((one) => `'${one}'`).join(' ')), words)
    }),
  )
})

test.run()
