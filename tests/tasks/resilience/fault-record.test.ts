/** Records of unhealed faults, and the healing of what a killed process left. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Project, type Runtime, thisProcess } from '../../../lib/index.ts'
import type { FaultTools } from '../../../tasks/resilience/fault-kind.ts'
import { faultKind, faultKinds } from '../../../tasks/resilience/fault-kinds.ts'
import { parseFault, readFaults, removeFault, writeFault } from '../../../tasks/resilience/fault-record.ts'
import { Faults, healLeftFaults } from '../../../tasks/resilience/faults.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const test = suite('faults')

/** An engine that has one container and remembers what was asked of it. */
function engine(state = 'running') {
  const calls: string[] = []
  const container = { id: 'c1', name: 'shop-db-1', state, pid: 42, addresses: {} as Record<string, string> }
  const act = (name: string, next?: string) => async () => {
    calls.push(name)
    if (next) container.state = next
  }
  const runtime = {
    inspect: async (id: string) => (id === container.id ? { ...container } : undefined),
    containers: async () => [],
    pause: act('pause', 'paused'),
    unpause: act('unpause', 'running'),
    kill: act('kill', 'exited'),
    stop: act('stop', 'exited'),
    start: act('start', 'running'),
    remove: act('remove'),
  } as unknown as Runtime
  return { runtime, calls, container }
}

const withFolder = async (use: (project: Project) => Promise<void>): Promise<void> => {
  const folder = await temporaryFolder('devstack-faults-')
  try {
    await use({ name: 'shop', directory: folder.path, stateDirectory: folder.path, environment: {} })
  } finally {
    await folder.remove()
  }
}
const signal = new AbortController().signal
const target = { id: 'c1', service: 'db' }
const stranger = { ...thisProcess(), started: '1', boot: 'another boot' }

test('are on record before they happen and until they are healed', () =>
  withFolder(async (project) => {
    const { runtime, calls } = engine()
    const seen: number[] = []
    const watched: Runtime = {
      ...runtime,
      pause: async (id) => {
        seen.push(readFaults(project.stateDirectory).length)
        await runtime.pause(id)
      },
    }
    const notes: string[] = []
    const faults = new Faults({ runtime: watched, project, experiment: 'x', note: (text) => void notes.push(text) })
    const fault = await faults.inject('pause', target, signal)
    assert.equal(seen, [1], 'written first')
    assert.is(faults.open.length, 1)
    assert.is(readFaults(project.stateDirectory)[0]?.text, 'db paused')
    await faults.heal(signal, fault)
    await faults.heal(signal)
    assert.equal(calls, ['pause', 'unpause'])
    assert.equal(readdirSync(join(project.stateDirectory, 'faults')), [])
    assert.equal(notes, ['db paused', 'healed: db paused'])
  }))

test('stay on record when they can not be healed, and the others are healed all the same', () =>
  withFolder(async (project) => {
    const { runtime } = engine()
    const stubborn: Runtime = { ...runtime, unpause: () => Promise.reject(new Error('the engine is gone')) }
    const faults = new Faults({ runtime: stubborn, project, experiment: 'x', note: () => undefined })
    await faults.inject('kill', target, signal)
    await faults.inject('pause', target, signal)
    await assertCode(() => faults.heal(signal), 'FAULT_NOT_HEALED')
    assert.equal(
      readFaults(project.stateDirectory).map(({ kind }) => kind),
      ['kill', 'pause'],
    )
    await new Faults({ runtime, project, experiment: 'x', note: () => undefined }).heal(signal)
  }))

test('of a dead process are healed by whoever comes next, and named', () =>
  withFolder(async (project) => {
    const { runtime, calls, container } = engine('paused')
    leave(project, 'pause')
    const notes: string[] = []
    await healLeftFaults({ runtime, project, signal, note: (text) => void notes.push(text) })
    assert.is(container.state, 'running')
    assert.equal(calls, ['unpause'])
    assert.match(notes.join('\n'), /test-failover ended before it could heal: db paused/)
    assert.equal(readFaults(project.stateDirectory), [])
    await healLeftFaults({ runtime, project, signal, note: () => assert.unreachable('there is nothing left') })
  }))

test('of a process that lives are its own affair', () =>
  withFolder(async (project) => {
    const { runtime, calls } = engine('paused')
    writeFault(project.stateDirectory, { id: 'a1', kind: 'pause', details: target, text: 'db paused', experiment: 'x' })
    await healLeftFaults({ runtime, project, signal, note: () => undefined })
    assert.equal(calls, [])
    assert.is(readFaults(project.stateDirectory).length, 1)
    removeFault(project.stateDirectory, 'a1')
    assert.equal(readFaults(project.stateDirectory), [])
  }))

test('of a container that is gone count as healed', () =>
  withFolder(async (project) => {
    const { runtime, calls } = engine()
    leave(project, 'kill', { id: 'gone', service: 'db' })
    await healLeftFaults({ runtime, project, signal, note: () => undefined })
    assert.equal(calls, [])
    assert.equal(readFaults(project.stateDirectory), [])
  }))

test('of a container that is gone are healed with it, of every kind', () =>
  withFolder(async (project) => {
    const { runtime } = engine()
    const gone = {
      ...runtime,
      exec: () => Promise.reject(new Error('there is no container')),
    } as Runtime
    for (const [kind, details] of Object.entries({
      'disk-full': { path: '/d' },
      'read-only': { path: '/d' },
      oom: {},
    })) {
      leave(project, kind, { id: 'gone', service: 'db', ...details })
      await healLeftFaults({ runtime: gone, project, signal, note: () => undefined })
      assert.equal(readFaults(project.stateDirectory), [], kind)
    }
  }))

test('of a cluster that is down wait for it, and keep nobody from bringing it up', () =>
  withFolder(async (project) => {
    const { runtime } = engine()
    leave(project, 'patroni-config', { ...target, set: { failsafe_mode: false }, healed: { failsafe_mode: true } })
    const notes: string[] = []
    await healLeftFaults({ runtime, project, signal, note: (text) => void notes.push(text) })
    assert.match(notes.join(), /Not healed yet: .*devstack run up/)
    assert.is(readFaults(project.stateDirectory).length, 1, 'it stays on record')
  }))

test('that another process heals meanwhile are no more', () =>
  withFolder(async (project) => {
    mkdirSync(join(project.stateDirectory, 'faults'))
    symlinkSync(join(project.stateDirectory, 'removed'), join(project.stateDirectory, 'faults', 'a1.json'))
    assert.equal(readFaults(project.stateDirectory), [])
  }))

test('refuse wrong details and unknown kinds, and leave no record', () =>
  withFolder(async (project) => {
    const faults = new Faults({ runtime: engine().runtime, project, experiment: 'x', note: () => undefined })
    await assertCode(() => faults.inject('partition', target, signal), 'FAULT_BAD_DETAILS')
    const misspelt = () => faults.inject('loss', { ...target, precent: 30 }, signal)
    await assertCode(misspelt, 'FAULT_BAD_DETAILS')
    await misspelt().catch(({ message }) => assert.match(message, /no detail "precent"\. Did you mean "percent"/))
    await assertCode(() => faults.inject('pause', { ...target, percent: 3 }, signal), 'FAULT_BAD_DETAILS')
    await assertCode(() => faults.inject('earthquake', target, signal), 'FAULT_UNKNOWN')
    assert.not.ok(existsSync(join(project.stateDirectory, 'faults')))
  }))

test('that a machine can not do are impossible, not passed', () =>
  withFolder(async (project) => {
    const faults = new Faults({ runtime: engine().runtime, project, experiment: 'x', note: () => undefined })
    await assertCode(() => faults.inject('clock-skew', { ...target, offsetMs: 1000 }, signal), 'FAULT_IMPOSSIBLE')
    assert.equal(readFaults(project.stateDirectory), [])
  }))

test('are read by hand, and what is no record is passed over', () =>
  withFolder(async (project) => {
    assert.is(parseFault('{'), undefined)
    assert.is(parseFault('{"format":1}'), undefined)
    assert.is(parseFault('null'), undefined)
    mkdirSync(join(project.stateDirectory, 'faults'))
    writeFileSync(join(project.stateDirectory, 'faults', 'half.json'), '{"format":1,"id":')
    assert.equal(readFaults(project.stateDirectory), [])
  }))

test('of a crash loop strike a process that was started anew, not the dead one once more', async () => {
  const seen = [
    { state: 'running', pid: 42 },
    { state: 'running', pid: 42 },
    { state: 'restarting', pid: 0 },
    { state: 'running', pid: 43 },
  ]
  let at = 0
  const struck: number[] = []
  const tools = {
    runtime: { inspect: async () => seen[at++] },
    helper: { run: async () => void struck.push(seen[at - 1]!.pid) },
    signal,
  } as unknown as FaultTools
  await faultKind('crash-loop').inject({ ...target, times: 2 }, tools)
  assert.equal(struck, [42, 43])
})

test('have words and a way to heal for every kind', () => {
  const details: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
    'crash-loop': { times: 3 },
    partition: { peers: ['10.0.0.2'], direction: 'out' },
    loss: { percent: 20 },
    bandwidth: { kilobitPerSecond: 500 },
    latency: { delayMs: 100, jitterMs: 20 },
    disconnect: { network: 'shop_default' },
    'disk-full': { path: '/data' },
    'read-only': { path: '/data' },
    'clock-skew': { offsetMs: 5000 },
    'patroni-config': { set: { synchronous_mode: false }, healed: { synchronous_mode: true } },
  }
  for (const name of Object.keys(faultKinds)) {
    const kind = faultKind(name)
    const parsed = kind.details.safeParse({ ...target, chain: 'DEVSTACK-00ff00ff', ...details[name] })
    assert.ok(parsed.success, name)
    assert.match(kind.text(parsed.data), /db|synchronous_mode|helper/, name)
    assert.type(kind.heal, 'function')
  }
})

test.run()

function leave(project: Project, kind: string, details: object = target): void {
  const record = {
    format: 1,
    id: 'a1',
    kind,
    details,
    text: `db ${kind === 'pause' ? 'paused' : 'killed'}`,
    experiment: 'test-failover',
    at: '2026-01-01T00:00:00.000Z',
    process: stranger,
  }
  mkdirSync(join(project.stateDirectory, 'faults'), { recursive: true })
  writeFileSync(join(project.stateDirectory, 'faults', 'a1.json'), JSON.stringify(record))
}

async function assertCode(act: () => Promise<unknown>, code: string): Promise<void> {
  try {
    await act()
  } catch (thrown) {
    assert.is((thrown as { code?: string }).code, code, String(thrown))
    return
  }
  assert.unreachable(`nothing was thrown instead of ${code}`)
}
