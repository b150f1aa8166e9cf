import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  judgeSentinel,
  readSentinel,
  sentinelNode,
  sentinelPort,
  sentinelQuorum,
} from '../../../tasks/stack/sentinel.ts'
import { fakeRedis, flat, handleOf, probeContext } from './fake.ts'

const test = suite('sentinel')

const master = (rest: object = {}) =>
  flat({
    name: 'devstack',
    ip: 'redis1',
    port: 6379,
    flags: 'master',
    quorum: 2,
    'num-slaves': 2,
    'num-other-sentinels': 2,
    'config-epoch': 0,
    ...rest,
  })
const replica = (ip: string, rest: object = {}) =>
  flat({ ip, port: 6379, flags: 'slave', 'master-link-status': 'ok', 'slave-repl-offset': 5, ...rest })
const other = (ip: string, flags = 'sentinel') => flat({ ip, port: 26379, runid: ip.padEnd(40, '0'), flags })
const list = (...items: string[]) => `*${items.length}\r\n${items.join('')}`
const complete = {
  'AUTH SECRET': '+OK\r\n',
  'SENTINEL MASTER DEVSTACK': master(),
  'SENTINEL REPLICAS DEVSTACK': list(replica('redis2'), replica('redis3')),
  'SENTINEL SENTINELS DEVSTACK': list(other('sentinel2'), other('sentinel3')),
  'SENTINEL CKQUORUM DEVSTACK': '+OK 3 usable Sentinels. Quorum and failover authorization can be reached\r\n',
}
const password = 'secret'

test('everything known and up is healthy', async () => {
  await using fake = await fakeRedis(complete)
  assert.equal(await sentinelNode({ password })(handleOf('sentinel1', sentinelPort, fake.port), probeContext()), {
    healthy: true,
    detail: 'watches redis1, 2 replicas, 3 Sentinels',
  })
})

test('what is missing is named', async () => {
  const detail = async (rest: Record<string, string>) => {
    await using fake = await fakeRedis({ ...complete, ...rest })
    const view = await readSentinel({ host: '127.0.0.1', port: fake.port }, { password })
    const verdict = judgeSentinel(view)
    assert.is(verdict.healthy, false)
    return verdict.detail
  }
  assert.is(await detail({ 'SENTINEL MASTER DEVSTACK': master({ flags: 's_down,master' }) }), 'master redis1: s_down')
  assert.is(await detail({ 'SENTINEL REPLICAS DEVSTACK': list(replica('redis2')) }), '1 of 2 replicas up')
  const down = list(replica('redis2'), replica('redis3', { 'master-link-status': 'err' }))
  assert.is(await detail({ 'SENTINEL REPLICAS DEVSTACK': down }), '1 of 2 replicas up')
  const half = list(other('sentinel2'), other('sentinel3', 's_down,sentinel'))
  assert.is(await detail({ 'SENTINEL SENTINELS DEVSTACK': half }), '1 of 2 other Sentinels up')
  const refused = '-NOQUORUM 1 usable Sentinels. Not enough available Sentinels\r\n'
  assert.match(await detail({ 'SENTINEL CKQUORUM DEVSTACK': refused }), /^NOQUORUM 1 usable/)
})

test('Sentinels that name different masters are no quorum', async () => {
  await using one = await fakeRedis(complete)
  await using two = await fakeRedis({ ...complete, 'SENTINEL MASTER DEVSTACK': master({ ip: 'redis2' }) })
  const handles = [handleOf('sentinel1', sentinelPort, one.port), handleOf('sentinel2', sentinelPort, two.port)]
  assert.equal(await sentinelQuorum({ password, sentinels: 3 })(handles, probeContext()), {
    healthy: false,
    detail: 'they name different masters: redis1, redis2',
  })
})

test('a group that is not watched is an error by Sentinel itself', async () => {
  await using fake = await fakeRedis({
    ...complete,
    'SENTINEL MASTER DEVSTACK': '-ERR No such master with that name\r\n',
  })
  const read = readSentinel({ host: '127.0.0.1', port: fake.port }, { password }).catch((error: Error) => error.message)
  assert.is(await read, 'ERR No such master with that name')
})

test.run()
