/** Scripts of events for tests of what is shown: written by hand, with times of their own. */
import type { ErrorFact, NodeEvent, RunEvent, RunOnlyEvent, Step, Summary } from '../../lib/engine/events.ts'

export const epoch = Date.UTC(2026, 0, 2, 3, 4, 5)
export const runId = '20260102-030405-ab12'

export function step(node: string, options: Partial<Step> = {}): Step {
  return { node, needs: [], decision: 'run', cause: 'never ran', effect: 'create', ...options }
}

export const gateError: ErrorFact = {
  code: 'GATE_DEADLINE',
  kind: 'gate',
  message: 'PostgreSQL leader elected did not hold within 60 s.',
  hint: 'devstack logs patroni2 shows more.',
  exitCode: 3,
  autopsy: {
    question: 'GET http://127.0.0.1:8008/leader',
    asked: 412,
    waitedMs: 60_000,
    answers: [
      { text: 'connect ECONNREFUSED 127.0.0.1:8008', times: 31 },
      { text: '503 no leader', times: 381 },
    ],
    container: { name: 'shop-patroni2-1', state: 'exited', exitCode: 137, oomKilled: true, restarts: 4 },
    logs: ['INFO: waiting for leader to bootstrap', 'FATAL: could not write lock file'],
    blocked: ['backend', 'frontend'],
    next: 'devstack logs patroni2',
  },
}

export const taskError: ErrorFact = {
  code: 'COMMAND_FAILED',
  kind: 'task',
  message: '`npm run migrate` ended with exit code 1.',
  hint: 'Fix the migration, then devstack resume.',
  place: { file: 'migrations/0007_users.sql', line: 12, column: 3, text: '  ALTER TABEL users' },
  exitCode: 1,
}

/** Builds a run: `at` moves with `wait`, every event gets the run's id. */
export class Script {
  readonly events: RunEvent[] = []
  at = epoch
  readonly id: string

  constructor(id = runId) {
    this.id = id
  }

  wait(ms: number): this {
    this.at += ms
    return this
  }

  run(event: RunOnlyEvent): this {
    this.events.push({ at: this.at, runId: this.id, ...event })
    return this
  }

  node(node: string, event: NodeEvent): this {
    this.events.push({ at: this.at, runId: this.id, node, ...event })
    return this
  }

  start(targets: readonly string[], steps: readonly Step[]): this {
    return this.run({
      type: 'run-started',
      format: 1,
      targets: targets.map((task) => ({ task, params: {} })),
      steps,
      traceId: '0af7651916cd43dd8448eb211c80319c',
      concurrency: 4,
      version: '0.1.0',
    })
  }

  finish(state: 'succeeded' | 'failed' | 'cancelled', summary: Partial<Summary>, criticalPath: string[] = []): this {
    return this.run({
      type: 'run-finished',
      state,
      durationMs: this.at - epoch,
      summary: { done: 0, reused: 0, skipped: 0, failed: 0, cancelled: 0, ...summary },
      criticalPath,
      criticalMs: this.at - epoch,
    })
  }
}

/** A small stack that comes up: reuse, output, gates, a fold, a service, a note. */
export function successfulRun(): RunEvent[] {
  const script = new Script()
  script.start(
    ['up'],
    [
      step('image', { decision: 'reuse', cause: 'its context is unchanged' }),
      step('network'),
      step('etcd1:create', { partOf: 'etcd1', needs: ['image', 'network'] }),
      step('etcd1:start', { partOf: 'etcd1', needs: ['etcd1:create'], service: true }),
      step('patroni1', { needs: ['etcd1:start'], service: true }),
      step('seed', { needs: ['patroni1'], effect: 'change' }),
    ],
  )
  script.node('image', { type: 'node-reused', value: null, cause: 'its context is unchanged' })
  script.node('network', { type: 'node-started', attempt: 1 })
  script.node('patroni1', { type: 'node-waiting', hold: { for: 'needs', nodes: ['etcd1:start'] } })
  script.node('seed', { type: 'node-waiting', hold: { for: 'needs', nodes: ['patroni1'] } })
  script.wait(120).node('network', { type: 'node-done', value: null, durationMs: 120 })
  script.node('etcd1:create', { type: 'node-started', attempt: 1 })
  script.wait(80).node('etcd1:create', { type: 'node-done', value: null, durationMs: 80 })
  script.node('etcd1:start', { type: 'node-started', attempt: 1 })
  script.node('etcd1:start', { type: 'gate-waiting', gate: 'etcd quorum' })
  script.wait(400).node('etcd1:start', { type: 'gate-answer', gate: 'etcd quorum', answer: '1 of 3 members started' })
  script.wait(400).node('etcd1:start', { type: 'gate-held', gate: 'etcd quorum', waitedMs: 800, asked: 9 })
  script.node('etcd1:start', { type: 'node-ready', value: null, durationMs: 900 })
  script.node('patroni1', { type: 'node-started', attempt: 1 })
  script
    .wait(300)
    .node('patroni1', { type: 'node-output', stream: 'stderr', text: 'bootstrap in progress\nleader: patroni1\n' })
  script.node('patroni1', {
    type: 'node-retry',
    attempt: 1,
    delayMs: 200,
    error: { code: 'REFUSED', kind: 'task', message: 'connection refused', exitCode: 1 },
  })
  script.wait(200).node('patroni1', { type: 'node-started', attempt: 2 })
  script.wait(1700).node('patroni1', { type: 'node-ready', value: null, durationMs: 2200 })
  script.run({ type: 'note', level: 'warning', text: 'fsync is off: data do not survive a crash of the machine.' })
  script.node('seed', { type: 'node-started', attempt: 1 })
  script.node('seed', { type: 'node-progress', progress: { done: 50, total: 100, unit: 'items', label: 'rows' } })
  script.wait(50).node('seed', { type: 'node-output', stream: 'log', text: 'seeded 100 rows' })
  script.node('seed', { type: 'node-done', value: { rows: 100 }, durationMs: 50 })
  return script.finish('succeeded', { done: 5, reused: 1 }, [
    'network',
    'etcd1:create',
    'etcd1:start',
    'patroni1',
    'seed',
  ]).events
}

/** Two failures of different kinds, one with an autopsy, and what they cancelled. */
export function failedRun(): RunEvent[] {
  const script = new Script()
  script.start(
    ['up'],
    [
      step('patroni2', { service: true }),
      step('migrate', { effect: 'change' }),
      step('backend', { needs: ['patroni2'] }),
      step('frontend', { needs: ['backend'] }),
    ],
  )
  script.node('patroni2', { type: 'node-started', attempt: 1 })
  script.node('migrate', { type: 'node-started', attempt: 1 })
  script.wait(500).node('migrate', { type: 'node-output', stream: 'stdout', text: 'applying 0007_users\n' })
  script.node('migrate', {
    type: 'node-output',
    stream: 'stderr',
    text: '\u001b[31mERROR\u001b[0m: syntax error at "TABEL"\n',
  })
  script.node('migrate', { type: 'node-failed', error: taskError, durationMs: 500 })
  script.node('migrate', {
    type: 'cleanup-failed',
    error: { code: 'EBUSY', kind: 'task', message: 'rm: tmp is busy', exitCode: 1 },
  })
  script.wait(59_500).node('patroni2', { type: 'node-failed', error: gateError, durationMs: 60_000 })
  for (const node of ['backend', 'frontend'])
    script.node(node, { type: 'node-cancelled', cause: 'a need failed', because: 'patroni2' })
  return script.finish('failed', { failed: 2, cancelled: 2 }, ['patroni2']).events
}

/** Ctrl-C while one task works and another waits. */
export function cancelledRun(): RunEvent[] {
  const script = new Script()
  script.start(['test'], [step('build'), step('test', { needs: ['build'] })])
  script.node('build', { type: 'node-started', attempt: 1 })
  script.node('test', { type: 'node-waiting', hold: { for: 'needs', nodes: ['build'] } })
  script.wait(1500).node('build', { type: 'node-cancelled', cause: 'interrupted' })
  script.node('test', { type: 'node-cancelled', cause: 'interrupted' })
  return script.finish('cancelled', { cancelled: 2 }).events
}

/** `count` independent nodes, `concurrency` at a time, each some milliseconds; nothing else. */
export function manyNodes(count: number, concurrency = 8): RunEvent[] {
  const script = new Script()
  const ids = Array.from({ length: count }, (_, index) => `unit:${String(index + 1).padStart(3, '0')}`)
  script.start(
    ['all'],
    ids.map((id) => step(id)),
  )
  for (let from = 0; from < count; from += concurrency) {
    const batch = ids.slice(from, from + concurrency)
    for (const id of batch) script.node(id, { type: 'node-started', attempt: 1 })
    for (const id of batch) {
      script.wait(5).node(id, { type: 'node-output', stream: 'stdout', text: `working on ${id}\n` })
      script.node(id, { type: 'node-done', value: null, durationMs: 40 })
    }
  }
  return script.finish('succeeded', { done: count }, ids.slice(0, 2)).events
}
