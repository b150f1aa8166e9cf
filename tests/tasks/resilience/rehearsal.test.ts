/** The order of an experiment, and that it heals whatever happens, with an engine and a load that tests move by hand. */
import { mkdirSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Ambient, type DevstackError, gate, labels } from '../../../lib/index.ts'
import { AcknowledgedWrites, compareLedger } from '../../../tasks/resilience/acknowledged.ts'
import { now, pause } from '../../../tasks/resilience/clock.ts'
import type { ExperimentContext, Limits } from '../../../tasks/resilience/context.ts'
import { experiment } from '../../../tasks/resilience/experiment.ts'
import { impossible } from '../../../tasks/resilience/fault-kind.ts'
import { readFaults } from '../../../tasks/resilience/fault-record.ts'
import type { Load } from '../../../tasks/resilience/load.ts'
import { type RehearsalOptions, rehearse } from '../../../tasks/resilience/rehearsal.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const test = suite('an experiment')

interface Stage {
  readonly calls: string[]
  readonly around: Ambient & { readonly signal: AbortSignal; log(text: string): void }
  readonly abort: AbortController
  readonly container: { state: string }
  healthy: boolean
  /** Ids that the member does not hold afterwards. */
  missing: readonly number[]
}

async function onStage(use: (stage: Stage) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder('devstack-rehearsal-')
  const calls: string[] = []
  const container = {
    id: 'c1',
    name: 'shop-db-1',
    state: 'running',
    status: 'Up',
    pid: 42,
    image: 'db',
    imageId: 'db',
    addresses: {},
    ports: [],
    createdAt: 0,
    labels: { [labels.project]: 'shop', [labels.service]: 'db' },
  }
  const act = (name: string, next: string) => async () => {
    calls.push(name)
    container.state = next
  }
  const runtime = {
    info: async () => ({ address: 'unix:///none', rootless: true, operatingSystem: 'none' }),
    containers: async (filter: Record<string, string>) => (filter[labels.project] === 'shop' ? [container] : []),
    inspect: async () => ({ ...container }),
    pause: act('pause', 'paused'),
    unpause: act('unpause', 'running'),
  }
  const abort = new AbortController()
  const project = { name: 'shop', directory: folder.path, stateDirectory: folder.path, environment: {} }
  const around = {
    runtime,
    project,
    env: {},
    flags: { yes: false, noBackup: false },
    signal: abort.signal,
    log: () => undefined,
  } as unknown as Stage['around']
  mkdirSync(folder.path, { recursive: true })
  try {
    await use({ calls, around, abort, container, healthy: true, missing: [] })
  } finally {
    await folder.remove()
  }
}

/** Acknowledges a write every few milliseconds, unless the container is paused. */
function load(stage: Stage, durable = true): Load {
  return {
    name: 'fake',
    durable,
    start: async ({ folder }) => {
      stage.calls.push('load')
      const ledger = new AcknowledgedWrites(`${folder}/fake.ledger`)
      let id = 0
      const timer = setInterval(() => {
        if (stage.container.state !== 'running') return
        id += 1
        ledger.add({ id, at: now(), ms: 1 })
      }, 5)
      let stopped = false
      return {
        name: 'fake',
        durable,
        ledger,
        errors: [],
        lanes: [],
        writable: () => ({ maximum: 1, samples: 1 }),
        stop: async () => {
          if (stopped) return
          stopped = true
          clearInterval(timer)
          ledger.close()
        },
        compare: async () => {
          stage.calls.push('compare')
          const held = ledger.all.map((one) => one.id).filter((one) => !stage.missing.includes(one))
          return compareLedger(
            ledger.all.map((one) => one.id),
            { db: { ids: new Set(held) } },
          )
        },
        clear: async () => void stage.calls.push('clear'),
      }
    },
  }
}

type Parts = RehearsalOptions<object>['options']

function rehearsal(stage: Stage, parts: Partial<Parts> = {}, limits: Limits = {}): RehearsalOptions<object> {
  const inject = async (context: ExperimentContext<object>): Promise<void> => {
    stage.calls.push('inject')
    await context.fault('pause', 'db')
  }
  return {
    id: 'x1',
    name: 'test-thing',
    title: 'test-thing --fault pause',
    params: {},
    steadyState: [
      {
        services: ['db'],
        gate: gate({
          description: 'the database is well',
          probe: () => {
            stage.calls.push('steady')
            return { healthy: stage.healthy && stage.container.state === 'running', detail: 'as told' }
          },
          within: '1s',
        }),
      },
    ],
    load: [load(stage)],
    limits,
    options: { inject, observe: async () => void stage.calls.push('observe'), ...parts },
    helper: false,
  }
}

test('goes in this order: steady state, load, fault, recovery, heal, steady state, ledger', () =>
  onStage(async (stage) => {
    const report = await rehearse(rehearsal(stage), stage.around)
    assert.equal(stage.calls, ['steady', 'load', 'inject', 'pause', 'observe', 'unpause', 'steady', 'compare', 'clear'])
    assert.is(report.verdict, 'passed', report.reasons.join())
    assert.ok(report.healed && report.fault && report.fault.to >= report.fault.from)
    assert.ok(report.loads[0]!.ledger.acknowledged >= 20)
    assert.equal(
      report.moments.map(({ text }) => text).filter((text) => !text.startsWith('first')),
      ['db paused', 'healed: db paused', 'fully redundant again'],
    )
    assert.equal(readFaults(stage.around.project.stateDirectory), [])
  }))

test('refuses to start on an unhealthy stack, and does nothing', () =>
  onStage(async (stage) => {
    stage.container.state = 'exited'
    const error = await rejected(rehearse(rehearsal(stage), stage.around))
    assert.is(error.code, 'EXPERIMENT_REFUSED')
    assert.equal(new Set(stage.calls), new Set(['steady']))
    assert.match(error.hint ?? '', /devstack run health/)
    const [state] = rehearsal(stage).steadyState
    const others = { ...rehearsal(stage), steadyState: [{ ...state!, services: /^etcd/ }] }
    assert.match((await rejected(rehearse(others, stage.around))).hint ?? '', /all members.*devstack run up$/)
  }))

test('heals when recovery fails, compares all the same, and fails', () =>
  onStage(async (stage) => {
    const observe = () => Promise.reject(new Error('nobody took over'))
    const report = await rehearse(rehearsal(stage, { observe }), stage.around)
    assert.is(report.verdict, 'failed')
    assert.match(report.reasons.join(), /nobody took over/)
    assert.is(stage.container.state, 'running')
    assert.ok(stage.calls.includes('compare'))
  }))

test('heals when it is cancelled, before it ends', () =>
  onStage(async (stage) => {
    const observe = ({ signal }: ExperimentContext<object>) =>
      new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        stage.abort.abort(new Error('Ctrl-C'))
      })
    const error = await rejected(rehearse(rehearsal(stage, { observe }), stage.around))
    assert.is(error.message, 'Ctrl-C')
    assert.is(stage.container.state, 'running')
    assert.equal(readFaults(stage.around.project.stateDirectory), [])
    assert.not.ok(stage.calls.includes('compare'))
  }))

test('heals by its own means, too, also when the injection fails half-way', () =>
  onStage(async (stage) => {
    const inject = async (context: ExperimentContext<object>): Promise<void> => {
      await context.fault('pause', 'db')
      throw new Error('the second half failed')
    }
    const heal = async (): Promise<void> => void stage.calls.push('own heal')
    const report = await rehearse(rehearsal(stage, { inject, heal }), stage.around)
    assert.equal(
      stage.calls.filter((call) => /heal|unpause/.test(call)),
      ['own heal', 'unpause'],
    )
    assert.is(report.verdict, 'failed')
  }))

test('says what was named wrongly instead of failing, and keeps no report, as nothing was injected', () =>
  onStage(async (stage) => {
    const inject = (context: ExperimentContext<object>) => context.fault('pause', 'dd').then(() => {})
    const error = await rejected(rehearse(rehearsal(stage, { inject }), stage.around))
    assert.is(error.code, 'STACK_UNKNOWN_SERVICE')
    assert.not.ok(stage.calls.includes('compare'))
    const later = async (context: ExperimentContext<object>): Promise<void> => {
      await context.fault('pause', 'db')
      await context.fault('pause', 'dd')
    }
    const report = await rehearse(rehearsal(stage, { inject: later }), stage.around)
    assert.is(report.verdict, 'failed', 'half of it happened')
  }))

test('counts the time of recovery from the end of the injection', () =>
  onStage(async (stage) => {
    const inject = () => pause(400)
    const observe = async ({ signal }: ExperimentContext<object>): Promise<void> => signal.throwIfAborted()
    const report = await rehearse(rehearsal(stage, { inject, observe }, { recovery: '200ms' }), stage.around)
    assert.is(report.verdict, 'passed', report.reasons.join())
  }))

test('keeps its report when an assertion throws, or gives no list', () =>
  onStage(async (stage) => {
    const thrown = await rehearse(
      rehearsal(stage, { assert: () => Promise.reject(new Error('no such load')) }),
      stage.around,
    )
    assert.equal(thrown.reasons, ['assert threw: no such load'])
    const given = await rehearse(rehearsal(stage, { assert: () => 'one' as never }), stage.around)
    assert.equal(given.reasons, ['assert gave string instead of a list of sentences.'])
  }))

test('keeps its report when the stack is gone afterwards', () =>
  onStage(async (stage) => {
    let gone = false
    const { runtime } = stage.around
    const containers = async (...given: Parameters<typeof runtime.containers>) =>
      gone ? [] : runtime.containers(...given)
    const inject = async (): Promise<void> => {
      gone = true
    }
    const around = { ...stage.around, runtime: { ...runtime, containers } } as unknown as Stage['around']
    const report = await rehearse(rehearsal(stage, { inject }), around)
    assert.is(report.verdict, 'failed')
    assert.match(report.reasons.join(), /The stack is not up/)
    assert.ok(report.loads[0]!.ledger.acknowledged >= 20)
  }))

test('removes its helper though a load does not end', () =>
  onStage(async (stage) => {
    const broken: Load = {
      ...load(stage),
      start: async (context) => {
        const running = await load(stage).start(context)
        const stop = async (): Promise<void> => {
          await running.stop()
          throw new Error('it will not end')
        }
        return { ...running, stop }
      },
    }
    const options = { ...rehearsal(stage), load: [broken], helper: true }
    const engine = { create: async () => ({ id: 'h1' }), start: async () => undefined }
    const around = { ...stage.around, runtime: { ...stage.around.runtime, ...engine } } as unknown as Stage['around']
    const error = await rejected(rehearse(options, around))
    assert.is(error.message, 'it will not end')
    assert.equal(readFaults(stage.around.project.stateDirectory), [], 'the helper was on record')
  }))

test('heals its faults when its own heal fails, and says that one failed', () =>
  onStage(async (stage) => {
    const heal = () => Promise.reject(new Error('the own heal is broken'))
    const report = await rehearse(rehearsal(stage, { heal }), stage.around)
    assert.is(stage.container.state, 'running')
    assert.equal(readFaults(stage.around.project.stateDirectory), [])
    assert.is(report.verdict, 'failed')
    assert.is(report.healed, false)
    assert.match(report.reasons.join(), /heal threw: the own heal is broken,Not everything/)
  }))

test('heals when it is cancelled in the midst of the heal', () =>
  onStage(async (stage) => {
    const { runtime } = stage.around
    const around = {
      ...stage.around,
      runtime: {
        ...runtime,
        unpause: async (id: string, { signal }: { signal: AbortSignal }) => {
          stage.abort.abort(new Error('Ctrl-C'))
          signal.throwIfAborted()
          await runtime.unpause(id, { signal })
        },
      },
    } as unknown as Stage['around']
    const error = await rejected(rehearse(rehearsal(stage), around))
    assert.is(error.message, 'Ctrl-C')
    assert.is(stage.container.state, 'running')
    assert.equal(readFaults(stage.around.project.stateDirectory), [])
  }))

test('fails for a lost write, whatever else held', () =>
  onStage(async (stage) => {
    stage.missing = [7, 8]
    const report = await rehearse(rehearsal(stage), stage.around)
    assert.is(report.verdict, 'failed')
    assert.equal(report.loads[0]!.ledger.lostIds, [7, 8])
    const measured = await rehearse({ ...rehearsal(stage), load: [load(stage, false)] }, stage.around)
    assert.is(measured.verdict, 'passed', 'of a load that promises nothing, loss is measured')
    assert.is(measured.loads[0]!.ledger.lost, 2)
  }))

test('fails for what it asserts itself and for a promise; a target that is missed once is a note', () =>
  onStage(async (stage) => {
    const asserted = await rehearse(rehearsal(stage, { assert: () => ['the moon is full'] }), stage.around)
    assert.equal(asserted.reasons, ['the moon is full'])
    const promised = await rehearse(rehearsal(stage, {}, { promise: 0 }), stage.around)
    assert.is(promised.verdict, 'failed')
    assert.match(promised.reasons.join(), /outer promise of fake: .* the limit is 0 s/)
    const aimed = await rehearse(rehearsal(stage, {}, { gap: 0 }), stage.around)
    assert.is(aimed.verdict, 'passed')
    assert.match(aimed.notes.join(), /gap of fake/)
  }))

test('is not run, and not passed, when the machine can not inject the fault', () =>
  onStage(async (stage) => {
    const inject = () => Promise.reject(impossible('the clock can not be turned'))
    const report = await rehearse(rehearsal(stage, { inject }), stage.around)
    assert.is(report.verdict, 'not-run')
    assert.equal(report.reasons, ['the clock can not be turned'])
    const limited = await rehearse(rehearsal(stage, { inject }, { gap: '1s' }), stage.around)
    assert.equal(limited.limits, [], 'nothing was reached that counts')
  }))

test('is a task with its own params and --repeat', () => {
  const made = experiment({
    description: 'Break a thing',
    load: [],
    inject: async () => undefined,
  })
  assert.is(made.kind, 'task')
  assert.is(made.definition.effect, 'change')
  assert.equal(made.definition.runLocks, ['stack'])
})

test.run()

async function rejected(promise: Promise<unknown>): Promise<DevstackError> {
  try {
    await promise
  } catch (thrown) {
    return thrown as DevstackError
  }
  assert.unreachable('it did not reject')
  throw new Error('unreachable')
}
