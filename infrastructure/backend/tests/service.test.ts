import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { afterEach, test } from 'node:test'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { Cache } from '../src/cache.ts'
import { Database } from '../src/database.ts'
import { Health } from '../src/health.ts'
import { createMetrics } from '../src/metrics.ts'
import { createServer } from '../src/server.ts'
import { FakePostgres, type Outcome } from './fake-postgres.ts'

const caller = {
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  header: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
}
const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Service {
  readonly server: FastifyInstance
  readonly postgres: FakePostgres
  readonly health: Health
  readonly forgotten: string[]
  readonly lines: () => readonly Readonly<Record<string, unknown>>[]
}

/** The whole service over a fake PostgreSQL and a cache that never has anything. */
async function service(answer: (sql: string) => Outcome = () => ({ rows: [] })): Promise<Service> {
  const postgres = await new FakePostgres('leader').start()
  postgres.answer = answer
  const database = new Database({
    hosts: [{ name: '127.0.0.1', port: postgres.port }],
    user: 'app',
    password: 'secret',
    database: 'app',
    poolSize: 4,
    connectTimeoutMs: 2_000,
    statementTimeoutMs: 10_000,
    deadlineMs: 20_000,
  })
  const forgotten: string[] = []
  const cache: Cache = { through: (_, load) => load(), forget: async (group) => void forgotten.push(group) }
  const written = new PassThrough()
  const health = new Health({
    required: ['database'],
    checks: {
      database: async () => {
        if (postgres.behaviour !== 'leader') throw new Error('no leader')
        return { leader: 'here' }
      },
      redis: async () => {
        throw new Error('not there')
      },
    },
  })
  const server = await createServer({ log: pino({}, written), database, cache, health, metrics: createMetrics() })
  cleanups.push(
    () => postgres.stop(),
    () => database.close(),
    () => server.close(),
  )
  const lines = () =>
    String(written.read() ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { server, postgres, health, forgotten, lines }
}

const course = { id: 'c', code: 'MATH-101', title: 'Algebra', capacity: '3', createdAt: '2026-01-01', enrolled: '0' }

test('refuses what is not valid, names each input at fault, and asks the database nothing', async () => {
  const { server, postgres } = await service()
  const answer = await server.inject({
    method: 'POST',
    url: '/api/courses',
    payload: { code: 'x', title: '', more: 1 },
  })
  assert.equal(answer.statusCode, 400)
  assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
  const paths = answer.json().errors.map((error: { readonly path: string }) => error.path)
  assert.deepEqual(paths, ['code', 'title', 'capacity', ''])
  for (const url of ['/api/courses?limit=101', '/api/courses/1', '/api/enrollments?courseId=x'])
    assert.equal((await server.inject(url)).statusCode, 400, url)
  const broken = { method: 'POST', url: '/api/courses', payload: '{', headers: { 'content-type': 'application/json' } }
  assert.equal((await server.inject(broken as never)).statusCode, 400)
  assert.deepEqual(postgres.statements, [])
})

test('a key makes the same id again, and a change forgets what it made stale', async () => {
  const { server, postgres, forgotten } = await service((sql) => ({ rows: sql.startsWith('SELECT') ? [course] : [] }))
  const payload = { code: 'MATH-101', title: 'Algebra', capacity: 3 }
  const post = (key?: string) =>
    server.inject({ method: 'POST', url: '/api/courses', payload, headers: key ? { 'idempotency-key': key } : {} })
  const [first, second, other] = [await post('a'), await post('a'), await post()]
  assert.equal(first.statusCode, 201)
  assert.equal(first.headers['location'], second.headers['location'])
  assert.notEqual(first.headers['location'], other.headers['location'])
  assert.deepEqual(forgotten.slice(0, 2), ['courses', 'enrollments'])
  assert.equal(postgres.statements.filter((sql) => sql.startsWith('INSERT')).length, 3)
  const reused = await server.inject({
    method: 'POST',
    url: '/api/courses',
    payload: { ...payload, code: 'ART-1' },
    headers: { 'idempotency-key': 'a' },
  })
  assert.equal(reused.statusCode, 422)
})

test('what PostgreSQL refuses is a problem that a client can read', async () => {
  let code = '23505'
  const { server } = await service(() => ({ error: code }))
  const post = () =>
    server.inject({ method: 'POST', url: '/api/students', payload: { name: 'Ada', email: 'ada@example.org' } })
  assert.equal((await post()).statusCode, 409)
  code = '42P01'
  const missing = await post()
  assert.equal(missing.statusCode, 503)
  assert.match(missing.json().detail, /migrations/)
  code = '42601'
  const fault = await post()
  assert.equal(fault.statusCode, 500)
  assert.doesNotMatch(fault.body, /42601|stack/)
})

test("the caller's trace reaches the SQL comment, the log and the answer", async () => {
  const { server, postgres, lines } = await service()
  const answer = await server.inject({ url: '/api/courses', headers: { traceparent: caller.header } })
  assert.equal(answer.headers['x-trace-id'], caller.traceId)
  const line = lines().find(({ msg }) => msg === 'request')!
  assert.equal(line['trace_id'], caller.traceId)
  assert.equal(line['parent_id'], '00f067aa0ba902b7')
  const comment = `/*application='backend',route='%2Fapi%2Fcourses',traceparent='00-${caller.traceId}-${line['span_id']}-01'*/`
  assert.ok(postgres.statements[0]!.endsWith(comment), postgres.statements[0])
})

test('health tells components, readiness and liveness apart', async () => {
  const { server, postgres, health } = await service()
  const whole = await server.inject('/actuator/health')
  assert.equal(whole.statusCode, 200, 'a cache that is down only shows')
  assert.deepEqual(whole.json().components.redis, { status: 'DOWN', details: { error: 'not there' } })
  assert.equal((await server.inject('/actuator/health/redis')).statusCode, 503)
  assert.equal((await server.inject('/actuator/health/database')).statusCode, 200)
  postgres.behaviour = 'replica'
  assert.equal((await server.inject('/actuator/health')).statusCode, 503)
  assert.equal((await server.inject('/actuator/health/readiness')).statusCode, 503)
  assert.equal((await server.inject('/actuator/health/liveness')).statusCode, 200)
  postgres.behaviour = 'leader'
  health.drain()
  const draining = await server.inject('/actuator/health/readiness')
  assert.equal(draining.statusCode, 503)
  assert.equal(draining.json().status, 'OUT_OF_SERVICE')
})

test('metrics count requests by route and not by path', async () => {
  const { server } = await service()
  await server.inject('/api/courses/00000000-0000-4000-8000-000000000001')
  await server.inject('/nothing/here')
  const { body } = await server.inject('/metrics')
  assert.match(body, /http_request_duration_seconds_count\{method="GET",route="\/api\/courses\/:id",status="404"\} 1/)
  assert.match(body, /http_request_duration_seconds_count\{method="GET",route="unknown",status="404"\} 1/)
})

test('closing waits for the request in hand and takes no other', async () => {
  const asked = Promise.withResolvers<void>()
  const { server, postgres } = await service(() => {
    asked.resolve()
    return 'ignore'
  })
  const address = await server.listen({ host: '127.0.0.1', port: 0 })
  const inHand = fetch(`${address}/api/courses`)
  await asked.promise
  const closed = server.close()
  await assert.rejects(fetch(`${address}/api/courses`))
  // The statement has no answer until its connection is cut; then the work is done again.
  postgres.answer = () => ({ rows: [] })
  postgres.drop()
  assert.deepEqual(await (await inHand).json(), { items: [] })
  await closed
})

test('a client that goes away ends its statement', async () => {
  const asked = Promise.withResolvers<void>()
  const { server, postgres } = await service(() => {
    asked.resolve()
    return 'ignore'
  })
  const address = await server.listen({ host: '127.0.0.1', port: 0 })
  const abort = new AbortController()
  const gone = fetch(`${address}/api/courses`, { signal: abort.signal })
  await asked.promise
  abort.abort()
  await assert.rejects(gone)
  while (postgres.connections > 0) await new Promise((resolve) => setImmediate(resolve))
})
