import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'

const secret = 'correct horse "battery" staple/42'

const config = (project: string) => `
import { defineConfig, task } from 'devstack'
const told = [process.env.VAULT_WORD, process.env.API_TOKEN]
const fine = task({ description: 'Goes well', run: ({ $ }) => $\`echo to stdout; echo to stderr >&2\` })
const broken = task({ needs: { fine }, run: ({ $ }) => $\`echo last words; exit 3\` })
const leaky = task({ run: async ({ log, secret, exec }) => {
  for (const word of told) {
    log('plain ' + word)
    log('base64 ' + Buffer.from(word).toString('base64'))
    log('url ' + encodeURIComponent(word))
    log('json ' + JSON.stringify({ word }))
    await exec(['node', '-e', 'const w = process.argv[1]; process.stdout.write("split " + w.slice(0, 7)); setTimeout(() => console.log(w.slice(7)), 50)', word])
  }
  secret('made-up-on-the-way')
  log('own made-up-on-the-way')
  return { word: told[0] }
} })
const blurts = task({ run: () => { throw new Error('the word is ' + told[0]) } })
const many = task({ run: async ({ exec }) => { for (let i = 0; i < 50; i += 1) await exec(['node', '-e', 'process.stdout.write("y".repeat(100000))'], { quiet: false }) } })
export default defineConfig({ name: '${project}', secrets: ['VAULT_WORD'], tasks: { fine, broken, leaky, blurts, many } })
`

const shows = suite<{ test: Checkout }>('what a run shows and leaves')
shows.before.each((context) => {
  context.test = checkout({
    name: 'show',
    files: (project) => ({ 'devstack.config.ts': config(project) }),
    env: { VAULT_WORD: secret, API_TOKEN: 'tok-5f2e9c7b', CI: 'true', GITHUB_ACTIONS: undefined },
  })
})
shows.after.each(async ({ test }) => test.remove())

const text = (test: Checkout, name: string): string => readFileSync(join(test.directory, name), 'utf8')
const journal = (test: Checkout): string => {
  const runs = join(test.directory, '.devstack', 'runs')
  return readFileSync(join(runs, readdirSync(runs).find((name) => name.endsWith('.jsonl'))!), 'utf8')
}

shows('--json is one event a line, and equals the journal', async ({ test }) => {
  const { exitCode, stdout } = await test.run(['run', 'broken', '--json'])
  assert.is(exitCode, 1)
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string })
  assert.is(events[0]!.type, 'run-started')
  assert.is(events.at(-1)!.type, 'run-finished')
  assert.is(stdout, journal(test))
  assert.is((await test.run(['show', '--json'])).stdout, stdout)
})

shows('show tells the run again', async ({ test }) => {
  await test.run(['run', 'broken'])
  const shown = await test.succeed(['show'])
  for (const part of ['to stdout', 'to stderr', 'last words', 'exit code 3']) assert.match(shown, part)
})

shows('JUnit and trace files', async ({ test }) => {
  await test.run(['run', 'broken', '--junit', 'report.xml', '--trace', 'trace.json'])
  const junit = text(test, 'report.xml')
  assert.match(junit, /<testsuite[^>]*tests="2"[^>]*failures="1"/)
  const trace = JSON.parse(text(test, 'trace.json')) as { traceEvents: { name: string; ph: string }[] }
  assert.ok(trace.traceEvents.some(({ name }) => name === 'broken'))
})

shows('a run continues the trace of who started it, unless that is none', async ({ test }) => {
  const traceOf = async (id: string): Promise<string> => {
    const env = { TRACEPARENT: `00-${id}-00f067aa0ba902b7-01` }
    const first = (await test.succeed(['run', 'fine', '--json'], { env })).split('\n', 1)[0]!
    return (JSON.parse(first) as { traceId: string }).traceId
  }
  const parent = '4bf92f3577b34da6a3ce929d0e0e4736'
  assert.is(await traceOf(parent), parent)
  assert.match(await traceOf('0'.repeat(32)), /^(?!0+$)[0-9a-f]{32}$/)
})

shows('GitHub groups, annotations and a step summary', async ({ test }) => {
  test.write({ 'summary.md': '' })
  const env = { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: join(test.directory, 'summary.md') }
  const { stdout } = await test.run(['run', 'broken'], { env })
  assert.match(stdout, '::group::')
  assert.match(stdout, /^::error/m)
  const summary = text(test, 'summary.md')
  assert.match(summary, 'mermaid')
  assert.match(summary, 'broken')
  test.write({ 'summary.md': '' })
  await test.run(['show', '--renderer', 'github'], { env })
  assert.is(text(test, 'summary.md'), summary, 'shown again, it is written once')
})

shows('--renderer silent and --quiet', async ({ test }) => {
  assert.is(await test.succeed(['run', 'fine', '--renderer', 'silent']), '')
  assert.not.match(await test.succeed(['run', 'fine', '--quiet']), 'to stdout')
})

shows('declared secrets, and those whose names tell, are masked before every sink', async ({ test }) => {
  const args = ['run', '--keep-going', '--verbose', '--junit', 'j.xml', '--trace', 't.json', 'leaky', '--', 'blurts']
  const lines = await test.run(args)
  const json = await test.run([...args.slice(0, 3), '--json', 'leaky', '--', 'blurts'])
  const everything = [
    lines.stdout,
    lines.stderr,
    json.stdout,
    json.stderr,
    text(test, 'j.xml'),
    text(test, 't.json'),
    journal(test),
  ]
  assert.match(lines.stdout, 'plain')
  assert.match(lines.stdout, 'split')
  for (const shown of everything) {
    for (const word of [secret, 'tok-5f2e9c7b', 'made-up-on-the-way']) {
      const quoted = JSON.stringify(word).slice(1, -1)
      for (const form of [word, quoted, encodeURIComponent(word), Buffer.from(word).toString('base64')])
        assert.not(
          shown.includes(form),
          `${form} in ${shown.slice(Math.max(0, shown.indexOf(form) - 200), shown.indexOf(form) + 50)}`,
        )
    }
  }
})

shows('a full disk under .devstack: the run goes on without a journal, and says so', async ({ test }) => {
  const state = join(test.directory, '.devstack')
  mkdirSync(state)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', state])
  if (mounted.status !== 0) return void console.log('not run: a small file system can not be mounted here')
  try {
    const ended = await test.run(['run', 'many'])
    assert.is(ended.exitCode, 0, ended.stdout + ended.stderr)
    assert.match(ended.stdout + ended.stderr, 'the disk is full')
    assert.is((await test.run(['run', 'fine'])).exitCode, 0)
    await test.succeed(['runs'])
  } finally {
    spawnSync('umount', [state])
  }
})

shows('an unwritable report is told, and hurts nothing', async ({ test }) => {
  const ended = await test.run(['run', 'fine', '--junit', 'package.json/report.xml'])
  assert.is(ended.exitCode, 0)
  assert.match(ended.stdout + ended.stderr, /report/)
})

shows.run()
