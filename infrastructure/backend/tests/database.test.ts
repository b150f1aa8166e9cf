import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { Database, type DatabaseOptions } from '../src/database.ts'
import { DeadlineExceeded } from '../src/retry.ts'
import { type Behaviour, FakePostgres } from './fake-postgres.ts'

const started: { stop(): Promise<void> }[] = []

afterEach(async () => {
  await Promise.all(started.splice(0).map((thing) => thing.stop()))
})

async function members(...behaviours: Behaviour[]): Promise<FakePostgres[]> {
  const fakes = await Promise.all(behaviours.map((behaviour) => new FakePostgres(behaviour).start()))
  started.push(...fakes)
  return fakes
}

function database(fakes: readonly FakePostgres[], options: Partial<DatabaseOptions> = {}) {
  const retries: string[] = []
  const made = new Database({
    hosts: fakes.map((fake) => ({ name: '127.0.0.1', port: fake.port })),
    user: 'app',
    password: 'secret',
    database: 'app',
    poolSize: 4,
    connectTimeoutMs: 2_000,
    statementTimeoutMs: 10_000,
    deadlineMs: 30_000,
    onRetry: (reason) => retries.push(reason),
    ...options,
  })
  started.push({ stop: () => made.close() })
  return { database: made, retries }
}

const one = { rows: [{ value: '1' }] }

test('finds the member that takes writes among replicas and a frozen one', async () => {
  const fakes = await members('replica', 'frozen', 'leader')
  fakes[2]!.answer = () => one
  const { database: db, retries } = database(fakes)
  assert.deepEqual(await db.run((session) => session.query('SELECT 1 AS value')), [{ value: '1' }])
  assert.equal(db.leader?.host.port, fakes[2]!.port)
  assert.deepEqual(retries, [])
})

test('a connection dropped under a statement is followed by another attempt on the new leader', async () => {
  const [old, next] = await members('leader', 'replica')
  old!.answer = () => {
    old!.behaviour = 'replica'
    next!.behaviour = 'leader'
    next!.timeline = 2
    return 'drop'
  }
  next!.answer = () => one
  const { database: db, retries } = database([old!, next!])
  const attempts: number[] = []
  const rows = await db.run((session) => {
    attempts.push(session.attempt)
    return session.query('SELECT 1 AS value')
  })
  assert.deepEqual(rows, [{ value: '1' }])
  assert.deepEqual(attempts, [1, 2])
  assert.deepEqual(retries, ['connection_terminated'])
  assert.equal(db.leader?.timeline, 2)
})

test('a leader that was demoted in place answers read-only, and is left', async () => {
  const [old, next] = await members('leader', 'replica')
  old!.answer = () => {
    old!.behaviour = 'replica'
    next!.behaviour = 'leader'
    next!.timeline = 2
    return { error: '25006', message: 'cannot execute INSERT in a read-only transaction' }
  }
  next!.answer = () => one
  const { database: db, retries } = database([old!, next!])
  await db.run((session) => session.transaction(() => session.query('INSERT')))
  assert.deepEqual(retries, ['read_only'])
  assert.deepEqual(
    next!.statements.map((sql) => sql.split(' ')[0]),
    ['BEGIN', 'INSERT', 'COMMIT'],
  )
})

test('a leader that freezes under a statement is given up at the statement deadline', async () => {
  const [old, next] = await members('leader', 'replica')
  old!.answer = () => {
    old!.behaviour = 'frozen'
    next!.behaviour = 'leader'
    next!.timeline = 2
    return 'ignore'
  }
  next!.answer = () => one
  const { database: db, retries } = database([old!, next!], { statementTimeoutMs: 500 })
  assert.deepEqual(await db.run((session) => session.query('SELECT 1 AS value')), [{ value: '1' }])
  assert.equal(retries[0], 'statement_timeout')
  assert.equal(db.leader?.timeline, 2)
})

test('a stale leader of an older timeline is not followed again', async () => {
  const [old, next] = await members('replica', 'leader')
  next!.timeline = 3
  next!.answer = () => one
  const { database: db } = database([old!, next!])
  await db.run((session) => session.query('SELECT 1'))
  old!.behaviour = 'leader'
  old!.timeline = 2
  next!.behaviour = 'replica'
  next!.answer = () => ({ error: '25006' })
  await assert.rejects(
    db.run((session) => session.query('SELECT 1'), { deadlineMs: 2_000 }),
    (thrown) => thrown instanceof DeadlineExceeded && /leads an old timeline, 2 after 3/.test(thrown.message),
  )
  assert.deepEqual(old!.statements, [])
})

test('a commit without its standby does not count, and the work is done again', async () => {
  const [leader] = await members('leader')
  let commits = 0
  leader!.answer = (sql) =>
    sql.startsWith('COMMIT') && ++commits === 1 ? { notice: 'SyncRepWaitForLSN' } : { rows: [] }
  const { database: db, retries } = database([leader!])
  await db.run((session) => session.transaction(() => session.query('INSERT')))
  assert.equal(commits, 2)
  assert.deepEqual(retries, ['unconfirmed_commit'])
})

test('a deadlock is tried again, a syntax error is not tried again', async () => {
  const [leader] = await members('leader')
  let asked = 0
  leader!.answer = () => (++asked === 1 ? { error: '40P01' } : one)
  const { database: db, retries } = database([leader!])
  await db.run((session) => session.query('UPDATE'))
  assert.deepEqual(retries, ['deadlock_detected'])
  leader!.answer = () => ({ error: '42601', message: 'syntax error' })
  await assert.rejects(
    db.run((session) => session.query('SELEKT')),
    /syntax error/,
  )
  assert.deepEqual(retries, ['deadlock_detected'])
})

test('without any leader the work ends at its deadline and says what each member said', async () => {
  const fakes = await members('replica', 'replica')
  const { database: db, retries } = database(fakes, { deadlineMs: 2_000 })
  await assert.rejects(
    db.run((session) => session.query('SELECT 1')),
    (thrown) => thrown instanceof DeadlineExceeded && /is a replica; .* is a replica/.test(thrown.message),
  )
  assert.ok(retries.length > 0)
  assert.ok(retries.every((reason) => reason === 'no_leader'))
})

test('every statement carries the tags, and an abort ends a statement that has no answer', async () => {
  const [leader] = await members('leader')
  leader!.answer = () => 'ignore'
  const { database: db } = database([leader!])
  const abort = new AbortController()
  const gone = db.run((session) => session.query('SELECT $1::int', [1]), {
    signal: abort.signal,
    tags: { traceparent: '00-a-b-01', route: '/api/courses' },
  })
  while (leader!.statements.length === 0) await new Promise((resolve) => setImmediate(resolve))
  abort.abort(new Error('the client went away'))
  await assert.rejects(gone, /the client went away/)
  assert.deepEqual(leader!.statements, ["SELECT $1::int /*route='%2Fapi%2Fcourses',traceparent='00-a-b-01'*/"])
})

test('closing leaves no connection', async () => {
  const [leader] = await members('leader')
  const { database: db } = database([leader!])
  await Promise.all([1, 2, 3].map(() => db.run((session) => session.query('SELECT 1'))))
  assert.ok(leader!.connections > 0)
  await db.close()
  while (leader!.connections > 0) await new Promise((resolve) => setImmediate(resolve))
  await assert.rejects(
    db.run((session) => session.query('SELECT 1')),
    /the database is closed/,
  )
})
