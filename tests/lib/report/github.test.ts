import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunEvent } from '../../../lib/engine/events.ts'
import { command, createGithubReporter, escapeData, escapeProperty } from '../../../lib/report/github.ts'
import { escapeMarkdown } from '../../../lib/report/markdown.ts'
import { failedRun, Script, step, successfulRun } from '../../support/events.ts'

const github = suite('github')

async function render(events: readonly RunEvent[], environment: Record<string, string> = {}): Promise<string> {
  let text = ''
  const reporter = createGithubReporter({
    environment,
    write: (part) => {
      text += part
    },
  })
  for (const event of events) reporter.report(event)
  await reporter.close?.()
  return text
}

github('output comes in one group a task, failures as annotations with their place', async () => {
  const text = await render(failedRun())
  assert.ok(text.includes('::group::migrate\napplying 0007_users\nERROR: syntax error at "TABEL"\n::endgroup::\n'))
  assert.ok(
    text.includes(
      '::error file=migrations/0007_users.sql,line=12,col=3,title=migrate%3A failed (COMMAND_FAILED)::`npm run migrate` ended with exit code 1.%0AFix the migration, then devstack resume.\n',
    ),
  )
  assert.ok(text.includes('::error title=migrate%3A cleanup failed (EBUSY)::rm: tmp is busy\n'))
  assert.ok((await render(successfulRun())).includes('::warning::fsync is off'))
})

/** What the runner's parser makes of a command line: its own unescaping, in reverse of ours. */
function parse(line: string): { name: string; properties: Record<string, string>; data: string } {
  const match = /^::([a-z]+)(?: ([^:]*))?::(.*)\n$/.exec(line)
  assert.ok(match, line)
  const restore = (text: string) => text.replaceAll('%0D', '\r').replaceAll('%0A', '\n')
  const pairs = (match[2] ?? '').split(',').filter(Boolean)
  const properties = pairs.map((pair): [string, string] => {
    const equals = pair.indexOf('=')
    const value = restore(pair.slice(equals + 1))
      .replaceAll('%3A', ':')
      .replaceAll('%2C', ',')
      .replaceAll('%25', '%')
    return [pair.slice(0, equals), value]
  })
  return {
    name: match[1]!,
    properties: Object.fromEntries(properties),
    data: restore(match[3]!).replaceAll('%25', '%'),
  }
}

github('any text survives the way through a workflow command, on one line', () => {
  const text = fc.string({ unit: fc.constantFrom('a', '%', ':', ',', '\n', '\r', '=', '0', 'A', '5', '2', ' ', 'ä') })
  fc.assert(
    fc.property(text, text, (title, data) => {
      // the runner undoes %25 last, so an escaped text that reads %0A comes back as such
      const line = command('error', { title, line: 3 }, data)
      assert.is(line.split('\n').length, 2)
      assert.equal(parse(line), { name: 'error', properties: { title, line: '3' }, data })
    }),
  )
  assert.is(escapeData('100% a\r\nb:,'), '100%25 a%0D%0Ab:,')
  assert.is(escapeProperty('a:b,c%'), 'a%3Ab%2Cc%25')
})

github('output of a task never becomes a workflow command', async () => {
  const script = new Script().start(['x'], [step('x')])
  const evil = '::set-output name=a::b\n  ::add-mask::x\n##[error]y\n::endgroup::\n'
  script.node('x', { type: 'node-output', stream: 'stdout', text: evil })
  script.node('x', { type: 'node-done', value: null, durationMs: 1 })
  const lines = (await render(script.events)).split('\n').filter((line) => /^\s*(::|##\[)/.test(line))
  assert.equal(lines, ['::group::x', '::endgroup::'])
})

github('a task with much output keeps its last lines and says how many are gone', async () => {
  const script = new Script().start(['x'], [step('x')])
  script.node('x', {
    type: 'node-output',
    stream: 'stdout',
    text: Array.from({ length: 2500 }, (_, at) => `line ${at}`).join('\n'),
  })
  script.node('x', { type: 'node-done', value: null, durationMs: 1 })
  const text = await render(script.events)
  assert.match(text, /::group::x\n\(500 lines before these are not shown\)\nline 500\n/)
})

github('the step summary is appended, with graph, table and failures', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'devstack-report-'))
  try {
    const file = join(folder, 'summary.md')
    await writeFile(file, 'before\n')
    await render(failedRun(), { GITHUB_STEP_SUMMARY: file })
    const text = await readFile(file, 'utf8')
    assert.ok(text.startsWith('before\n### devstack `up`: failed in 1 min 00 s\n'), text)
    assert.ok(text.includes('```mermaid\nflowchart LR\n  n0(["patroni2"])\n'), text)
    assert.ok(text.includes('  class n0,n1 failed\n'), text)
    assert.ok(
      text.includes('| ❌ | `patroni2` | failed: PostgreSQL leader elected did not hold within 60 s. | 1 min 00 s |\n'),
      text,
    )
    assert.ok(text.includes('| 🚫 | `backend` | cancelled: a need failed |  |\n'), text)
  } finally {
    await rm(folder, { recursive: true })
  }
})

github('a step summary that can not be written is one warning', async () => {
  const text = await render(successfulRun(), { GITHUB_STEP_SUMMARY: '/nowhere/at/all/summary.md' })
  assert.match(text, /\n::warning::The step summary could not be written: ENOENT/)
})

github('text in Markdown never becomes markup', () => {
  assert.is(escapeMarkdown('a|b <img src=x> `c` [d](e) *f*\ng'), 'a\\|b &lt;img src=x&gt; \\`c\\` \\[d\\](e) \\*f\\* g')
})

github.run()
