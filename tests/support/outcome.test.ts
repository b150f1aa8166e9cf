import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { readOutcome } from './outcome.ts'
import { summary } from './summary.ts'

const ended = { exitCode: 0, timedOut: false, deadlineMs: 1000 }
const totals = (total: number, passed: number, skipped = 0) =>
  `\n  Total:     ${total}\n  Passed:    ${passed}\n  Skipped:   ${skipped}\n  Duration:  1.63ms\n`
const failing = [
  ' alpha  • ✘   (1 / 2)',
  '',
  '   FAIL  alpha  "two "quoted""',
  '    Expected values to be strictly equal:  (is)',
  '',
  '        ++2    (Expected)',
  '    at Module.is (file:///repo/node_modules/uvu/assert/index.mjs:41:2)',
  '    at Object.handler (file:///repo/tests/x.test.ts:3:75)',
  '',
].join('\n')

const outcome = suite('outcome of a test file')

outcome('takes the counts of a file that passed', () => {
  const read = readOutcome({ ...ended, output: ` a  • •   (2 / 2)\n${totals(2, 2, 1)}` })
  assert.equal(read, { passed: 2, failed: 0, skipped: 1, failures: [], notRun: [] })
})

outcome('names a failed test, its message and its line', () => {
  const read = readOutcome({ ...ended, exitCode: 1, output: `${failing}${totals(2, 1)}` })
  assert.is(read.failed, 1)
  assert.equal(read.failures, [
    {
      test: 'alpha › two "quoted"',
      message: 'Expected values to be strictly equal:  (is)',
      place: '/repo/tests/x.test.ts:3:75',
    },
  ])
})

outcome('is a failure when fewer passed than there are, whatever the exit code', () => {
  const read = readOutcome({ ...ended, output: totals(3, 1) })
  assert.is(read.failed, 2)
  assert.match(read.failures[0]!.message, '2 more did not pass')
})

const failures: readonly [string, Partial<Parameters<typeof readOutcome>[0]>, RegExp][] = [
  ['crashes', { exitCode: 1, output: 'TypeError: x is not a function\n    at y' }, /crashed .*TypeError: x is not/],
  ['says nothing', { output: '' }, /without reporting a test/],
  ['has no test', { output: totals(0, 0) }, /has no test/],
  ['runs into its deadline', { exitCode: null, timedOut: true, output: totals(1, 1) }, /did not end within 1 s/],
  ['is ended by a signal', { exitCode: null, output: totals(1, 1) }, /signal/],
  ['passes and then fails', { exitCode: 7, output: totals(1, 1) }, /exit code 7/],
]
for (const [name, ending, message] of failures) {
  outcome(`is a failure when the file ${name}`, () => {
    const read = readOutcome({ ...ended, output: '', ...ending })
    assert.is(read.failed, 1)
    assert.match(read.failures[0]!.message, message)
  })
}

outcome('lets a file that says why it was not run count as skipped', () => {
  const read = readOutcome({ ...ended, output: 'not run: no container engine\n' })
  assert.equal(read, { passed: 0, failed: 0, skipped: 1, failures: [], notRun: ['no container engine'] })
})

outcome('counts a suite that says why it was not run as skipped, beside what passed', () => {
  const read = readOutcome({ ...ended, output: ` on podman  not run: podman is missing\n • (1 / 1)\n${totals(1, 1)}` })
  assert.equal(read, { passed: 1, failed: 0, skipped: 1, failures: [], notRun: ['podman is missing'] })
})

outcome.run()

const lines = suite('summary')

lines('ends with one plain line and puts the causes before it', () => {
  const failed = readOutcome({ ...ended, exitCode: 1, output: `${failing}${totals(2, 1)}` })
  const { text } = summary({
    results: [{ name: 'tests/x.test.ts', outcome: failed }],
    flaky: ['tests/y.test.ts'],
    shorten: (place) => place.replace('/repo/', ''),
  })
  assert.equal(text, [
    'failed: tests/x.test.ts › alpha › two "quoted": Expected values to be strictly equal:  (is) (tests/x.test.ts:3:75)',
    'flaky: tests/y.test.ts',
    '1 passed, 1 failed',
  ])
})

lines('counts what was skipped only when something was', () => {
  const skippedOne = readOutcome({ ...ended, output: 'not run: no engine\n' })
  assert.is(
    summary({ results: [{ name: 'a', outcome: skippedOne }], flaky: [] }).text.at(-1),
    '0 passed, 0 failed, 1 skipped',
  )
})

lines.run()
