import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  parseInfo,
  readRedis,
  redisMaster,
  redisNode,
  redisPort,
  redisReplication,
} from '../../../tasks/stack/redis.ts'
import { bulk, fakeRedis, handleOf, probeContext } from './fake.ts'

const test = suite('redis')
const reach = { prefer: 'published', host: '127.0.0.1' } as const

const server = bulk('# Server\r\nredis_version:7.0.15\r\n')
const master = (...states: string[]) => ({
  'AUTH SECRET': '+OK\r\n',
  'INFO SERVER': server,
  'INFO REPLICATION': bulk(
    `# Replication\r\nrole:master\r\nconnected_slaves:${states.length}\r\nmaster_repl_offset:100\r\n${states
      .map((state, index) => `slave${index}:ip=redis${index + 2},port=6379,state=${state},offset=99,lag=0\r\n`)
      .join('')}`,
  ),
})
const replica = (link: string, syncing = 0) => ({
  'AUTH SECRET': '+OK\r\n',
  'INFO SERVER': server,
  'INFO REPLICATION': bulk(
    `role:slave\r\nmaster_host:redis1\r\nmaster_port:6379\r\nmaster_link_status:${link}\r\n` +
      `master_sync_in_progress:${syncing}\r\nslave_repl_offset:90\r\n`,
  ),
})
const password = 'secret'

test('INFO is lines of key and value', () => {
  assert.equal(parseInfo('# Replication\r\nrole:master\r\n\r\na:b:c\n'), { role: 'master', a: 'b:c' })
})

test('roles are read', async () => {
  await using one = await fakeRedis(master('online', 'wait_bgsave'))
  await using two = await fakeRedis(replica('down', 1))
  assert.equal(await readRedis({ host: '127.0.0.1', port: one.port }, { password }), {
    role: 'master',
    version: '7.0.15',
    offset: 100,
    replicas: [
      { host: 'redis2', port: 6379, state: 'online', offset: 99, lag: 0 },
      { host: 'redis3', port: 6379, state: 'wait_bgsave', offset: 99, lag: 0 },
    ],
  })
  assert.equal(await readRedis({ host: '127.0.0.1', port: two.port }, { password }), {
    role: 'replica',
    version: '7.0.15',
    offset: 90,
    master: { host: 'redis1', port: 6379 },
    linkUp: false,
    syncing: true,
  })
})

test('a replica is healthy once its link is up', async () => {
  const ask = async (answers: Record<string, string>) => {
    await using fake = await fakeRedis(answers)
    return await redisNode({ password })(handleOf('redis2', redisPort, fake.port), probeContext())
  }
  assert.equal(await ask(replica('up')), { healthy: true, detail: 'replica of redis1, link up' })
  assert.equal(await ask(replica('down')), { healthy: false, detail: 'replica of redis1, link down' })
  assert.equal(await ask(replica('down', 1)), { healthy: false, detail: 'replica of redis1, synchronising' })
  assert.equal(await ask(master()), { healthy: true, detail: 'master, 0 replicas' })
})

test('replication needs one master that has all others online', async () => {
  const ask = async (...nodes: Record<string, string>[]) => {
    await using stack = new AsyncDisposableStack()
    const handles = await Promise.all(
      nodes.map(async (answers, index) => {
        const fake = stack.use(await fakeRedis(answers))
        return handleOf(`redis${index + 1}`, redisPort, fake.port)
      }),
    )
    return await redisReplication({ password })(handles, probeContext())
  }
  assert.equal(await ask(master('online', 'online'), replica('up'), replica('up')), {
    healthy: true,
    detail: 'redis1 is master, 2 replicas online',
  })
  assert.is((await ask(master('online'), replica('up'), replica('up'))).detail, '1 of 2 replicas online')
  assert.is((await ask(master('online', 'online'), replica('up'), replica('down'))).detail, 'link down: redis3')
  assert.is((await ask(master(), master())).detail, '2 masters')
  assert.is((await ask(replica('up'), replica('up'))).detail, '0 masters')
})

test('the master is the one with replicas, even while an old one comes back', async () => {
  await using old = await fakeRedis(master())
  await using current = await fakeRedis(master('online'))
  const handles = [handleOf('redis1', redisPort, old.port), handleOf('redis2', redisPort, current.port)]
  assert.is((await redisMaster(handles, { password, reach })).handle.service, 'redis2')
})

test('a refused password and a Redis that still loads are told', async () => {
  await using refusing = await fakeRedis({ 'AUTH SECRET': '-WRONGPASS invalid\r\n' })
  await using loading = await fakeRedis({ 'AUTH SECRET': '+OK\r\n', 'INFO SERVER': '-LOADING Redis is loading\r\n' })
  const read = (port: number) =>
    readRedis({ host: '127.0.0.1', port }, { password }).catch((error: Error) => error.message)
  assert.is(await read(refusing.port), 'WRONGPASS invalid')
  assert.is(await read(loading.port), 'LOADING Redis is loading')
  const none = await redisMaster([handleOf('redis1', redisPort, refusing.port)], { password, reach }).catch(String)
  assert.match(String(none), /no Redis is master: WRONGPASS/)
})

test.run()
