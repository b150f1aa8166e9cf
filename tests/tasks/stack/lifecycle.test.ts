/** The state machine, the clocks, the history and what counts as stale: decisions, without an engine. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { labels } from '../../../lib/index.ts'
import { judgeBackend } from '../../../tasks/stack/applications.ts'
import { type ClockReading, clockJumps, describeJump, longTime, machineClock } from '../../../tasks/stack/clock.ts'
import { launchConfiguration, runConfiguration } from '../../../tasks/stack/debug.ts'
import { appendHistory, episodes, type HistoryRecord, historyTask, readHistory } from '../../../tasks/stack/history.ts'
import { leaderBefore, pauseOf } from '../../../tasks/stack/lease.ts'
import { noticeJump } from '../../../tasks/stack/notice.ts'
import { findStale, type Inventory } from '../../../tasks/stack/stale.ts'
import { betweenClusters, inOrder } from '../../../tasks/stack/starting.ts'
import { deriveState, describeChange, type EnvironmentState, type ObservedService } from '../../../tasks/stack/state.ts'
import { refusal } from '../../support/refusal.ts'

const machine = suite('state machine')

const names = ['etcd1', 'etcd2', 'etcd3', 'postgres1', 'postgres2', 'postgres3', 'redis1', 'sentinel1', 'backend']
const well = (service: string): ObservedService => ({ service, state: 'running', healthy: true, detail: '' })
const sick = (service: string, state = 'running'): ObservedService => ({ service, state, healthy: false, detail: '' })
function stateWith(changed: Readonly<Record<string, ObservedService>>, working = false): string {
  const services = names.map((name) => changed[name] ?? well(name))
  return deriveState({ services, working, initialized: true }).state
}
const all = (state: string): Record<string, ObservedService> =>
  Object.fromEntries(names.map((name) => [name, sick(name, state)]))

machine('without containers it depends on what is kept, and on who is at work', () => {
  assert.is(deriveState({ services: [], working: false, initialized: false }).state, 'uninitialized')
  assert.is(deriveState({ services: [], working: false, initialized: true }).state, 'stopped')
  assert.is(deriveState({ services: [], working: true, initialized: false }).state, 'provisioning')
  assert.is(stateWith(all('missing')), 'stopped')
})

machine('each state is derived from the services', () => {
  assert.is(stateWith({}), 'healthy')
  assert.is(stateWith({ etcd1: sick('etcd1') }), 'degraded')
  assert.is(stateWith({ etcd1: sick('etcd1'), etcd2: sick('etcd2') }), 'failed', 'no majority')
  assert.is(stateWith({ postgres1: sick('postgres1'), postgres3: sick('postgres3', 'exited') }), 'degraded')
  assert.is(stateWith({ redis1: sick('redis1', 'exited') }), 'failed')
  assert.is(stateWith({ sentinel1: sick('sentinel1') }), 'degraded', 'a Sentinel that misses a replica still watches')
  assert.is(stateWith({ sentinel1: sick('sentinel1', 'exited') }), 'failed')
  assert.is(stateWith({ backend: sick('backend', 'missing') }), 'failed')
  assert.is(stateWith(all('paused')), 'paused')
  assert.is(stateWith({ etcd1: sick('etcd1', 'paused') }), 'degraded', 'one frozen member is no pause')
  assert.is(stateWith(all('exited')), 'stopped')
  assert.is(stateWith({ etcd1: sick('etcd1') }, true), 'provisioning')
  assert.is(stateWith({}, true), 'healthy', 'what is healthy is healthy, whoever works')
})

machine('the cause names who is at fault', () => {
  const services = [well('etcd1'), sick('etcd2'), sick('etcd3')]
  const derived = deriveState({ services, working: false, initialized: true })
  assert.equal(derived, { state: 'failed', cause: 'etcd has 1 of 3 members, and needs 2' })
})

machine('is total, and healthy only when every service is', () => {
  const service = fc.record({
    service: fc.constantFrom(...names),
    state: fc.constantFrom('running', 'paused', 'exited', 'created', 'restarting', 'dead', 'missing'),
    healthy: fc.constantFrom(true, false, undefined),
    detail: fc.constant(''),
  })
  fc.assert(
    fc.property(fc.array(service), fc.boolean(), fc.boolean(), (services, working, initialized) => {
      const { state, cause } = deriveState({ services, working, initialized })
      assert.ok(cause.length > 0)
      const present = services.filter((one) => one.state !== 'missing')
      assert.is(state === 'healthy', present.length > 0 && services.every(({ healthy }) => healthy === true))
      if (!working) assert.is.not(state, 'provisioning')
    }),
  )
})

machine('changes have words', () => {
  assert.is(describeChange(undefined, 'healthy'), 'first seen')
  assert.is(describeChange('paused', 'healthy'), 'thawed')
  assert.is(describeChange('healthy', 'healthy'), '')
  assert.is(describeChange('failed', 'paused'), 'was failed')
})

machine.run()

const clocks = suite('clocks')

const start: ClockReading = { wall: 1_000_000_000, uptime: 500_000, awake: 400_000, boot: 'a' }
const later = (by: Partial<Record<'wall' | 'uptime' | 'awake', number>>): ClockReading => ({
  ...start,
  wall: start.wall + (by.wall ?? 0),
  uptime: start.uptime + (by.uptime ?? 0),
  awake: start.awake + (by.awake ?? 0),
})

clocks('time that simply passes is no jump', () => {
  assert.equal(clockJumps(start, later({ wall: 60_000, uptime: 60_000, awake: 60_000 })), [])
  assert.equal(clockJumps(start, later({ wall: 61_500, uptime: 60_000, awake: 60_000 })), [], 'a slewed clock')
})

clocks('sleep is time that passed while nobody was awake', () => {
  const jumps = clockJumps(start, later({ wall: 7_260_000, uptime: 7_260_000, awake: 60_000 }))
  assert.equal(jumps, [{ kind: 'slept', ms: 7_200_000 }])
  assert.is(describeJump(jumps[0]!), 'the machine slept for 2.0 h')
})

clocks('a clock that is set shows in the wall clock alone', () => {
  const back = clockJumps(start, later({ wall: -3_540_000, uptime: 60_000, awake: 60_000 }))
  assert.equal(back, [{ kind: 'stepped', ms: -3_600_000 }])
  assert.is(describeJump(back[0]!), 'the clock was set back by 60 min')
})

clocks('both at once are both told', () => {
  const jumps = clockJumps(start, later({ wall: 200_000, uptime: 100_000, awake: 10_000 }))
  assert.equal(jumps, [
    { kind: 'slept', ms: 90_000 },
    { kind: 'stepped', ms: 100_000 },
  ])
})

clocks('another boot is told before all else, also where boots have no name', () => {
  assert.equal(clockJumps(start, { ...start, boot: 'b', uptime: 900_000 }), [{ kind: 'restarted' }])
  const { boot: _, ...nameless } = start
  assert.equal(clockJumps(nameless, { ...nameless, uptime: 30_000, awake: 30_000 }), [{ kind: 'restarted' }])
})

clocks('any step of a fake clock is found to the millisecond', () => {
  const step = fc.integer({ min: 2001, max: 1_000_000_000 })
  fc.assert(
    fc.property(fc.nat(1_000_000), step, step, (passed, slept, stepped) => {
      const after = later({ wall: passed + slept + stepped, uptime: passed + slept, awake: passed })
      assert.equal(clockJumps(start, after), [
        { kind: 'slept', ms: slept },
        { kind: 'stepped', ms: stepped },
      ])
    }),
  )
})

clocks('this machine has not jumped between two looks', () => {
  assert.equal(clockJumps(machineClock(), machineClock()), [])
})

clocks('long times are rounded', () => {
  assert.equal([42_000, 1_020_000, 12_600_000, 172_800_000].map(longTime), ['42 s', '17 min', '3.5 h', '2.0 days'])
})

clocks.run()

const history = suite('history')
let folder: string
history.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'devstack-history-'))
})
history.after(() => rmSync(folder, { recursive: true, force: true }))

const record = (at: number, state: EnvironmentState, services: HistoryRecord['services'] = {}): HistoryRecord => ({
  at,
  state,
  cause: 'because',
  by: 'test',
  services,
})

history('what is kept is read back; half a line is passed over', () => {
  const file = join(folder, 'a', 'history.jsonl')
  const leader = { postgres2: { state: 'running', healthy: true, detail: 'leader, timeline 3' } }
  appendHistory(file, record(1, 'healthy', leader))
  appendFileSync(file, '{"at":2,"sta\n')
  appendHistory(file, record(3, 'paused'))
  assert.equal(
    readHistory(file).map(({ at }) => at),
    [1, 3],
  )
  assert.is(leaderBefore(readHistory(file)), 'postgres2')
  assert.equal(readHistory(join(folder, 'none')), [])
})

history('a service that was never observed is refused with those that were', async () => {
  const stateDirectory = join(folder, 'named')
  const leader = { postgres2: { state: 'running', healthy: true, detail: 'leader, timeline 3' } }
  appendHistory(join(stateDirectory, 'history.jsonl'), record(1, 'healthy', leader))
  const { code, message, hint } = await refusal(() =>
    historyTask().definition.run!({
      params: { last: 20, service: 'postgres', json: false },
      project: { stateDirectory },
      terminal: { columns: 80, write: () => {} },
    } as never),
  )
  assert.is(code, 'HISTORY_UNKNOWN_SERVICE')
  assert.match(message, 'Did you mean "postgres2"?')
  assert.is(hint, 'Observed were postgres2.')
})

history('above the bound the older half goes', () => {
  const file = join(folder, 'bounded.jsonl')
  for (let at = 0; at < 400; at += 1) appendHistory(file, record(at, 'healthy'), 5000)
  assert.ok(statSync(file).size < 5200)
  const kept = readHistory(file).map(({ at }) => at)
  assert.is(kept.at(-1), 399)
  assert.equal(
    kept,
    [...kept].sort((a, b) => a - b),
  )
  assert.ok(readFileSync(file, 'utf8').endsWith('\n'))
})

history('equal states in a row are one episode, which lasts until the next', () => {
  const found = episodes([record(10, 'healthy'), record(20, 'healthy'), record(50, 'paused')], 100)
  assert.equal(
    found.map(({ from, to, state, before, looks }) => ({ from, to, state, before, looks })),
    [
      { from: 10, to: 50, state: 'healthy', before: undefined, looks: 2 },
      { from: 50, to: 100, state: 'paused', before: 'healthy', looks: 1 },
    ],
  )
})

history('a pause lasts from when it was first seen', () => {
  assert.is(pauseOf([record(10, 'healthy'), record(30, 'paused'), record(40, 'paused')], 100), 70)
  assert.is(pauseOf([record(30, 'paused'), record(40, 'healthy')], 100), undefined)
  assert.is(pauseOf([], 100), undefined)
})

history('a foreign file is no history', () => {
  const file = join(folder, 'foreign.jsonl')
  writeFileSync(file, '[]\nnull\n{"at":"x"}\n')
  assert.equal(readHistory(file), [])
})

history('a sleep since the stack was last seen running is noticed before the next run', () => {
  const project = { stateDirectory: join(folder, 'notice') }
  const clock = { wall: 1000, uptime: 1000, awake: 1000, boot: 'a' }
  const told: string[] = []
  const look = (now: ClockReading) => noticeJump({ project, note: (text) => told.push(text) }, () => now)
  look(clock)
  appendHistory(join(project.stateDirectory, 'history.jsonl'), { ...record(1, 'healthy'), clock })
  look({ ...clock, wall: 60_000, uptime: 60_000, awake: 60_000 })
  look({ ...clock, wall: 11_000, uptime: 11_000 })
  assert.equal(told, [], 'a nap shorter than the lease is none')
  look({ ...clock, wall: 3_601_000, uptime: 3_601_000 })
  look({ ...clock, boot: 'b' })
  assert.equal(
    told.splice(0).map((text) => text.split('. ')[0]),
    [
      'Since the stack was last seen, the machine slept for 60 min',
      'Since the stack was last seen, the machine was restarted',
    ],
  )
  appendHistory(join(project.stateDirectory, 'history.jsonl'), { ...record(2, 'stopped'), clock })
  look({ ...clock, boot: 'b' })
  assert.equal(told, [], 'what was stopped has slept anyway')
})

history.run()

const stale = suite('stale')

const here = { project: 'mine', directory: '/here', exists: (path: string) => path === '/here' || path === '/other' }
type Labels = Record<string, string>
const of = (project: string, directory?: string, more: Labels = {}): Labels => ({
  [labels.project]: project,
  ...(directory === undefined ? {} : { [labels.directory]: directory }),
  ...more,
})
const container = (name: string, found: Labels, state: 'running' | 'created' | 'dead' | 'exited' = 'running') => ({
  id: `id-${name}`,
  name,
  state,
  status: '',
  labels: found,
})
const inventory = (parts: Partial<Inventory>): Inventory => ({ containers: [], networks: [], volumes: [], ...parts })
const why = (found: Partial<Inventory>, services?: ReadonlySet<string>) =>
  findStale(inventory(found), { ...here, services }).map((one) => `${one.kind} ${one.name}: ${one.why}`)

stale(
  'what belongs to a checkout that is gone, its network and volumes by their own label or by its containers',
  () => {
    assert.equal(
      why({
        containers: [container('a', of('gone', '/gone')), container('b', of('alive', '/other'))],
        networks: [{ name: 'gone_net', labels: of('gone') }],
        volumes: [
          { name: 'gone_data', labels: of('gone') },
          { name: 'lone_data', labels: of('lone', '/lone') },
          { name: 'alive_data', labels: of('alive') },
          { name: 'unknown_data', labels: of('unknown') },
        ],
      }),
      [
        'container a: its checkout /gone is gone',
        'network gone_net: its checkout /gone is gone',
        'volume gone_data: its checkout /gone is gone',
        'volume lone_data: its checkout /lone is gone',
      ],
    )
  },
)

stale('what this checkout left under another name', () => {
  const volumes = [{ name: 'old_data', labels: of('old', '/here') }]
  assert.equal(why({ volumes }), ['volume old_data: this checkout was project old before'])
})

stale('of this project what a crashed run left, and services that are no more; its data never', () => {
  const service = (name: string): Labels => of('mine', '/here', { [labels.service]: name })
  const found = {
    containers: [
      container('fine', service('etcd1')),
      container('stopped', service('etcd2'), 'exited'),
      container('half', service('etcd3'), 'created'),
      container('dead', service('redis1'), 'dead'),
      container('former', service('mysql')),
    ],
    volumes: [{ name: 'data', labels: of('mine', '/here') }],
  }
  assert.equal(why(found, new Set(['etcd1', 'etcd2', 'etcd3', 'redis1'])), [
    'container half: a run that did not finish made it and never started it',
    'container dead: it is dead',
    'container former: the files do not name its service any more',
  ])
  assert.not.match(why(found).join(), /former/, 'files that can not be read condemn nobody')
})

stale.run()

const order = suite('order')
const dependencies = new Map([
  ['etcd', []],
  ['postgres', ['etcd']],
  ['backend', ['postgres']],
])

order('dependencies first, or dependents first; who is not asked for is skipped', async () => {
  const visited: string[] = []
  const visit = async (service: string) => {
    await Promise.resolve()
    visited.push(service)
  }
  await inOrder(['backend', 'etcd', 'postgres'], dependencies, 'dependencies-first', visit)
  assert.equal(visited.splice(0), ['etcd', 'postgres', 'backend'])
  await inOrder(['etcd', 'postgres', 'backend'], dependencies, 'dependents-first', visit)
  assert.equal(visited.splice(0), ['backend', 'postgres', 'etcd'])
  await inOrder(['backend', 'etcd'], dependencies, 'dependencies-first', visit)
  assert.equal([...visited].sort(), ['backend', 'etcd'])
})

order('a failure is told once everybody else has ended', async () => {
  const ended: string[] = []
  const act = async (service: string) => {
    if (service === 'a') throw new Error('broken')
    await new Promise((resolve) => setImmediate(resolve))
    ended.push(service)
  }
  try {
    await inOrder(['a', 'b'], new Map(), 'dependencies-first', act)
    assert.unreachable()
  } catch (thrown) {
    assert.is((thrown as Error).message, 'broken')
  }
  assert.equal(ended, ['b'])
})

order('members of one cluster do not wait for each other', () => {
  const files = new Map([
    ['redis1', []],
    ['redis2', ['redis1']],
    ['sentinel1', ['redis1', 'redis2']],
  ])
  assert.equal(
    [...betweenClusters(files)],
    [
      ['redis1', []],
      ['redis2', []],
      ['sentinel1', ['redis1', 'redis2']],
    ],
  )
})

order.run()

const applications = suite('applications')

applications('a backend without its schema serves; without its database it does not', () => {
  assert.is(judgeBackend({ status: 'UP', components: {} }).healthy, true)
  const schema = { status: 'DOWN', details: { error: 'missing tables: courses' } }
  const up = { status: 'UP' }
  assert.equal(judgeBackend({ status: 'DOWN', components: { schema, database: up } }), {
    healthy: true,
    detail: 'serves; schema: missing tables: courses',
  })
  assert.is(judgeBackend({ status: 'DOWN', components: { schema, database: { status: 'DOWN' } } }).healthy, false)
  assert.equal(judgeBackend({ status: 'OUT_OF_SERVICE', components: { database: up } }), {
    healthy: false,
    detail: 'out of service',
  })
})

applications('editors are told the port and both ends of the mounted sources', () => {
  const target = { service: 'api', port: 9229, sources: [{ here: '/here/a&b/src', there: '/app/src' }] }
  const launch = launchConfiguration(target, '/here')
  assert.is(launch['port'], 9229)
  assert.is(launch['localRoot'], `\${workspaceFolder}/a&b/src`)
  assert.is(launch['remoteRoot'], '/app/src')
  const xml = runConfiguration(target)
  assert.match(xml, /port="9229"/)
  assert.ok(xml.includes(`local-file="/here/a&amp;b/src" url="file:///app/src"`))
})

applications.run()
