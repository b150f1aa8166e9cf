import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { etcdClientPort, etcdCluster, etcdMember, readEtcd, readEtcdStatus } from '../../../tasks/stack/etcd.ts'
import { fakeHttp, handleOf, probeContext } from './fake.ts'

const test = suite('etcd')

const header = { cluster_id: '1', member_id: '11', revision: '7', raft_term: '2' }
const member = (id: string, name: string) => ({
  ID: id,
  ...(name && { name }),
  peerURLs: ['http://x:2380'],
  clientURLs: name ? ['http://x:2379'] : undefined,
})
const threeMembers = { header, members: [member('11', 'etcd1'), member('12', 'etcd2'), member('13', 'etcd3')] }
const status = (id: string, leader: string | undefined, rest: object = {}) => ({
  header: { ...header, member_id: id },
  version: '3.5.16',
  dbSize: '20480',
  leader,
  raftIndex: '9',
  raftTerm: '2',
  ...rest,
})
const answers = (id: string, leader: string | undefined, rest: object = {}) => ({
  '/v3/maintenance/status': status(id, leader),
  '/v3/cluster/member/list': threeMembers,
  '/v3/kv/range': { header },
  ...rest,
})

test('a member that follows a leader and reads linearizably is healthy', async () => {
  await using follower = await fakeHttp(answers('12', '11'))
  await using leader = await fakeHttp(answers('11', '11'))
  const probe = etcdMember({ members: 3 })
  assert.equal(await probe(handleOf('etcd2', etcdClientPort, follower.port), probeContext()), {
    healthy: true,
    detail: 'follower of etcd1, 3 members started, revision 7',
  })
  assert.match((await probe(handleOf('etcd1', etcdClientPort, leader.port), probeContext())).detail, /^leader, /)
})

test('without a leader, or with members that never started, it is not', async () => {
  await using leaderless = await fakeHttp(answers('11', undefined))
  await using partial = await fakeHttp(
    answers('11', '11', { '/v3/cluster/member/list': { header, members: [member('11', 'etcd1'), member('12', '')] } }),
  )
  assert.equal(await etcdMember()(handleOf('etcd1', etcdClientPort, leaderless.port), probeContext()), {
    healthy: false,
    detail: 'no leader elected yet',
  })
  assert.equal(await etcdMember({ members: 3 })(handleOf('etcd1', etcdClientPort, partial.port), probeContext()), {
    healthy: false,
    detail: '1 of 3 members started',
  })
})

test('the cluster: agreement on one leader, silence and lost quorum are told apart', async () => {
  await using one = await fakeHttp(answers('11', '11'))
  await using two = await fakeHttp(answers('12', '11'))
  await using stray = await fakeHttp(answers('13', '13'))
  const gone = await fakeHttp({})
  await gone[Symbol.asyncDispose]()
  await using stuck = await fakeHttp(answers('11', '11', { '/v3/kv/range': undefined }))
  const handles = (...ports: number[]) => ports.map((port, index) => handleOf(`etcd${index + 1}`, etcdClientPort, port))
  const probe = etcdCluster({ members: 3 })
  assert.equal(await probe(handles(one.port, two.port), probeContext()), {
    healthy: true,
    detail: '3 members, etcd1 leads, revision 7',
  })
  assert.is((await probe(handles(one.port, stray.port), probeContext())).detail, 'the members do not agree on a leader')
  assert.is((await probe(handles(one.port, gone.port), probeContext())).detail, 'no answer from etcd2')
  assert.match((await probe(handles(stuck.port), probeContext())).detail, /no quorum/)
})

test('an alarm makes the cluster unhealthy', async () => {
  await using full = await fakeHttp(
    answers('11', '11', { '/v3/maintenance/status': status('11', '11', { errors: ['NOSPACE'] }) }),
  )
  const probe = etcdCluster({ members: 3 })
  assert.equal(await probe([handleOf('etcd1', etcdClientPort, full.port)], probeContext()), {
    healthy: false,
    detail: 'alarm: NOSPACE',
  })
})

test('answers are validated and errors name the member', async () => {
  await using odd = await fakeHttp({ '/v3/maintenance/status': { version: 3 } })
  await using page = await fakeHttp({ '/v3/maintenance/status': '<html>' })
  const read = (port: number) => readEtcdStatus({ host: '127.0.0.1', port }).catch((error: Error) => error.message)
  assert.match(String(await read(odd.port)), /etcd 127\.0\.0\.1:\d+\/v3\/maintenance\/status: .*version/s)
  assert.match(String(await read(page.port)), /answered 200 without JSON: <html>/)
})

test('a view has a status for each endpoint, and rejects only when none answers', async () => {
  await using one = await fakeHttp(answers('11', '11'))
  const gone = await fakeHttp({})
  await gone[Symbol.asyncDispose]()
  const at = (port: number) => ({ host: '127.0.0.1', port })
  const view = await readEtcd([at(gone.port), at(one.port)])
  assert.is(view.leader, 'etcd1')
  assert.is(view.revision, 7)
  assert.ok('error' in view.statuses[0]!)
  assert.match(String(await readEtcd([at(gone.port)]).catch((error: Error) => error)), /no etcd member answers/)
})

test.run()
