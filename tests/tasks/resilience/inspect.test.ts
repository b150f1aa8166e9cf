/** An inspection as a table, and the small words of faults. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatInspection } from '../../../tasks/resilience/inspect-text.ts'
import type { Inspection } from '../../../tasks/resilience/inspection.ts'
import { peersOf } from '../../../tasks/resilience/peers.ts'
import { parseDetails } from '../../../tasks/resilience/simulate.ts'
import { handleOf } from '../stack/fake.ts'

const test = suite('inspect')

const inspection: Inspection = {
  etcd: {
    leader: 'etcd1',
    revision: 42,
    members: [
      { member: 'etcd1', role: 'leader', term: 3, index: 99, sizeBytes: 20_480, alarms: [], version: '3.5.16' },
      { member: 'etcd2', error: 'its container is paused' },
    ],
  },
  postgresql: {
    members: [
      { member: 'postgres1', role: 'primary', state: 'running', timeline: 4, lagBytes: null, lagSeconds: null },
      { member: 'postgres2', role: 'synchronous standby', state: 'streaming', timeline: 4, lagBytes: 0, lagSeconds: 0 },
    ],
    synchronousStandby: 'postgres2',
    slots: [{ name: 'postgres2', active: true, retainedBytes: 1024 }],
    history: [{ timeline: 3, reason: 'no recovery target specified', at: '2026-01-01T00:00:00+00:00' }],
    maintenance: true,
  },
  redis: {
    master: 'redis1',
    members: [
      { member: 'redis1', role: 'master', offset: 500, behindBytes: 0, link: '1 replicas online', keys: 7 },
      { member: 'redis2', role: 'replica', offset: 490, behindBytes: 10, link: 'up, to redis1', keys: 7 },
    ],
  },
  sentinel: {
    members: [
      {
        member: 'sentinel1',
        master: 'redis1',
        quorum: 'OK',
        epoch: 2,
        replicas: 1,
        sentinels: ['sentinel2'],
        flags: ['o_down'],
      },
    ],
  },
  tookMs: 87,
}

test('shows every member with role, position and lag, and the clusters below', () => {
  const text = formatInspection(inspection, 160)
  for (const line of [
    /etcd1 +leader +term 3, index 99 +20 KiB, no alarm, etcd 3\.5\.16/,
    /etcd2 +silent +its container is paused/,
    /postgres2 +synchronous standby +timeline 4 +0 B, 0\.0 s +streaming/,
    /redis2 +replica +offset 490 +10 B +up, to redis1, 7 keys/,
    /sentinel1 +watches redis1 +epoch 2 +1 replicas, sees sentinel2, master o_down/,
    /etcd: etcd1 leads, revision 42/,
    /synchronous standby postgres2, Patroni is paused/,
    /slots: postgres2 active, 1\.0 KiB kept/,
    /last change of timeline: 3 → 4, 2026-01-01/,
    /asked in 87 ms\n$/,
  ])
    assert.match(text, line)
})

test('says that there is no quorum', () => {
  const text = formatInspection({ ...inspection, etcd: { ...inspection.etcd, revision: null } }, 120)
  assert.match(text, /etcd has no quorum/)
})
test.run()

const words = suite('the words of faults')

words('are read as numbers where they look so', () => {
  assert.equal(parseDetails(['percent=30', 'path=/data', 'offsetMs=-5.5']), {
    percent: 30,
    path: '/data',
    offsetMs: -5.5,
  })
  assert.equal(parseDetails([]), {})
  assert.throws(() => parseDetails(['percent']), /"percent" is no detail/)
})

words('take everybody else for the peers of a service', () => {
  const at = (service: string, address: string) => ({ ...handleOf(service, 1, 1), addresses: { stack: address } })
  const services = [at('a', '10.0.0.1'), at('b', '10.0.0.2'), at('c', '')]
  assert.equal(peersOf('a', services), ['10.0.0.2'])
  assert.equal(
    peersOf('a', services, (name) => name === 'c'),
    [],
  )
})
words.run()
