import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { createTerminal } from '../../../lib/session/terminal.ts'

const test = suite('terminal')

const colors = (isTTY: boolean, environment: Readonly<Record<string, string>>): boolean =>
  createTerminal({
    streams: { stdin: { isTTY }, stdout: { isTTY } } as never,
    yes: false,
    environment,
    redact: (text) => text,
    suspend: () => () => {},
    signal: new AbortController().signal,
  }).colors

test('a task gets colours where the renderers do: FORCE_COLOR, then NO_COLOR, then the terminal', () => {
  assert.ok(colors(true, {}))
  assert.not.ok(colors(false, {}))
  assert.not.ok(colors(true, { NO_COLOR: '1' }))
  assert.not.ok(colors(true, { TERM: 'dumb' }))
  assert.ok(colors(false, { FORCE_COLOR: '1' }))
  assert.ok(colors(true, { FORCE_COLOR: '1', NO_COLOR: '1' }))
  for (const off of ['0', 'false']) assert.not.ok(colors(true, { FORCE_COLOR: off }), off)
})

test.run()
