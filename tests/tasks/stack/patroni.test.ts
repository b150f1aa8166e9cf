import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  judgePatroniCluster,
  type PatroniCluster,
  patroniPort,
  postgresCluster,
  postgresLeader,
  postgresMember,
  postgresPort,
  readPatroniCluster,
} from '../../../tasks/stack/patroni.ts'
import { fakeHttp, handleOf, probeContext } from './fake.ts'

const test = suite('patroni')

type Member = PatroniCluster['members'][number]
const leader: Member = { name: 'postgres1', role: 'leader', state: 'running', timeline: 3 }
const standby: Member = { name: 'postgres2', role: 'sync_standby', state: 'streaming', timeline: 3, lag: 0 }
const replica: Member = { name: 'postgres3', role: 'replica', state: 'streaming', timeline: 3, lag: 0 }
const status = (rest: object) => ({
  state: 'running',
  role: 'replica',
  patroni: { version: '4.0.7', scope: 'devstack', name: 'postgres1' },
  ...rest,
})

test('a complete cluster is healthy', () => {
  assert.equal(judgePatroniCluster({ members: [leader, standby, replica] }, { members: 3 }), {
    healthy: true,
    detail: 'postgres1 leads, 2 streaming, 0 bytes behind, postgres2 synchronous',
  })
})

test('whatever is missing is named', () => {
  const detail = (members: Member[]) => {
    const verdict = judgePatroniCluster({ members }, { members: 3 })
    assert.is(verdict.healthy, false)
    return verdict.detail
  }
  assert.is(detail([standby, replica]), 'no leader')
  assert.is(detail([leader, { ...leader, name: 'postgres2' }, replica]), '2 leaders')
  assert.is(detail([{ ...leader, state: 'starting' }, standby, replica]), 'leader postgres1 is starting')
  assert.is(detail([leader, standby]), '2 of 3 members known')
  assert.is(detail([leader, standby, { ...replica, state: 'creating replica' }]), 'postgres3 is creating replica')
  assert.is(detail([leader, standby, { ...replica, state: 'running' }]), 'postgres3 is running')
  assert.is(detail([leader, standby, { ...replica, timeline: 2 }]), 'postgres3 is on timeline 2')
  assert.is(detail([leader, standby, { ...replica, lag: 'unknown' }]), 'the lag of postgres3 is unknown')
  assert.is(detail([leader, standby, { ...replica, lag: 2 ** 30 }]), `postgres3 is ${2 ** 30} bytes behind`)
  assert.is(detail([leader, { ...standby, role: 'replica' }, replica]), 'no synchronous standby yet')
})

test('asynchronous replication needs no synchronous standby', () => {
  const members = [leader, { ...standby, role: 'replica' as const }, replica]
  assert.ok(judgePatroniCluster({ members }, { synchronous: false }).healthy)
})

test('a member is healthy as leader, or as a replica that streams', async () => {
  const ask = async (rest: object, code = 200) => {
    await using server = await fakeHttp({ '/health': status(rest) }, code)
    return await postgresMember()(handleOf('postgres1', patroniPort, server.port), probeContext())
  }
  assert.equal(await ask({ role: 'primary', timeline: 3 }), { healthy: true, detail: 'leader, timeline 3' })
  assert.equal(
    await ask({ role: 'primary', timeline: null, xlog: { location: null } }),
    { healthy: true, detail: 'leader, timeline ?' },
    'right after a promotion',
  )
  assert.equal(await ask({ replication_state: 'streaming', sync_standby: true }), {
    healthy: true,
    detail: 'synchronous standby, streaming',
  })
  assert.equal(await ask({ replication_state: 'in archive recovery' }), {
    healthy: false,
    detail: 'replica, in archive recovery',
  })
  assert.equal(await ask({ state: 'starting' }, 503), { healthy: false, detail: 'PostgreSQL is starting' })
  assert.is((await ask({ role: 'primary', cluster_unlocked: true })).healthy, false)
})

test('the cluster is asked of whoever answers', async () => {
  const gone = await fakeHttp({})
  await gone[Symbol.asyncDispose]()
  await using silent = await fakeHttp({ '/cluster': 'nonsense' })
  await using server = await fakeHttp({ '/cluster': { members: [leader, standby, replica] } })
  const handles = [gone, silent, server].map(({ port }, index) => handleOf(`postgres${index + 1}`, patroniPort, port))
  assert.ok((await postgresCluster()(handles, probeContext())).healthy)
})

test('when nobody answers, each different reason is told once', async () => {
  const gone = await fakeHttp({})
  await gone[Symbol.asyncDispose]()
  const probe = async () => postgresCluster()([handleOf('postgres1', patroniPort, gone.port)], probeContext())
  assert.match(String(await probe().catch((error: Error) => error)), /no member answers: connect ECONNREFUSED/)
})

test('the leader is found by its name among the services', async () => {
  await using server = await fakeHttp({ '/cluster': { members: [{ ...leader, name: 'postgres2' }] } })
  const handle = handleOf('postgres2', patroniPort, server.port)
  const both = {
    ...handle,
    ports: [...handle.ports, { ...handle.ports[0]!, containerPort: postgresPort, hostPort: 1 }],
  }
  const found = await postgresLeader([both], { reach: { prefer: 'published', host: '127.0.0.1' } })
  assert.is(found.handle, both)
  assert.is(found.address.port, 1)
  const stranger = { ...both, service: 'postgres9' }
  const reach = { prefer: 'published', host: '127.0.0.1' } as const
  const error = await postgresLeader([stranger], { reach }).catch((thrown: Error) => thrown)
  assert.match(String(error), /leader postgres2 is none of postgres9/)
})

test('answers are validated', async () => {
  await using server = await fakeHttp({ '/cluster': { members: [{ name: 'a', role: 'king', state: 'running' }] } })
  const error = await readPatroniCluster(`http://127.0.0.1:${server.port}`).catch((thrown: Error) => thrown)
  assert.match(String(error), /Patroni 127\.0\.0\.1:\d+\/cluster, 200: .*role/s)
})

test.run()
