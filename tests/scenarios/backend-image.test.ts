/**
 * The reference backend as an image: its own tests run in it, and it serves over one plain PostgreSQL that is started late,
 * restarted under a request and never hidden behind a Patroni. Without Redis, which it must do without.
 */
import { readFile } from 'node:fs/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../lib/runtime/docker/connect.ts'
import type { ContainerSpec, Runtime } from '../../lib/runtime/runtime.ts'
import { extraCertificates } from '../../tasks/stack/certificates.ts'
import { scenarioEngine, uniqueProject } from '../support/engine.ts'

const infrastructure = new URL('../../infrastructure/', import.meta.url)
const folder = (path: string): string => new URL(path, infrastructure).pathname
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const password = 'scenario'

const images = suite('the backend image')
const engine = await scenarioEngine()

/** Asks until there is an answer that will do; the deadline only ends a broken test. */
async function until<T>(what: string, ask: () => Promise<T | undefined | false>, withinMs = 120_000): Promise<T> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const answer = await ask().catch(() => undefined)
    if (answer) return answer
    if (Date.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

async function build(runtime: Runtime, project: string): Promise<string> {
  const args = { EXTRA_CA: await extraCertificates({ environment: process.env }) }
  await runtime.build({ context: folder('node'), tags: ['devstack-node'], args })
  const tag = `${project}-backend`
  await runtime.build({ context: folder('backend'), tags: [tag], target: 'runtime' })
  return tag
}

function specs(project: string, image: string) {
  const spec = (service: string, more: Partial<ContainerSpec>): ContainerSpec => ({
    name: `${project}-${service}`,
    project,
    service,
    image,
    environment: {},
    labels: { 'devstack.project': project },
    ports: [],
    mounts: [],
    networks: [{ network: project, aliases: [service] }],
    restart: { name: 'no' },
    ...more,
  })
  return {
    tests: spec('tests', {
      command: ['node', '--test', 'tests/*.test.ts'],
      mounts: [{ type: 'bind', source: folder('backend/tests'), target: '/app/tests', readOnly: true }],
    }),
    postgres: spec('postgres', {
      image: 'devstack-postgres',
      entrypoint: ['bash', '-euc'],
      command: [
        `[ -e /tmp/data/PG_VERSION ] || initdb --pgdata /tmp/data --username app --auth trust --no-sync >/dev/null
         exec postgres -D /tmp/data -k /tmp -c listen_addresses='*' -c log_statement=all -c hba_file=<(echo host all all all trust; echo local all all trust)`,
      ],
    }),
    backend: spec('backend', {
      environment: {
        PGHOSTS: 'nobody:5432,postgres:5432',
        PGPASSWORD: password,
        PGDATABASE: 'postgres',
        REDIS_SENTINELS: '127.0.0.1:1',
        REDIS_PASSWORD: password,
      },
      ports: [{ hostIp: '127.0.0.1', hostPort: 0, containerPort: 8080, protocol: 'tcp' }],
    }),
  }
}

async function output(runtime: Runtime, name: string): Promise<string> {
  const lines: string[] = []
  for await (const line of runtime.logs(name)) lines.push(line.text)
  return lines.join('\n')
}

async function scenario(runtime: Runtime, project: string): Promise<void> {
  const image = await build(runtime, project)
  const built = await runtime.image(image)
  assert.is(built?.user, 'app')
  const { tests, postgres, backend } = specs(project, image)
  await runtime.ensureNetwork({ name: project, labels: { 'devstack.project': project } })

  await runtime.create(tests)
  await runtime.start(tests.name)
  const failed = await runtime.wait(tests.name)
  assert.is(failed, 0, failed === 0 ? undefined : await output(runtime, tests.name))

  await runtime.create(backend)
  await runtime.start(backend.name)
  const details = await runtime.inspect(backend.name)
  const base = `http://127.0.0.1:${details!.ports[0]!.hostPort}`
  const ask = (path: string, init?: RequestInit) => fetch(`${base}${path}`, init)
  await until('the backend is live', async () => (await ask('/actuator/health/liveness')).ok)
  assert.is((await ask('/actuator/health/readiness')).status, 503, 'not ready without a database')

  if ((await runtime.image(postgres.image)) === undefined) {
    console.log(`not run: the part over PostgreSQL, since the image ${postgres.image} is missing`)
    return
  }
  await runtime.create(postgres)
  await runtime.start(postgres.name)
  await until('the database is found', async () => (await ask('/actuator/health/database')).ok)
  const unready = await ask('/actuator/health/readiness')
  assert.match(await unready.text(), 'missing tables: courses, students, enrollments; apply the migrations')

  const migration = await readFile(new URL('backend/migrations/0001-courses-students-enrollments.sql', infrastructure))
  const applied = await runtime.exec(postgres.name, {
    command: ['psql', '-h', '/tmp', '-U', 'app', '-1', '-v', 'ON_ERROR_STOP=1', 'postgres'],
    stdin: migration,
  })
  assert.is(applied.exitCode, 0, applied.stderr)
  assert.is((await ask('/actuator/health/readiness')).status, 200)

  const send = (path: string, body: object, key: string) =>
    ask(path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': key,
        traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify(body),
    })
  const course = await send('/api/courses', { code: 'MATH-101', title: 'Algebra', capacity: 1 }, 'course')
  assert.is(course.status, 201)
  const { id: courseId } = (await course.json()) as { readonly id: string }
  const again = await send('/api/courses', { code: 'MATH-101', title: 'Algebra', capacity: 1 }, 'course')
  assert.is(((await again.json()) as { readonly id: string }).id, courseId, 'the same key makes it once')
  const twin = await send('/api/courses', { code: 'MATH-101', title: 'Algebra', capacity: 1 }, 'another')
  assert.is(twin.status, 409)
  const places = await Promise.all(
    ['ada', 'bob', 'cy'].map(async (name) => {
      const student = await send('/api/students', { name, email: `${name}@example.org` }, name)
      const { id: studentId } = (await student.json()) as { readonly id: string }
      return (await send('/api/enrollments', { courseId, studentId }, name)).status
    }),
  )
  assert.equal(places.sort(), [201, 409, 409], 'the one place is taken once')

  // Requests keep coming while the database is killed and comes back: none of them fails.
  await runtime.kill(postgres.name)
  const requests = ['x', 'y', 'z'].map((name) =>
    send('/api/students', { name, email: `${name}@example.org` }, name).then(({ status }) => status),
  )
  await runtime.start(postgres.name)
  assert.equal(await Promise.all(requests), [201, 201, 201])
  const listed = (await (await ask('/api/enrollments')).json()) as { readonly items: readonly object[] }
  assert.is(listed.items.length, 1)

  const metrics = await (await ask('/metrics')).text()
  assert.match(metrics, /database_retries_total\{reason="[a-zA-Z_]+"\} \d/)
  assert.match(await output(runtime, postgres.name), `traceparent='00-${traceId}-`)

  await runtime.stop(backend.name)
  assert.is(await runtime.wait(backend.name), 0)
  const log = await output(runtime, backend.name)
  assert.match(log, `"trace_id":"${traceId}"`)
  assert.match(log, '"msg":"draining"')
  assert.match(log, '"msg":"stopped"')
}

images('is built, tests itself, and serves over a PostgreSQL that comes and goes', async () => {
  if (engine.state === 'missing') {
    console.log(`not run: ${engine.reason}`)
    return
  }
  const project = uniqueProject('backend')
  const runtime = connect({ environment: process.env })
  try {
    await scenario(runtime, project)
  } finally {
    for (const { id } of await runtime.containers({ 'devstack.project': project }))
      await runtime.remove(id, { volumes: true })
    await runtime.removeNetwork(project).catch(() => {})
    await runtime.removeImage(`${project}-backend`).catch(() => {})
    runtime.close()
  }
})

images.run()
