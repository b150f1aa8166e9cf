/** Laws that hold for any sequence of events, also for one that no run would make. */
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { NodeEvent, RunEvent } from '../../../lib/engine/events.ts'
import { createGithubReporter } from '../../../lib/report/github.ts'
import { formatJunit } from '../../../lib/report/junit.ts'
import { createLinesReporter } from '../../../lib/report/lines.ts'
import { formatMarkdown } from '../../../lib/report/markdown.ts'
import { formatOtlp } from '../../../lib/report/otel.ts'
import { createTrace } from '../../../lib/report/trace.ts'
import { createTreeReporter } from '../../../lib/report/tree.ts'
import { apply, createView } from '../../../lib/report/view.ts'
import { textWidth } from '../../../lib/report/width.ts'
import { gateError, Script, step, taskError } from '../../support/events.ts'
import { createTerminalModel } from '../../support/screen.ts'

const fuzz = suite('any events')

const ids = [
  'a',
  'b',
  'db:migrate',
  'etcd1:create',
  'etcd1',
  '__proto__',
  '漢字 with spaces',
  'a-name-that-is-longer-than-any-column-should-ever-be',
]
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom('', '\n', '\r', '\u001b[2J', '::error::x', '</a>', 'x'.repeat(300)),
)
const error = fc.constantFrom(gateError, taskError)
const ms = fc.nat({ max: 100_000 })

const nodeEvent: fc.Arbitrary<NodeEvent> = fc.oneof(
  fc.record({
    type: fc.constant('node-waiting' as const),
    hold: fc.oneof(
      fc.record({ for: fc.constant('needs' as const), nodes: fc.subarray(ids) }),
      fc.record({ for: fc.constant('lock' as const), lock: text, holders: fc.subarray(ids) }),
      fc.constant({ for: 'slot' as const }),
    ),
  }),
  fc.record({ type: fc.constant('node-started' as const), attempt: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    type: fc.constant('node-output' as const),
    stream: fc.constantFrom('stdout' as const, 'stderr' as const, 'log' as const),
    text,
  }),
  fc.record({
    type: fc.constant('node-progress' as const),
    progress: fc.record({
      done: fc.nat(),
      total: fc.option(fc.nat(), { nil: undefined }),
      label: fc.option(text, { nil: undefined }),
    }),
  }),
  fc.record({ type: fc.constant('node-retry' as const), attempt: fc.integer({ min: 1, max: 3 }), delayMs: ms, error }),
  fc.record({ type: fc.constant('gate-waiting' as const), gate: text }),
  fc.record({ type: fc.constant('gate-answer' as const), gate: text, answer: text }),
  fc.record({ type: fc.constant('gate-held' as const), gate: text, waitedMs: ms, asked: fc.nat(9) }),
  fc.record({ type: fc.constant('lock-waiting' as const), lock: text, holder: text }),
  fc.record({
    type: fc.constantFrom('node-ready' as const, 'node-done' as const),
    value: fc.jsonValue() as fc.Arbitrary<never>,
    durationMs: ms,
  }),
  fc.record({ type: fc.constant('node-reused' as const), value: fc.constant(null), cause: text }),
  fc.record({ type: fc.constant('node-skipped' as const), cause: text }),
  fc.record({ type: fc.constant('node-failed' as const), error, durationMs: ms }),
  fc.record({
    type: fc.constant('node-cancelled' as const),
    cause: text,
    because: fc.option(fc.constantFrom(...ids), { nil: undefined }),
  }),
  fc.record({ type: fc.constantFrom('cleanup-failed' as const, 'undo-failed' as const), error }),
  fc.constant({ type: 'undo-started' as const }),
  fc.record({ type: fc.constant('node-undone' as const), durationMs: ms }),
)

const run: fc.Arbitrary<RunEvent[]> = fc
  .tuple(
    fc.array(fc.tuple(fc.constantFrom(...ids), nodeEvent, fc.nat(500)), { maxLength: 40 }),
    fc.constantFrom('succeeded' as const, 'failed' as const, 'cancelled' as const),
  )
  .map(([events, state]) => {
    const script = new Script().start(
      ['a'],
      ids
        .slice(0, 6)
        .map((id, at) => step(id, { needs: ids.slice(0, at), ...(id.startsWith('etcd1') ? { partOf: 'etcd1' } : {}) })),
    )
    for (const [node, event, wait] of events) script.wait(wait).node(node, event)
    return script.finish(state, { done: 1 }, ids.slice(0, 3)).events
  })

fuzz('every reporter takes them, and what it writes holds no control character', () => {
  fc.assert(
    fc.property(run, (events) => {
      let written = ''
      const write = (part: string) => {
        written += part
      }
      const view = createView()
      const trace = createTrace()
      const reporters = [
        createLinesReporter({ write, verbose: true }),
        createGithubReporter({ write, environment: {} }),
      ]
      for (const event of events) {
        for (const reporter of reporters) reporter.report(event)
        apply(view, event)
        trace.add(event)
      }
      assert.not.match(written, /[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
      JSON.parse(trace.format())
      for (const body of formatOtlp(view)) JSON.parse(body)
      assert.not.match(formatJunit(view), /[\x00-\x08\x0b\x0c\x0e-\x1f]/)
      formatMarkdown(view)
    }),
  )
})

fuzz('the tree takes them at any size, never wraps a live line, and cleans up', async () => {
  const size = fc.record({ columns: fc.integer({ min: 1, max: 300 }), rows: fc.integer({ min: 1, max: 40 }) })
  await fc.assert(
    fc.asyncProperty(run, size, fc.nat(40), async (events, { columns, rows }, stop) => {
      // the model has room for everything, so that what is cut or wrapped is the tree's own doing
      const terminal = createTerminalModel(10_000, 10_000)
      let live = ''
      const stream = {
        isTTY: true,
        columns,
        rows,
        write(part: string) {
          live = part
          terminal.write(part)
          return true
        },
      }
      const reporter = createTreeReporter({ stream, patience: 0, now: () => events.at(-1)!.at })
      for (const event of events.slice(0, stop)) reporter.report(event)
      await new Promise((resolve) => setTimeout(resolve, 3))
      if (live && stop < events.length) {
        const lines = terminal.text().split('\n')
        assert.ok(
          lines
            .filter((line) => /^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏◦·━─]/.test(line))
            .every((line) => textWidth(line) < Math.max(2, columns)),
        )
      }
      for (const event of events.slice(stop)) reporter.report(event)
      await reporter.close?.()
      assert.ok(terminal.cursorShown)
      assert.not.match(terminal.text(), /^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏◦·━─]/m)
      assert.match(terminal.text(), /(succeeded|failed|cancelled) in/)
    }),
    { numRuns: 60 },
  )
})

fuzz.run()
