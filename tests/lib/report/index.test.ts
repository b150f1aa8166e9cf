import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseRenderer, combine, createReporter, type Renderer, replay } from '../../../lib/report/index.ts'
import { failedRun, successfulRun } from '../../support/events.ts'

const index = suite('reporters')
const renderers: readonly Renderer[] = ['tree', 'lines', 'github', 'json', 'silent']

function streams() {
  const text = { out: '', err: '' }
  return {
    text,
    stdout: {
      write(part: string) {
        text.out += part
        return true
      },
    },
    stderr: {
      write(part: string) {
        text.err += part
        return true
      },
    },
  }
}

index('the renderer follows the surroundings', () => {
  const cases: [boolean, Record<string, string>, Renderer][] = [
    [true, {}, 'tree'],
    [true, { TERM: 'xterm' }, 'tree'],
    [true, { TERM: 'dumb' }, 'lines'],
    [false, {}, 'lines'],
    [true, { CI: 'true' }, 'lines'],
    [true, { CI: '1' }, 'lines'],
    [true, { CI: 'false' }, 'tree'],
    [true, { CI: '' }, 'tree'],
    [false, { GITHUB_ACTIONS: 'true', CI: 'true' }, 'github'],
  ]
  for (const [isTTY, environment, expected] of cases) assert.is(chooseRenderer({ isTTY, environment }), expected)
})

index('every renderer takes every run and writes what it is for', async () => {
  for (const renderer of renderers) {
    for (const events of [successfulRun(), failedRun()]) {
      const { stdout, stderr, text } = streams()
      const reporter = await createReporter({ renderer, stdout, stderr, environment: {} })
      await replay(events, reporter)
      assert.is(text.err, '')
      if (renderer === 'silent') assert.is(text.out, '')
      else if (renderer === 'json')
        assert.equal(
          text.out
            .trimEnd()
            .split('\n')
            .map((line) => JSON.parse(line)),
          events,
        )
      else assert.match(text.out, /(succeeded|failed) in/)
    }
  }
})

index('an event of a newer version hurts no reporter', async () => {
  for (const renderer of renderers) {
    const { stdout, stderr, text } = streams()
    const reporter = await createReporter({ renderer, stdout, stderr, environment: {} })
    reporter.report({ at: 1, runId: 'r', node: 'x', type: 'node-teleported' } as never)
    reporter.report({ at: 1, runId: 'r', type: 'run-blessed' } as never)
    await reporter.close()
    assert.is(text.err, '')
  }
})

index('a replayed journal gives the same text again', async () => {
  const texts: string[] = []
  for (let round = 0; round < 2; round += 1) {
    const { stdout, stderr, text } = streams()
    await replay(failedRun(), await createReporter({ renderer: 'lines', stdout, stderr, environment: {} }))
    texts.push(text.out)
  }
  assert.is(texts[0], texts[1])
})

index('a sink that fails is told once and never hurts another', async () => {
  const seen: string[] = []
  const told: string[] = []
  const reporter = combine(
    [
      {
        report() {
          throw new Error('disk full')
        },
        close: () => assert.unreachable('a failed sink is not closed'),
      },
      {
        report: ({ type }) => void seen.push(type),
        suspend: () => () => seen.push('resumed'),
        close() {
          throw new Error('no space for the end')
        },
      },
      { report() {}, close: async () => void seen.push('closed') },
    ],
    (message) => told.push(message),
  )
  const events = successfulRun()
  for (const event of events) reporter.report(event)
  reporter.suspend()()
  await reporter.close()
  assert.equal(seen, [...events.map(({ type }) => type), 'resumed', 'closed'])
  assert.is(told.length, 2)
  assert.match(told[0]!, /disk full/)
  assert.match(told[1]!, /no space for the end/)
})

index.run()
