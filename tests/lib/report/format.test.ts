import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  coloursWanted,
  count,
  createPaint,
  formatBytes,
  formatDuration,
  formatRate,
  pad,
  paint,
  table,
  textWidth,
  truncate,
} from '../../../lib/report/format.ts'
import { visibleText } from '../../../lib/report/width.ts'

const format = suite('format')

format('durations', () => {
  const cases: [number, string][] = [
    [0, '0 ms'],
    [-5, '0 ms'],
    [Number.NaN, '0 ms'],
    [84.6, '85 ms'],
    [999.4, '999 ms'],
    [999.5, '1.0 s'],
    [1234, '1.2 s'],
    [59_949, '59.9 s'],
    [59_960, '1 min 00 s'],
    [125_000, '2 min 05 s'],
    [3_599_600, '1 h 00 min'],
    [3_720_000, '1 h 02 min'],
    [90_000_000, '25 h 00 min'],
  ]
  for (const [ms, text] of cases) assert.is(formatDuration(ms), text)
})

format('sizes, rates and counts', () => {
  const sizes: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [10_240, '10 KiB'],
    [1_048_575, '1.0 MiB'],
    [21 * 1024 ** 2, '21 MiB'],
    [-2048, '-2.0 KiB'],
    [Number.POSITIVE_INFINITY, '? B'],
  ]
  for (const [bytes, text] of sizes) assert.is(formatBytes(bytes), text)
  assert.is(formatRate(10 * 1024 ** 2, 2000), '5.0 MiB/s')
  assert.is(formatRate(830, 1000, 'rows'), '830 rows/s')
  assert.is(formatRate(1, 0), '0 B/s')
  assert.is(count(1, 'task'), '1 task')
  assert.is(count(2, 'entry', 'entries'), '2 entries')
})

format('no size is ever printed as 1024 of its unit', () => {
  fc.assert(fc.property(fc.nat({ max: 2 ** 31 }), (bytes) => !/^1024 [KMG]/.test(formatBytes(bytes))))
})

format('widths of wide, combined and coloured text', () => {
  assert.is(textWidth('abc'), 3)
  assert.is(textWidth('\u001b[31mabc\u001b[39m'), 3)
  assert.is(textWidth('漢字'), 4)
  assert.is(textWidth('e\u0301'), 1)
  assert.is(textWidth('👩‍👩‍👧'), 2)
  assert.is(textWidth('✔ ⠋ ━'), 5)
  assert.is(truncate('漢字漢字', 5), '漢字…')
  assert.is(truncate('abc', 3), 'abc')
  assert.is(truncate('abcd', 3), 'ab…')
  assert.is(truncate('abcd', 0), '')
  assert.is(pad('漢', 4), '漢  ')
  assert.is(pad('7', 3, 'right'), '  7')
})

format('truncated text always fits', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat({ max: 30 }), (text, width) => {
      assert.ok(textWidth(truncate(visibleText(text).replaceAll('\n', ' '), width)) <= width)
    }),
  )
})

format('visible text holds no control character but line feeds', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.not.match(visibleText(`${text}\u001b[2J\u0007\r`), /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
    }),
  )
})

format('tables are aligned, cut to the width and never break a line', () => {
  const rows = [
    { name: 'etcd1', role: 'leader\nof all', ms: 12 },
    { name: '漢字', role: 'replica', ms: 3 },
  ]
  const columns = [
    { title: 'NAME', value: (row: (typeof rows)[number]) => row.name },
    { title: 'MS', value: (row: (typeof rows)[number]) => row.ms, align: 'right' as const },
    { title: 'ROLE', value: (row: (typeof rows)[number]) => row.role },
  ]
  assert.is(table(rows, { columns }), 'NAME   MS  ROLE\netcd1  12  leader of all\n漢字    3  replica')
  assert.is(table(rows, { columns, width: 20, header: false }), 'etcd1  12  leader o…\n漢字    3  replica')
  assert.is(table([], { columns }), '')
  const coloured = [{ ...columns[0]!, paint: (text: string) => `<${text}>` }, columns[1]!]
  assert.is(table(rows, { columns: coloured, header: false }), '<etcd1>  12\n<漢字 >   3')
})

format('colours honour NO_COLOR, FORCE_COLOR and dumb terminals', () => {
  const wanted = (isTTY: boolean, environment: Record<string, string>) => coloursWanted({ isTTY, environment })
  assert.ok(wanted(true, {}))
  assert.not.ok(wanted(false, {}))
  assert.not.ok(wanted(true, { NO_COLOR: '1' }))
  assert.ok(wanted(true, { NO_COLOR: '' }))
  assert.ok(wanted(false, { FORCE_COLOR: '1', NO_COLOR: '1' }))
  assert.not.ok(wanted(true, { FORCE_COLOR: '0' }))
  assert.not.ok(wanted(true, { TERM: 'dumb' }))
  assert.is(createPaint(false).red('x'), 'x')
  const colours = createPaint(true)
  assert.is(colours.red('x'), '\u001b[31mx\u001b[39m')
  assert.is(colours.red(`a${colours.blue('b')}c`), '\u001b[31ma\u001b[34mb\u001b[39m\u001b[31mc\u001b[39m')
  const before = process.env['FORCE_COLOR']
  process.env['FORCE_COLOR'] = '1'
  assert.is(paint.green('x'), '\u001b[32mx\u001b[39m')
  if (before === undefined) delete process.env['FORCE_COLOR']
  else process.env['FORCE_COLOR'] = before
})

format.run()
