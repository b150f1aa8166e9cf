import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunEvent } from '../../../lib/engine/events.ts'
import type { Json } from '../../../lib/engine/schema.ts'
import type { DevstackError } from '../../../lib/errors.ts'
import { openJournal } from '../../../lib/state/journal.ts'
import { journalFile, pruneRuns } from '../../../lib/state/journal-files.ts'
import { listRuns, readJournal } from '../../../lib/state/runs.ts'
import { inFolder } from './folder.ts'

const runId = 'r1'
const started: RunEvent = {
  type: 'run-started',
  at: 1_000,
  runId,
  format: 1,
  targets: [{ task: 'up', params: {} }],
  steps: [{ node: 'up', needs: [], decision: 'run', cause: 'never ran', effect: 'create' }],
  traceId: '0af7651916cd43dd8448eb211c80319c',
  concurrency: 4,
  version: '0.1.0',
}
const finished: RunEvent = {
  type: 'run-finished',
  at: 3_000,
  runId,
  state: 'succeeded',
  durationMs: 2_000,
  summary: { done: 1, reused: 0, skipped: 0, failed: 0, cancelled: 0 },
  criticalPath: ['up'],
  criticalMs: 1_900,
}
const at = 2_000
const node = 'up'
const error = { code: 'X', kind: 'task', message: 'broken', exitCode: 1 }
const everyKind: readonly RunEvent[] = [
  started,
  { type: 'note', at, runId, level: 'warning', text: 'careful' },
  { type: 'node-waiting', at, runId, node, hold: { for: 'needs', nodes: ['a', 'b'] } },
  { type: 'node-waiting', at, runId, node, hold: { for: 'lock', lock: 'db', holders: ['a'] } },
  { type: 'node-waiting', at, runId, node, hold: { for: 'slot' } },
  { type: 'node-started', at, runId, node, attempt: 1 },
  { type: 'node-output', at, runId, node, stream: 'stdout', text: 'ünïcode \u2028 line' },
  { type: 'node-progress', at, runId, node, progress: { done: 1, total: 2, unit: 'bytes' } },
  { type: 'node-retry', at, runId, node, attempt: 2, delayMs: 200, error },
  { type: 'gate-waiting', at, runId, node, gate: 'leader elected' },
  { type: 'gate-answer', at, runId, node, gate: 'leader elected', answer: 'HTTP 503' },
  { type: 'gate-held', at, runId, node, gate: 'leader elected', waitedMs: 1_200, asked: 24 },
  { type: 'lock-waiting', at, runId, node, lock: 'db', holder: 'migrate' },
  { type: 'node-ready', at, runId, node, value: { url: 'x' }, durationMs: 5 },
  { type: 'node-done', at, runId, node, value: null, durationMs: 5, fingerprint: 'abc' },
  { type: 'node-reused', at, runId, node, value: [1], cause: 'unchanged' },
  { type: 'node-skipped', at, runId, node, cause: 'not on this platform' },
  {
    type: 'node-failed',
    at,
    runId,
    node,
    durationMs: 5,
    error: {
      ...error,
      place: { file: 'a.ts', line: 1 },
      autopsy: { question: 'q', asked: 1, waitedMs: 1, answers: [], logs: [], blocked: [], next: 'n' },
    },
  },
  { type: 'node-cancelled', at, runId, node, cause: 'a need failed', because: 'db' },
  { type: 'cleanup-failed', at, runId, node, error },
  { type: 'undo-started', at, runId, node },
  { type: 'node-undone', at, runId, node, durationMs: 5 },
  { type: 'undo-failed', at, runId, node, error },
  finished,
]

const output = (text: string): RunEvent => ({ type: 'node-output', at, runId, node, stream: 'log', text })
const done = (value: Json): RunEvent => ({ type: 'node-done', at, runId, node, value, durationMs: 1 })
const lines = (...events: readonly RunEvent[]) => events.map((event) => `${JSON.stringify(event)}\n`).join('')

function write(directory: string, text: string, id = runId): string {
  mkdirSync(join(directory, 'runs'), { recursive: true })
  const file = journalFile(directory, id)
  writeFileSync(file, text)
  return file
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (thrown) {
    return (thrown as DevstackError).code
  }
  throw new Error('it was expected to throw')
}

const writing = suite('journal')

writing('gives back every kind of event, byte for byte', () =>
  inFolder(async (directory) => {
    const journal = openJournal({ directory, runId })
    for (const event of everyKind) journal.report(event)
    await journal.close()
    assert.is(readFileSync(journal.file, 'utf8'), lines(...everyKind))
    assert.equal(readJournal(journal.file), { events: everyKind })
  }),
)

writing('has a change of state in the file before report returns, so that a kill loses none', () =>
  inFolder(async (directory) => {
    const journal = openJournal({ directory, runId })
    for (const event of [started, output('before'), done(1)]) journal.report(event)
    journal.report(output('held back'))
    assert.equal(readJournal(journal.file).events, [started, output('before'), done(1)])
    await journal.close()
  }),
)

writing('has everything on the disk after flush, output included', () =>
  inFolder(async (directory) => {
    const journal = openJournal({ directory, runId })
    journal.report(started)
    journal.report(output('one'))
    await journal.flush()
    assert.equal(readJournal(journal.file).events, [started, output('one')])
    journal.report(output('two'))
    const both = [journal.flush(), journal.flush()]
    journal.report(done(1))
    await Promise.all(both)
    assert.equal(readJournal(journal.file).events, [started, output('one'), output('two'), done(1)])
    await journal.close()
    await journal.close()
    journal.report(output('late'))
    await journal.flush()
    assert.is(readJournal(journal.file).events.length, 4)
  }),
)

writing('keeps the order under a mix of output, states and flushes', () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom('output', 'state', 'flush', 'turn'), { maxLength: 60 }), (steps) =>
      inFolder(async (directory) => {
        const journal = openJournal({ directory, runId })
        const expected: RunEvent[] = []
        const flushes: Promise<void>[] = []
        for (const [index, step] of steps.entries()) {
          if (step === 'flush') flushes.push(journal.flush())
          else if (step === 'turn') await new Promise((resolve) => setImmediate(resolve))
          else {
            const event = step === 'output' ? output(`${index}`) : done(index)
            expected.push(event)
            journal.report(event)
          }
        }
        await Promise.all(flushes)
        await journal.close()
        assert.equal(readJournal(journal.file).events, expected)
      }),
    ),
    { numRuns: 25 },
  ),
)

writing('takes 10 MB on one line', () =>
  inFolder(async (directory) => {
    const journal = openJournal({ directory, runId })
    const event = output('x'.repeat(10_000_000))
    journal.report(started)
    journal.report(event)
    journal.report(finished)
    await journal.close()
    assert.is(readJournal(journal.file).events.length, 3)
    assert.is(listRuns(directory)[0]?.state, 'succeeded')
  }),
)

writing('is private, and refuses an id that is taken or no file name', () =>
  inFolder(async (directory) => {
    const journal = openJournal({ directory, runId })
    assert.is(statSync(journal.file).mode & 0o077, 0)
    assert.is(
      codeOf(() => openJournal({ directory, runId })),
      'JOURNAL_EXISTS',
    )
    for (const bad of ['../x', '', '.', 'a/b'])
      assert.is(
        codeOf(() => openJournal({ directory, runId: bad })),
        'JOURNAL_BAD_ID',
      )
    await journal.close()
  }),
)

writing('says once that it can not be written, and lets the run go on', () =>
  inFolder(async (folder) => {
    const warnings: string[] = []
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    const journal = openJournal({ directory: file, runId, warn: (text) => warnings.push(text) })
    journal.report(started)
    await journal.flush()
    await journal.close()
    assert.is(warnings.length, 1)
    assert.match(warnings[0]!, 'the run goes on')
  }),
)

writing('does the same when the disk fills up in the middle, and leaves what can be read', () =>
  inFolder(async (directory) => {
    // A limit on the size of files fails a write half-way, as a full disk does, and needs no disk of its own.
    const program = `
      process.on('SIGXFSZ', () => {})
      const { openJournal } = await import(process.argv[1])
      const warnings = []
      const journal = openJournal({ directory: process.argv[2], runId: 'full', warn: (text) => warnings.push(text) })
      for (let index = 0; index < 400; index += 1) {
        journal.report({ ...JSON.parse(process.argv[3]), value: index })
        if (index % 10 === 0) await journal.flush()
      }
      await journal.close()
      console.log(JSON.stringify(warnings))`
    const module = new URL('../../../lib/state/journal.ts', import.meta.url).href
    const child = spawn(
      '/bin/sh',
      [
        '-c',
        'ulimit -f 16; exec "$@"',
        'sh',
        process.execPath,
        '--input-type=module',
        '-e',
        program,
        module,
        directory,
        JSON.stringify(done(0)),
      ],
      { env: { ...process.env, NODE_COMPILE_CACHE: '', NODE_V8_COVERAGE: '' } },
    )
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
    await once(child, 'close')
    const warnings = JSON.parse(said) as string[]
    assert.is(warnings.length, 1)
    assert.match(warnings[0]!, 'the run goes on')
    const { events } = readJournal(journalFile(directory, 'full'))
    assert.ok(events.length > 20 && events.length < 400, `${events.length} events`)
    assert.equal(events.at(-1), done(events.length - 1))
    assert.equal(readdirSync(join(directory, 'runs')), ['full.jsonl'], 'nobody is said to write it any more')
  }),
)

const reading = suite('readJournal')

reading('survives a tear at every byte', () =>
  inFolder((directory) => {
    const events = [started, output('zwölf ✓'), done({ a: [1, 2] }), finished]
    const bytes = Buffer.from(lines(...events))
    for (let length = 0; length <= bytes.length; length += 1) {
      const file = write(directory, '')
      writeFileSync(file, bytes.subarray(0, length))
      // As many events as there are whole lines; the last newline may be missing.
      const whole = bytes.toString('latin1', 0, length + 1).split('\n').length - 1
      const read = readJournal(file)
      assert.equal(read.events, events.slice(0, whole), `cut at ${length}`)
      const clean = bytes.subarray(0, length).at(-1) === 0x0a || bytes[length] === 0x0a || length === 0
      assert.is(read.warning === undefined, clean, `cut at ${length}`)
      const repaired = readJournal(file, { repair: true })
      assert.equal(repaired.events, read.events)
      assert.is(readJournal(file).warning, undefined, `repaired at ${length}`)
      assert.equal(readJournal(file).events, read.events)
    }
  }),
)

reading('takes a block of zeros at the end for a tear', () =>
  inFolder((directory) => {
    const file = write(directory, `${lines(started)}${'\0'.repeat(512)}`)
    assert.equal(readJournal(file, { repair: true }).events, [started])
    assert.equal(readJournal(file), { events: [started] })
    appendFileSync(file, `${'\0'.repeat(20)}\n`)
    assert.match(readJournal(file).warning!, 'is torn')
  }),
)

reading('refuses a newer format, a missing file and rubbish in the middle', () =>
  inFolder((directory) => {
    const newer = write(directory, `${JSON.stringify({ ...started, format: 2 })}\n${lines(finished)}`)
    assert.is(
      codeOf(() => readJournal(newer)),
      'STATE_JOURNAL_NEWER',
    )
    assert.is(
      codeOf(() => readJournal(join(directory, 'nothing'))),
      'STATE_JOURNAL_MISSING',
    )
    const rubbish = write(directory, `${lines(started)}hello\n${lines(finished)}`)
    try {
      readJournal(rubbish)
      assert.unreachable()
    } catch (thrown) {
      const { code, place } = thrown as DevstackError
      assert.is(code, 'STATE_JOURNAL_CORRUPT')
      assert.equal(place, { file: rubbish, line: 2, text: 'hello' })
    }
    const wrong = write(directory, `${lines(started)}{"type":"node-started","at":1,"runId":"r"}\n${lines(finished)}`)
    assert.is(
      codeOf(() => readJournal(wrong)),
      'STATE_JOURNAL_CORRUPT',
    )
  }),
)

reading('lets unknown fields pass and gives none for an empty journal', () =>
  inFolder((directory) => {
    const event = { ...done(1), colour: 'blue' }
    assert.equal(readJournal(write(directory, lines(event))).events, [event])
    assert.equal(readJournal(write(directory, '')), { events: [] })
  }),
)

const listing = suite('listRuns')

listing('tells the state of each, the newest first', () =>
  inFolder(async (directory) => {
    const shifted = (event: RunEvent, by: number): RunEvent => ({ ...event, at: event.at + by })
    write(directory, lines(started, finished), 'a')
    write(directory, lines(shifted(started, 10), shifted(done(1), 700)), 'b')
    write(directory, lines(shifted({ ...started, continues: 'b' } as RunEvent, 20)).slice(0, -3), 'c')
    write(directory, '', 'd')
    write(directory, `${JSON.stringify({ ...started, format: 9 })}\n`, 'e')
    write(directory, 'rubbish\n', 'g')
    for (const id of ['c', 'd', 'e', 'g']) utimesSync(journalFile(directory, id), 0, 0)
    const live = openJournal({ directory, runId: 'f' })
    live.report(shifted(started, 30))
    await live.flush()
    const seen = listRuns(directory).map(({ runId: id, state }) => `${id} ${state}`)
    assert.equal(seen.slice(0, 3), ['f running', 'b interrupted', 'a succeeded'])
    assert.equal(seen.slice(3).sort(), ['c empty', 'd empty', 'e unreadable', 'g unreadable'])
    const g = listRuns(directory).find(({ runId: id }) => id === 'g')!
    for (const part of ['Line 1', `${g.file}:1`, 'rubbish', 'Remove the file']) assert.match(g.problem!, part)
    assert.is(
      codeOf(() => readJournal(g.file)),
      'STATE_JOURNAL_CORRUPT',
    )
    const b = listRuns(directory).find(({ runId: id }) => id === 'b')!
    assert.equal(b.targets, ['up'])
    assert.is(b.durationMs, 1_690)
    await live.close()
    assert.is(listRuns(directory)[0]?.state, 'interrupted', 'closed without an end')
    assert.equal(listRuns(join(directory, 'nowhere')), [])
  }),
)

listing('finds the end whatever the length of the last lines', () =>
  inFolder((directory) => {
    for (const bytes of [100, 65_400, 65_536, 200_000, 2_000_000]) {
      const end = { ...finished, criticalPath: ['ü'.repeat(bytes / 2)] } as RunEvent
      write(directory, lines(started, done(1), end), 'long')
      const [run] = listRuns(directory)
      assert.is(run!.state, 'succeeded', `${bytes} bytes`)
      assert.is(run!.durationMs, (finished as { durationMs: number }).durationMs)
      const torn = `${lines(started, done(1))}${'x'.repeat(bytes)}`
      write(directory, torn, 'long')
      assert.is(listRuns(directory)[0]!.durationMs, done(1).at - started.at, `${bytes} bytes torn`)
    }
  }),
)

listing('prunes the oldest, but none that is being written', () =>
  inFolder(async (directory) => {
    const live = openJournal({ directory, runId: 'live' })
    utimesSync(live.file, 1, 1)
    for (let index = 0; index < 10; index += 1)
      utimesSync(write(directory, lines(started), `r${index}`), 100 + index, 100 + index)
    pruneRuns(directory, 3)
    const left = () =>
      readdirSync(join(directory, 'runs'))
        .filter((name) => name.endsWith('.jsonl'))
        .sort()
    assert.equal(left(), ['live.jsonl', 'r7.jsonl', 'r8.jsonl', 'r9.jsonl'])
    await live.close()
    assert.is(left().length, 4, 'fewer than 200')
  }),
)

listing('sees that a killed run is interrupted', () =>
  inFolder(async (directory) => {
    const program = `
      const { openJournal } = await import(process.argv[1])
      const journal = openJournal({ directory: process.argv[2], runId: 'k' })
      journal.report(JSON.parse(process.argv[3]))
      await journal.flush()
      console.log('written')
      setInterval(() => {}, 1000)`
    const module = new URL('../../../lib/state/journal.ts', import.meta.url).href
    const child = spawn(process.execPath, [
      '--input-type=module',
      '-e',
      program,
      module,
      directory,
      JSON.stringify(started),
    ])
    try {
      await once(child.stdout, 'data')
      assert.is(listRuns(directory)[0]?.state, 'running')
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    assert.is(listRuns(directory)[0]?.state, 'interrupted')
    assert.equal(readJournal(journalFile(directory, 'k')).events, [started])
  }),
)

for (const tests of [writing, reading, listing]) tests.run()
