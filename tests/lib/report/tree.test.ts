import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunEvent } from '../../../lib/engine/events.ts'
import type { OutputStream } from '../../../lib/report/reporter.ts'
import { createTreeReporter } from '../../../lib/report/tree.ts'
import { textWidth } from '../../../lib/report/width.ts'
import { cancelledRun, epoch, failedRun, manyNodes, Script, step, successfulRun } from '../../support/events.ts'
import { createTerminalModel } from '../../support/screen.ts'
import { onTerminal, terminalMissing } from '../../support/terminal.ts'

const tree = suite('tree')

interface Stage {
  readonly stream: OutputStream & { columns: number | undefined; rows: number | undefined }
  readonly terminal: ReturnType<typeof createTerminalModel>
  readonly written: string[]
  resize(): void
}

function createStage(columns: number, rows: number): Stage {
  const terminal = createTerminalModel(columns, rows)
  const written: string[] = []
  const listeners = new Set<() => void>()
  return {
    terminal,
    written,
    stream: {
      isTTY: true,
      columns,
      rows,
      write(text) {
        written.push(text)
        terminal.write(text)
        return true
      },
      on: (_, listener) => void listeners.add(listener),
      off: (_, listener) => void listeners.delete(listener),
    },
    resize() {
      for (const listener of listeners) listener()
    },
  }
}

/** Resolves once the terminal shows what is looked for; the test's own deadline is generous. */
async function shown(stage: Stage, pattern: RegExp): Promise<string> {
  const deadline = Date.now() + 30_000
  while (!pattern.test(stage.terminal.text())) {
    if (Date.now() > deadline) throw new Error(`never shown: ${pattern}\n${stage.terminal.text()}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return stage.terminal.text()
}

/** Reports the events up to the first that satisfies `until`, which is left out. */
function split(events: readonly RunEvent[], until: (event: RunEvent) => boolean): [RunEvent[], RunEvent[]] {
  const at = events.findIndex(until)
  return [events.slice(0, at), events.slice(at)]
}

const final = `✔ image             reused: its context is unchanged
✔ network   120 ms
✔ etcd1     880 ms  ready
✔ patroni1   2.2 s  ready
! fsync is off: data do not survive a crash of the machine.
✔ seed       50 ms

✔ succeeded in 3.3 s: 5 done, 1 reused
  critical path 3.3 s: network → etcd1:create → etcd1:start → patroni1 → seed`

tree('leaves one line a row in the scrollback, whether it drew or not', async () => {
  for (const patience of [0, 60_000]) {
    const stage = createStage(80, 24)
    const reporter = createTreeReporter({ stream: stage.stream, patience })
    const [before, after] = split(successfulRun(), ({ type }) => type === 'gate-held')
    for (const event of before) reporter.report(event)
    if (patience === 0) await shown(stage, /2 of 5/)
    for (const event of after) reporter.report(event)
    await reporter.close?.()
    assert.is(stage.terminal.text(), final)
    assert.ok(stage.terminal.cursorShown)
  }
})

tree('says what a row waits for, how long it is at work and what it said last', async () => {
  const stage = createStage(80, 24)
  const events = successfulRun()
  const clock = { now: epoch }
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0, now: () => clock.now })
  const [toGate, rest] = split(events, ({ type }) => type === 'gate-held')
  for (const event of toGate) reporter.report(event)
  clock.now = epoch + 1000
  const waiting = await shown(stage, /1 of 3/)
  assert.match(waiting, /^◦ etcd1 {6}0\.9 s {2}start: waits for etcd quorum: 1 of 3 members started$/m)
  assert.match(waiting, /^· patroni1 {10}waits for etcd1$/m)
  assert.match(waiting, /^· seed {14}waits for patroni1$/m)
  const [toRetry, end] = split(rest, ({ type }) => type === 'node-ready' && clock.now > 0)
  for (const event of toRetry) reporter.report(event)
  const [running, last] = split(end, (event) => event.type === 'node-retry')
  for (const event of running) reporter.report(event)
  assert.match(await shown(stage, /leader: patroni1/), /^\S patroni1 .*leader: patroni1$/m)
  for (const event of last) reporter.report(event)
  await reporter.close?.()
  assert.is(stage.terminal.text(), final)
})

tree('a node of which nobody said what holds it waits for what it needs', async () => {
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const script = new Script().start(['b'], [step('a'), step('b', { needs: ['a'] })])
  script.node('a', { type: 'node-started', attempt: 1 })
  for (const event of script.events) reporter.report(event)
  assert.match(await shown(stage, /waits/), /^· b +waits for a$/m)
  await reporter.close?.()
})

tree('a node that needs nothing more waits for a slot while all are taken', async () => {
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const script = new Script().start(
    ['f'],
    ['a', 'b', 'c', 'd', 'e'].map((name) => step(name)),
  )
  for (const name of ['a', 'b', 'c', 'd']) script.node(name, { type: 'node-started', attempt: 1 })
  for (const event of script.events) reporter.report(event)
  assert.match(await shown(stage, /waits/), /^· e +waits for a free slot$/m)
  const [done] = new Script().node('a', { type: 'node-done', value: null, durationMs: 1 }).events
  reporter.report(done!)
  assert.match(await shown(stage, /waits$/m), /^· e +waits$/m)
  await reporter.close?.()
})

tree('never draws a live line that wraps, at any width, with or without a known size', async () => {
  for (const columns of [1, 2, 7, 20, 300, undefined, 0]) {
    const stage = createStage(columns || 80, 24)
    stage.stream.columns = columns
    const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
    const [before, after] = split(successfulRun(), ({ type }) => type === 'gate-held')
    for (const event of before) reporter.report(event)
    // one column is no room for anything
    if (columns !== 1) await shown(stage, /\S/)
    const live = stage.terminal.text().split('\n')
    for (const line of live) assert.ok(textWidth(line) <= Math.max(1, (columns || 80) - 1), `${columns}: "${line}"`)
    for (const event of after) reporter.report(event)
    await reporter.close?.()
    assert.ok(stage.terminal.cursorShown)
    // whatever the width, nothing of the live part is left
    assert.not.match(stage.terminal.text(), /━|─|waits for/)
  }
})

tree('takes COLUMNS where the terminal tells no width', async () => {
  const stage = createStage(30, 24)
  stage.stream.columns = undefined
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0, environment: { COLUMNS: '30' } })
  const [before] = split(successfulRun(), ({ type }) => type === 'gate-held')
  for (const event of before) reporter.report(event)
  await shown(stage, /etcd1/)
  for (const line of stage.terminal.text().split('\n')) assert.ok(textWidth(line) < 30, line)
  await reporter.close?.()
})

tree('shows 200 nodes in few lines and lists none of the quick ones', async () => {
  const stage = createStage(80, 12)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const events = manyNodes(200)
  const half = events.findIndex((event) => event.type === 'node-started' && event.node === 'unit:105')
  for (const event of events.slice(0, half + 8)) reporter.report(event)
  const text = await shown(stage, /104 of 200/)
  assert.ok(text.split('\n').length <= 12, text)
  assert.match(text, /104 of 200, 8 running, 88 waiting/)
  for (const event of events.slice(half + 8)) reporter.report(event)
  await reporter.close?.()
  assert.match(stage.terminal.text(), /200 that ended in less than a second are not listed\n\n✔ succeeded/)
})

tree('groups what was cancelled and prints each failure once, at the end', async () => {
  const stage = createStage(100, 40)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  for (const event of failedRun()) reporter.report(event)
  await reporter.close?.()
  const text = stage.terminal.text()
  assert.match(text, /⊘ 2 cancelled, because patroni2 failed: backend, frontend/)
  assert.is(text.match(/asked {5}GET http/g)?.length, 1)
  assert.match(text, /its last 2 lines of output\n {4}\| applying 0007_users\n {4}\| ERROR: syntax error at "TABEL"/)
  assert.match(text, /more: {3}devstack show 20260102-030405-ab12/)
  assert.ok(stage.terminal.cursorShown)
})

tree('shows the cursor again after a cancelled run, and at once by restore()', async () => {
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const [before, after] = split(cancelledRun(), ({ type }) => type === 'node-cancelled')
  for (const event of before) reporter.report(event)
  await shown(stage, /waits for build/)
  assert.not.ok(stage.terminal.cursorShown)
  for (const event of after) reporter.report(event)
  assert.ok(stage.terminal.cursorShown)
  await reporter.close?.()

  const abrupt = createStage(80, 24)
  const second = createTreeReporter({ stream: abrupt.stream, patience: 0 })
  for (const event of before) second.report(event)
  await shown(abrupt, /waits for build/)
  second.restore?.()
  assert.ok(abrupt.terminal.cursorShown)
  assert.is(abrupt.terminal.text(), '')
  await second.close?.()
})

tree('a node that never ends keeps being drawn, and closing does not wait for it', async () => {
  const stage = createStage(80, 24)
  const clock = { now: epoch }
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0, now: () => clock.now })
  const script = new Script().start(['serve'], [step('serve')])
  script.node('serve', { type: 'node-started', attempt: 1 })
  for (const event of script.events) reporter.report(event)
  await shown(stage, /0\.0 s/)
  clock.now += 3_725_000
  await shown(stage, /1 h 02 min/)
  await reporter.close?.()
  assert.is(stage.terminal.text(), '')
})

tree('makes room while suspended and goes on afterwards', async () => {
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const [before, after] = split(successfulRun(), ({ type }) => type === 'gate-held')
  for (const event of before) reporter.report(event)
  await shown(stage, /waits for etcd1/)
  const resume = reporter.suspend!()
  const writes = stage.terminal.writes
  stage.stream.write('Really? ')
  stage.stream.write('yes\n')
  for (const event of after.slice(0, 2)) reporter.report(event)
  await new Promise((resolve) => setTimeout(resolve, 250))
  assert.is(stage.terminal.writes, writes + 2)
  resume()
  resume()
  for (const event of after.slice(2)) reporter.report(event)
  await reporter.close?.()
  assert.is(stage.terminal.text(), final.replace('✔ etcd1 ', 'Really? yes\n✔ etcd1 '))
})

tree('writes nothing when nothing changed but the spinner, and never clears a whole line first', async () => {
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0, now: () => epoch + 500 })
  const [before] = split(successfulRun(), ({ type }) => type === 'gate-held')
  for (const event of before) reporter.report(event)
  await shown(stage, /1 of 3/)
  const writes = stage.terminal.writes
  await new Promise((resolve) => setTimeout(resolve, 400))
  // nothing runs, everything waits: no spinner, and the clock stands still
  assert.is(stage.terminal.writes, writes)
  assert.not.ok(stage.written.some((text) => text.includes('\u001b[2K')))
  await reporter.close?.()
})

tree('draws fewer frames for a terminal that does not keep up, and still ends complete', async () => {
  const stage = createStage(80, 24)
  const stream = { ...stage.stream, writableNeedDrain: true }
  const reporter = createTreeReporter({ stream, patience: 0 })
  const [before, after] = split(successfulRun(), ({ type }) => type === 'gate-held')
  for (const event of before) reporter.report(event)
  await new Promise((resolve) => setTimeout(resolve, 150))
  assert.is(stage.terminal.text(), '')
  for (const event of after) reporter.report(event)
  await reporter.close?.()
  assert.is(stage.terminal.text(), final)
})

tree('adds no listener for signals and leaves standard output alone', async () => {
  const listeners = () => ['SIGINT', 'SIGTERM', 'SIGHUP', 'exit'].map((name) => process.listenerCount(name))
  const before = listeners()
  const { write } = process.stdout
  const stage = createStage(80, 24)
  const reporter = createTreeReporter({ stream: stage.stream, patience: 0 })
  const [part, rest] = split(successfulRun(), ({ type }) => type === 'gate-held')
  for (const event of part) reporter.report(event)
  await shown(stage, /waits for etcd1/)
  assert.equal(listeners(), before)
  assert.is(process.stdout.write, write)
  for (const event of rest) reporter.report(event)
  await reporter.close?.()
  assert.equal(listeners(), before)
})

const missing = terminalMissing()
if (missing) console.log(`not run: the tree on a pseudo-terminal: ${missing}`)
else {
  const player = new URL('../../support/play.ts', import.meta.url).pathname

  tree('on a pseudo-terminal: what stays in the scrollback is the expected text', async () => {
    const columns = 72
    const session = await onTerminal(`${process.execPath} ${player} successfulRun`, {
      columns,
      rows: 10,
      env: { ...process.env, CI: '', GITHUB_ACTIONS: '', NO_COLOR: '1' },
    })
    const terminal = createTerminalModel(columns, 10)
    terminal.write(session.raw)
    assert.is(session.exitCode, 0)
    // how much it drew meanwhile depends on the machine; that it draws at all is asked by the next test
    // the critical path is wider than the terminal and wraps as any long line does
    assert.is(terminal.text().replaceAll('\n', ''), final.replaceAll('\n', ''))
    assert.ok(terminal.cursorShown)
  })

  tree('on a pseudo-terminal: Ctrl-C reaches the program and the cursor comes back', async () => {
    const session = await onTerminal(`${process.execPath} ${player} interrupted`, {
      columns: 60,
      rows: 10,
      env: { ...process.env, CI: '', GITHUB_ACTIONS: '', NO_COLOR: '1' },
      keyboard: [{ after: /waits for build/, press: '\x03' }],
    })
    const terminal = createTerminalModel(60, 10)
    terminal.write(session.raw)
    assert.is(session.exitCode, 130)
    assert.ok(terminal.cursorShown)
    assert.match(terminal.text(), /⊘ cancelled in .*: 2 cancelled/)
    assert.not.match(terminal.text(), /waits for|──/)
  })
}

tree.run()
