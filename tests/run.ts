/**
 * What `npm test` runs. Stages in order: build, types, lint, docs, unit files, engine, scenarios. See CONTRIBUTING.md.
 *
 *     node tests/run.ts [--unit] [--long] [--coverage] [--only <pattern>] [--list]
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { filesOfTypesAlone, findTestFiles, type TestFile } from './support/files.ts'
import { type Failure, type Outcome, readOutcome } from './support/outcome.ts'
import { type PreparedEngine, prepareEngine } from './support/prepare.ts'
import { endProcess, leftovers, markName, runCaptured } from './support/processes.ts'
import { summary } from './support/summary.ts'

const root = dirname(import.meta.dirname)
const { values: flags } = parseArgs({
  options: {
    unit: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
})

const work = mkdtempSync(join(tmpdir(), 'devstack-test-'))
const cancelled = new AbortController()
const results: { readonly name: string; readonly outcome: Outcome }[] = []
const flaky: string[] = []
let lastLog = 0

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => cancelled.abort())

/** The environment of everything that is run here: the caller's, without what would change what a test sees. */
function environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env))
    if (!/^(DEVSTACK_|GITHUB_|RUNNER_|FORCE_COLOR$|NODE_OPTIONS$)/.test(name)) env[name] = value
  Object.assign(env, { TMPDIR: work, ...extra })
  env['PATH'] = `${join(root, 'node_modules', '.bin')}:${dirname(process.execPath)}:${env['PATH'] ?? ''}`
  if (flags.coverage) env['NODE_V8_COVERAGE'] = join(root, 'coverage', 'tmp')
  return env
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function report(name: string, outcome: Outcome, durationMs: number, output: string, note = ''): void {
  const { passed, failed, skipped } = outcome
  const counts = [`${passed} passed`, failed && `${failed} failed`, skipped && `${skipped} skipped`].filter(Boolean)
  const seconds = (durationMs / 1000).toFixed(1)
  say(`${failed ? 'FAIL' : 'ok  '} ${name}  ${counts.join(', ')}  ${seconds} s${note}`)
  for (const reason of outcome.notRun) say(`     not run: ${reason}`)
  if (failed) say(indent(lastLines(output, 60)))
}

function lastLines(text: string, count: number): string {
  const lines = text.trimEnd().split('\n')
  const cut = lines.length - count
  return (cut > 0 ? [`(${cut} lines before)`, ...lines.slice(cut)] : lines).join('\n')
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '     | ')
}

function oneFailure(message: string): Outcome {
  return { passed: 0, failed: 1, skipped: 0, failures: [{ test: '', message, place: undefined }], notRun: [] }
}
const onePassed: Outcome = { passed: 1, failed: 0, skipped: 0, failures: [], notRun: [] }

/** One command that must succeed, counted as one test. */
async function stage(name: string, args: readonly string[], command = process.execPath): Promise<void> {
  if (cancelled.signal.aborted) return
  const logFile = join(work, `${name}.log`)
  const deadlineMs = 300_000
  const env = environment()
  // what the compiler and the linter cover is no coverage of ours
  delete env['NODE_V8_COVERAGE']
  const ended = await runCaptured({ command, args, cwd: root, env, logFile, deadlineMs, signal: cancelled.signal })
  const output = readFileSync(logFile, 'utf8')
  const passed = ended.exitCode === 0
  const cause = ended.timedOut ? `did not end within ${deadlineMs / 1000} s` : `ended with ${ended.exitCode}`
  const outcome = passed ? onePassed : oneFailure(`${cause}: ${firstComplaint(output)}`)
  report(name, outcome, ended.durationMs, output)
  results.push({ name, outcome })
}

/** Of a compiler's or linter's output the first line that names a place or an error, else the last line. */
function firstComplaint(output: string): string {
  const lines = output.trim().split('\n')
  const named = lines.find((line) => /^\S+\.\w+(?:[:(]\d+| +format\b)|\[ERROR\]|^docs\/|ERROR: /.test(line))
  return (named ?? lines.at(-1) ?? '').replace(/ *━+$/, '')
}

interface Attempt {
  readonly outcome: Outcome
  readonly durationMs: number
  readonly output: string
}

async function attempt(file: TestFile): Promise<Attempt> {
  lastLog += 1
  const logFile = join(work, `${lastLog}.log`)
  const mark = `${process.pid}-${lastLog}`
  const ended = await runCaptured({
    command: process.execPath,
    args: ['--import', join(root, 'tests', 'support', 'uvu.ts'), file.path],
    cwd: root,
    env: environment({ [markName]: mark }),
    logFile,
    deadlineMs: file.deadlineMs,
    signal: cancelled.signal,
  })
  const left = await leftovers(markName, mark)
  for (const { id } of left) endProcess(id)
  const output = readFileSync(logFile, 'utf8')
  const outcome = readOutcome({ output, ...ended, deadlineMs: file.deadlineMs })
  const { durationMs } = ended
  if (left.length === 0 || ended.timedOut) return { outcome, durationMs, output }
  const message = `left a process behind: ${left.map((found) => `${found.id} ${found.command}`).join('; ')}`
  const failures: Failure[] = [...outcome.failures, { test: '', message, place: undefined }]
  return { outcome: { ...outcome, failed: outcome.failed + 1, failures }, durationMs, output }
}

async function runFile(file: TestFile): Promise<void> {
  if (cancelled.signal.aborted) return
  if (file.refused !== undefined) {
    const outcome = oneFailure(file.refused)
    report(file.path, outcome, 0, '')
    results.push({ name: file.path, outcome })
    return
  }
  let last = await attempt(file)
  // scenarios share a machine with a real engine: one more try, and the final lines say so
  if (last.outcome.failed > 0 && /^(engine|stack)$/.test(file.lane) && !cancelled.signal.aborted) {
    report(file.path, last.outcome, last.durationMs, last.output, ', once more')
    last = await attempt(file)
    if (last.outcome.failed === 0) flaky.push(file.path)
  }
  if (cancelled.signal.aborted) return
  report(file.path, last.outcome, last.durationMs, last.output)
  if (file.lane === 'long' && last.outcome.failed === 0) say(indent(last.output.trim()))
  results.push({ name: file.path, outcome: last.outcome })
}

async function lane(files: readonly TestFile[], atOnce: number): Promise<void> {
  const queue = [...files]
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file)
    }),
  )
}

async function main(): Promise<number> {
  const only = flags.only === undefined ? undefined : new RegExp(flags.only)
  const files = findTestFiles(root).filter(
    ({ path, lane: own }) =>
      (only?.test(path) ?? true) && (own === 'long') === flags.long && !(flags.unit && own !== 'unit'),
  )
  const inLane = (name: TestFile['lane']) => files.filter((file) => file.lane === name)
  if (flags.list) {
    for (const file of files)
      say(`${file.lane.padEnd(6)} ${String(file.deadlineMs / 1000).padStart(5)} s  ${file.path}`)
    return 0
  }
  if (flags.coverage) rmSync(join(root, 'coverage'), { recursive: true, force: true })
  const bin = (name: string) => join(root, 'node_modules', '.bin', name)
  await stage('build', flags.coverage ? ['build.ts', '--sources'] : ['build.ts'])
  if (only === undefined && !flags.long) {
    await stage('types', ['--noEmit'], bin('tsc'))
    await stage('lint', ['check', '--error-on-warnings', '.'], bin('biome'))
    await stage('docs', ['docs/generate.ts', '--check'])
  }
  await lane(inLane('unit'), 2)

  const scenarios = files.filter((file) => file.lane !== 'unit')
  let engine: PreparedEngine | undefined
  try {
    if (scenarios.length > 0 && !cancelled.signal.aborted) {
      const startedAt = performance.now()
      engine = await prepareEngine({ log: (text) => say(`     ${text}`), signal: cancelled.signal })
      // a person without an engine may go without; CI may not
      const missing = engine.state.state === 'missing' ? engine.state.reason : undefined
      const refused = missing !== undefined && Boolean(process.env['CI'])
      const outcome = refused
        ? oneFailure(missing)
        : missing === undefined
          ? onePassed
          : { ...onePassed, passed: 0, skipped: 1, notRun: [missing] }
      report('engine', outcome, performance.now() - startedAt, engine.details)
      results.push({ name: 'engine', outcome })
      if (missing === undefined)
        await Promise.all([lane(inLane('stack'), 1), lane(inLane('engine'), 1), lane(inLane('long'), 1)])
    }
  } finally {
    await engine?.stop()
  }
  if (flags.coverage && !cancelled.signal.aborted) {
    const threshold = only || flags.unit ? [] : ['--check-coverage', '--lines', '90']
    const shared = ['--temp-directory', 'coverage/tmp', '--include', 'lib/**', '--all', '--src', 'lib']
    for (const path of filesOfTypesAlone(root)) shared.push('--exclude', path)
    await stage(
      'coverage',
      ['report', ...shared, '--reporter', 'text', '--reporter', 'lcovonly', ...threshold],
      bin('c8'),
    )
    say(readFileSync(join(work, 'coverage.log'), 'utf8'))
    await stage('bundle', ['build.ts'])
  }
  if (cancelled.signal.aborted) say('cancelled: what is not listed above was not run')
  const lines = summary({ results, flaky, shorten: (place) => place.replace(`${root}/`, '') })
  for (const line of lines.text) say(line)
  return cancelled.signal.aborted ? 130 : lines.failed > 0 || lines.passed === 0 ? 1 : 0
}

try {
  process.exitCode = await main()
} finally {
  try {
    rmSync(work, { recursive: true, force: true })
  } catch (thrown) {
    // something is mounted there still; the counts must stay the last line
    process.stderr.write(`${work} is left: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
  }
}
