import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ErrorFact, RunEvent } from '../../../lib/engine/events.ts'
import { createPaint } from '../../../lib/report/format.ts'
import { createLinesReporter, type LinesOptions } from '../../../lib/report/lines.ts'
import { createLineBuffer } from '../../../lib/report/output.ts'
import { cancelledRun, failedRun, manyNodes, Script, step, successfulRun } from '../../support/events.ts'

const lines = suite('lines')

function render(events: readonly RunEvent[], options: Partial<LinesOptions> = {}): string {
  let text = ''
  const reporter = createLinesReporter({
    ...options,
    write: (part) => {
      text += part
    },
  })
  for (const event of events) reporter.report(event)
  return text
}

lines('a run that succeeds', () => {
  assert.is(
    render(successfulRun()),
    `run 20260102-030405-ab12: up (6 tasks)
image        : reused: its context is unchanged
network      : started
network      : done in 120 ms
etcd1:start  : ready after 900 ms
patroni1     | bootstrap in progress
patroni1     | leader: patroni1
patroni1     : attempt 1 failed, next in 200 ms: connection refused
patroni1     : started, attempt 2
patroni1     : ready after 2.2 s
warning: fsync is off: data do not survive a crash of the machine.
seed         : started
seed         : rows 50 of 100
seed         | seeded 100 rows
seed         : done in 50 ms

✔ succeeded in 3.3 s: 5 done, 1 reused
  critical path 3.3 s: network → etcd1:create → etcd1:start → patroni1 → seed
`,
  )
})

lines('what several failures say alike is said once, at the first of them', () => {
  const script = new Script().start(['up'], [step('image'), step('network'), step('check')])
  const error = { code: 'UNREACHABLE', kind: 'runtime', message: 'No engine answers.', hint: 'Start it.', exitCode: 1 }
  const tell = (node: string, message: string): void => {
    script.node(node, { type: 'node-failed', durationMs: 10, error: { ...error, message } as ErrorFact })
  }
  tell('image', 'No engine answers.')
  tell('network', 'No engine answers.')
  tell('check', 'Another one answers.')
  const shown = render(script.finish('failed', { failed: 3 }).events)
  assert.is(
    shown.slice(shown.indexOf('✖'), shown.lastIndexOf('✖')),
    `✖ image failed: No engine answers.
  → Start it.
✖ network failed like image

✖ check failed: Another one answers.
  → Start it.

`,
  )
})

lines('a run that fails says each failure once more at its end, with the autopsy or the last output', () => {
  assert.is(
    render(failedRun()),
    `run 20260102-030405-ab12: up (4 tasks)
migrate  : started
migrate  | applying 0007_users
migrate  | ERROR: syntax error at "TABEL"
migrate  : failed after 500 ms: \`npm run migrate\` ended with exit code 1.
migrate  : cleanup failed: rm: tmp is busy
patroni2 : failed after 1 min 00 s: PostgreSQL leader elected did not hold within 60 s.

✖ patroni2 failed: PostgreSQL leader elected did not hold within 60 s.
  asked     GET http://127.0.0.1:8008/leader, 412 times in 1 min 00 s
  answers   connect ECONNREFUSED 127.0.0.1:8008 (31 times in a row)
            503 no leader (381 times in a row)
  container shop-patroni2-1: exited, exit code 137, killed, out of memory, restarted 4 times
  last 2 log lines
    | INFO: waiting for leader to bootstrap
    | FATAL: could not write lock file
  blocked   backend, frontend
  further   devstack logs patroni2
  → devstack logs patroni2 shows more.

✖ migrate failed: \`npm run migrate\` ended with exit code 1.
  at migrations/0007_users.sql:12:3
      ALTER TABEL users
  its last 2 lines of output
    | applying 0007_users
    | ERROR: syntax error at "TABEL"
  → Fix the migration, then devstack resume.
! migrate: cleaning up failed: rm: tmp is busy

✖ failed in 1 min 00 s: 2 failed, 2 cancelled
  more:   devstack show 20260102-030405-ab12
  go on:  devstack resume 20260102-030405-ab12
`,
  )
})

lines('output that the error tells itself is not told twice', () => {
  const script = new Script().start(['x'], [step('x')])
  script.node('x', { type: 'node-output', stream: 'stdout', text: 'boom\n' })
  const error = { code: 'X', kind: 'task', message: 'x failed', details: ['boom'], exitCode: 1 }
  script.node('x', { type: 'node-failed', error, durationMs: 1 }).finish('failed', { failed: 1 })
  assert.is(render(script.events, { quiet: true }).match(/boom/g)?.length, 1)
})

lines('a run whose services did not all get ready says which containers are left', () => {
  const services = (...names: string[]) =>
    names.flatMap((name) => [
      step(`${name} create`, { partOf: name }),
      step(`${name} start`, { partOf: name, needs: [`${name} create`] }),
      step(name, { partOf: name, service: true, needs: [`${name} start`] }),
    ])
  const done = { type: 'node-done', value: null, durationMs: 1 } as const
  const error = { code: 'X', kind: 'task', message: 'no', exitCode: 1 }
  const script = new Script().start(['up'], [...services('db', 'web', 'late'), step('test')])
  for (const node of ['db create', 'db start', 'web create']) script.node(node, done)
  script.node('db', { type: 'node-ready', value: null, durationMs: 1 })
  const failed = new Script().start(['test'], [...services('db'), step('test')])
  for (const node of ['db create', 'db start']) failed.node(node, done)
  failed
    .node('db', { type: 'node-ready', value: null, durationMs: 1 })
    .node('test', { type: 'node-failed', error, durationMs: 1 })
  script.node('web start', { type: 'node-failed', error, durationMs: 1 }).finish('failed', { failed: 1 })
  assert.match(
    render(script.events),
    / {2}left: {3}2 containers \(db, web\): devstack run up goes on with them, devstack run down removes them\n$/,
  )
  assert.not.match(render(failed.finish('failed', { failed: 1 }).events), 'left:', 'a stack that is up')
})

lines('a cancelled run', () => {
  assert.is(
    render(cancelledRun(), { verbose: true }),
    `run 20260102-030405-ab12: test (2 tasks)
build : started
test  : waits for build
build : cancelled: interrupted
test  : cancelled: interrupted

⊘ cancelled in 1.5 s: 2 cancelled
  go on:  devstack resume 20260102-030405-ab12
`,
  )
})

lines('quiet says warnings, failures and the end', () => {
  assert.is(
    render(successfulRun(), { quiet: true }),
    `warning: fsync is off: data do not survive a crash of the machine.
✔ succeeded in 3.3 s: 5 done, 1 reused
  critical path 3.3 s: network → etcd1:create → etcd1:start → patroni1 → seed
`,
  )
})

lines('no escape sequence, no carriage return, no control character leaves into a pipe', () => {
  const script = new Script().start(['x'], [step('x')])
  script.node('x', {
    type: 'node-output',
    stream: 'stdout',
    text: '\u001b[2J\u001b]0;title\u0007 10 %\r 50 %\r100 %\r\nok\u0000\u009b31m\n',
  })
  script.node('x', {
    type: 'node-output',
    stream: 'stdout',
    text: Buffer.from([0xff, 0xfe, 0, 1, 2, 0x1b, 0x5b]).toString('utf8'),
  })
  const text = render(script.events)
  assert.not.match(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
  assert.match(text, /x {3} \| 100 %\nx {3} \| ok/)
})

lines('10 MB on one line become one bounded line that says so, in one chunk or in many', () => {
  const whole = new Script().start(['x'], [step('x')])
  whole.node('x', { type: 'node-output', stream: 'stdout', text: 'y'.repeat(10_000_000) })
  whole.node('x', { type: 'node-done', value: null, durationMs: 1 })
  const text = render(whole.events)
  assert.ok(text.length < 5000)
  assert.match(text, /y… \(9995904 more characters not shown\)\nx {4}: done/)
  const chunked = new Script().start(['x'], [step('x')])
  for (let at = 0; at < 100; at += 1)
    chunked.node('x', { type: 'node-output', stream: 'stdout', text: 'y'.repeat(100_000) })
  chunked.node('x', { type: 'node-done', value: null, durationMs: 1 })
  assert.is(render(chunked.events), text)
})

lines('chunks become the lines they were written as, each stream on its own', () => {
  const script = new Script().start(['x'], [step('x')])
  const say = (stream: 'stdout' | 'stderr' | 'log', text: string) =>
    script.node('x', { type: 'node-output', stream, text })
  say('stdout', 'out')
  say('stderr', 'error\r')
  say('stdout', 'put\n\nlast')
  say('log', 'said\n')
  say('stderr', '\n10 %\r')
  say('stderr', '100 %\r')
  script.node('x', { type: 'node-done', value: null, durationMs: 1 })
  assert.is(
    render(script.events),
    `run ${script.id}: x (1 task)\n${['| output', '|', '| said', '| error', '| last', '| 100 %', ': done in 1 ms'].map((line) => `x    ${line}\n`).join('')}`,
  )
})

lines('any cut into chunks gives the same lines', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\r', 'ä', '\u001b[1m') })
  fc.assert(
    fc.property(text, fc.array(fc.nat({ max: 4 })), (output, cuts) => {
      const whole = createLineBuffer()
      const cut = createLineBuffer()
      const lines: string[] = []
      let at = 0
      for (const size of cuts) {
        lines.push(...cut.push(output.slice(at, at + size)))
        at += size
      }
      lines.push(...cut.push(output.slice(at)), ...cut.end())
      assert.equal(lines, [...whole.push(output), ...whole.end()])
    }),
  )
})

lines('answers of a gate come at most once a second, and only new ones', () => {
  const script = new Script().start(['x'], [step('x')])
  script.node('x', { type: 'gate-waiting', gate: 'g' })
  for (const answer of ['one', 'one', 'two', 'three'])
    script.wait(400).node('x', { type: 'gate-answer', gate: 'g', answer })
  assert.is(render(script.events), `run ${script.id}: x (1 task)\nx    : waits for g: one\nx    : waits for g: three\n`)
  assert.match(render(script.events, { verbose: true }), /two/)
})

lines('the same name has the same colour in every run', () => {
  const [first, second] = [0, 1].map(() => render(manyNodes(3), { paint: createPaint(true) }))
  assert.is(first, second)
  assert.match(first!, /\u001b\[3\d;?m|\u001b\[3\dm/)
})

lines('a name of any characters, also __proto__, is only a name', () => {
  const script = new Script().start(['__proto__'], [step('__proto__'), step('constructor')])
  script.node('__proto__', { type: 'node-done', value: null, durationMs: 1 })
  assert.match(render(script.events), /^__proto__ {3}: done in 1 ms$/m)
})

lines.run()
