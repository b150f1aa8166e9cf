import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError } from '../../../lib/errors.ts'
import { GateError } from '../../../lib/gate/autopsy.ts'
import { completedGate } from '../../../lib/gate/container.ts'
import type { Answer, GateOptions } from '../../../lib/gate/gate.ts'
import { gate, named } from '../../../lib/gate/poll.ts'
import type { ServiceHandle } from '../../../lib/runtime/runtime.ts'
import { FakeEngine, gateContext, handle } from './fake-runtime.ts'

const no: Answer = { healthy: false, detail: 'not yet' }
const yes: Answer = { healthy: true, detail: 'ready' }

/** A gate that asks often, so that tests are short. */
function quick(options: Partial<GateOptions<ServiceHandle>> & Pick<GateOptions<ServiceHandle>, 'probe'>) {
  return gate<ServiceHandle>({ description: 'database ready', every: 1, within: '30s', ...options })
}

/** A probe that answers one after the other, the last for ever. */
function answering(...answers: readonly Answer[]) {
  let asked = 0
  return () => answers[Math.min(asked++, answers.length - 1)]!
}

async function rejection(promise: Promise<unknown>): Promise<DevstackError> {
  try {
    await promise
  } catch (error) {
    assert.instance(error, DevstackError)
    return error as DevstackError
  }
  throw new Error('it was expected to fail')
}

async function failed(promise: Promise<unknown>): Promise<GateError> {
  const error = await rejection(promise)
  assert.instance(error, GateError, `${error.code}: ${error.message}`)
  return error as GateError
}

const holding = suite('gate that holds')

holding('asks at once and costs the engine nothing', async () => {
  const engine = new FakeEngine()
  const context = gateContext(engine)
  assert.equal(await quick({ probe: answering(yes) }).hold(handle, context), { asked: 1 })
  assert.equal(context.answers, ['ready'])
  assert.is(engine.inspections, 0)
  assert.is(engine.opened, 0)
})

holding('asks until the answer is healthy and reports answers only when they change', async () => {
  const engine = new FakeEngine()
  const context = gateContext(engine)
  const probe = answering(no, no, no, { healthy: false, detail: '1 of 2' }, { healthy: false, detail: '1 of 2' }, yes)
  assert.equal(await quick({ probe }).hold(handle, context), { asked: 6 })
  assert.equal(context.answers, ['not yet', '1 of 2', 'ready'])
  assert.is(engine.streams, 0, 'the event stream is closed')
})

holding('takes an error of the probe as an answer', async () => {
  const context = gateContext(new FakeEngine())
  let asked = 0
  const probe = () => {
    asked += 1
    if (asked < 3) throw new Error('connection refused')
    return yes
  }
  await quick({ probe }).hold(handle, context)
  assert.equal(context.answers, ['connection refused', 'ready'])
})

holding('bounds each attempt, aborts its signal and asks again', async () => {
  const context = gateContext(new FakeEngine())
  let asked = 0
  const reasons: boolean[] = []
  const probe: GateOptions<ServiceHandle>['probe'] = (_value, { signal }) => {
    asked += 1
    if (asked > 1) return yes
    signal.addEventListener('abort', () => reasons.push(true))
    return new Promise<Answer>(() => {})
  }
  assert.equal(await quick({ probe, attemptTimeout: 20 }).hold(handle, context), { asked: 2 })
  assert.equal(context.answers, ['no answer within 20 ms', 'ready'])
  assert.equal(reasons, [true])
})

holding('works on values that are no containers', async () => {
  const engine = new FakeEngine()
  const context = gateContext(engine)
  await gate<{ url: string }>({ description: 'up', every: 1, probe: answering(no, yes) }).hold({ url: 'x' }, context)
  assert.is(engine.opened, 0)
})

holding('shares one event stream among many gates', async () => {
  const engine = new FakeEngine()
  let open = false
  const probe = () => (open ? yes : no)
  const waits = Array.from({ length: 20 }, () => quick({ probe }).hold(handle, gateContext(engine)))
  await engine.listened()
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(engine.streams, 1)
  open = true
  await Promise.all(waits)
  assert.is(engine.streams, 0)
  assert.is(engine.opened, 1)
})

holding('survives one crash that the restart policy mends', async () => {
  const engine = new FakeEngine()
  let asked = 0
  const probe = () => {
    asked += 1
    if (asked === 2) {
      engine.set({ state: 'restarting', exitCode: 1, restarts: 1 })
      engine.emit('die')
    }
    if (asked === 5) engine.set({ state: 'running', exitCode: null })
    return asked > 40 ? yes : no
  }
  assert.equal(await quick({ probe }).hold(handle, gateContext(engine)), { asked: 41 })
})

const failing = suite('gate that does not hold')

failing('ends its message with one full stop, also when the answer is a sentence', async () => {
  const probe = answering({ healthy: false, detail: 'Port 1 can not be reached.' })
  const error = await failed(quick({ probe, within: 20 }).hold(handle, gateContext(new FakeEngine())))
  assert.match(error.message, /can not be reached\.$/)
  assert.not.match(error.message, /\.\.$/)
})

failing('gives an autopsy at the deadline, with exit code 3', async () => {
  const engine = new FakeEngine()
  engine.set({ restarts: 1 })
  engine.write(...Array.from({ length: 30 }, (_, index) => `line ${index}`))
  const probe = named(() => 'GET http://127.0.0.1:8008/leader', answering(no))
  const error = await failed(quick({ probe, within: 50 }).hold(handle, gateContext(engine)))
  assert.is(error.code, 'GATE_TIMEOUT')
  assert.is(error.exitCode, 3)
  assert.match(error.message, '"database ready" does not hold for db after')
  const { autopsy } = error
  assert.is(autopsy.question, 'GET http://127.0.0.1:8008/leader')
  assert.ok(autopsy.asked > 1)
  assert.ok(autopsy.waitedMs >= 49)
  assert.equal(autopsy.answers, [{ text: 'not yet', times: autopsy.asked }])
  assert.equal(autopsy.container, {
    name: 'shop-db-1',
    state: 'running',
    exitCode: null,
    oomKilled: false,
    restarts: 1,
  })
  assert.equal(
    autopsy.logs,
    Array.from({ length: 20 }, (_, index) => `line ${index + 10}`),
  )
  assert.equal(autopsy.blocked, ['migrate', 'backend'])
  assert.is(autopsy.next, 'devstack run logs db')
})

failing('keeps the last answers, run-length counted', async () => {
  let asked = 0
  const probe = (): Answer => {
    asked += 1
    return { healthy: false, fatal: asked === 14, detail: `state ${Math.min(Math.floor(asked / 2), 6)}` }
  }
  const error = await failed(quick({ probe }).hold(handle, gateContext(new FakeEngine())))
  assert.equal(error.autopsy.answers, [
    { text: 'state 2', times: 2 },
    { text: 'state 3', times: 2 },
    { text: 'state 4', times: 2 },
    { text: 'state 5', times: 2 },
    { text: 'state 6', times: 3 },
  ])
  assert.is(error.autopsy.asked, 14)
})

failing('stops at once on a fatal answer', async () => {
  const probe = answering(no, { healthy: false, fatal: true, detail: 'wrong password' })
  const error = await failed(quick({ probe }).hold(handle, gateContext(new FakeEngine())))
  assert.is(error.code, 'GATE_IMPOSSIBLE')
  assert.is(error.exitCode, 1)
  assert.match(error.message, 'wrong password')
})

failing('stops at once when the container exits', async () => {
  const engine = new FakeEngine()
  const wait = failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.set({ state: 'exited', exitCode: 78, finishedAt: Date.now() })
  engine.write('no such configuration')
  engine.emit('die', { exitCode: 78 })
  const error = await wait
  assert.is(error.code, 'GATE_CONTAINER_EXITED')
  assert.match(error.message, 'shop-db-1 ended with exit code 78')
  assert.is(error.autopsy.container?.exitCode, 78)
  assert.equal(error.autopsy.logs, ['no such configuration'])
})

failing('notices an exit that no event told of', async () => {
  const engine = new FakeEngine()
  engine.set({ state: 'exited', exitCode: 1, finishedAt: Date.now() })
  const error = await failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  assert.is(error.code, 'GATE_CONTAINER_EXITED')
})

failing('stops while an attempt hangs', async () => {
  const engine = new FakeEngine()
  let asked = 0
  const probe = () => {
    asked += 1
    return asked === 1 ? no : new Promise<Answer>(() => {})
  }
  const wait = failed(quick({ probe, attemptTimeout: 3_600_000 }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.set({ state: 'exited', exitCode: 1, finishedAt: Date.now() })
  engine.emit('die')
  assert.is((await wait).code, 'GATE_CONTAINER_EXITED')
})

failing('names the lack of memory', async () => {
  const engine = new FakeEngine()
  const wait = failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.set({ state: 'exited', exitCode: 137, oomKilled: false, finishedAt: Date.now() })
  engine.emit('oom')
  const error = await wait
  assert.is(error.code, 'GATE_CONTAINER_OOM')
  assert.is(error.autopsy.container?.oomKilled, true, 'the event counts where the flag is missing')
  assert.match(String(error.hint), 'mem_limit')
})

failing('outlives an out-of-memory kill of a child process', async () => {
  const engine = new FakeEngine()
  const wait = failed(quick({ probe: answering(no), within: 300 }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.emit('oom')
  const error = await wait
  assert.is(error.code, 'GATE_TIMEOUT')
  assert.is(error.autopsy.container?.oomKilled, true)
})

failing('names a crash loop after the third end', async () => {
  const engine = new FakeEngine()
  engine.set({ restartPolicy: { name: 'always' }, restarts: 7 })
  const wait = failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  await engine.listened()
  for (const restarts of [8, 9, 10]) {
    engine.set({ state: 'restarting', exitCode: 1, restarts })
    engine.emit('die')
  }
  const error = await wait
  assert.is(error.code, 'GATE_CRASH_LOOP')
  assert.match(error.message, 'it ended 3 times')
  assert.is(error.autopsy.container?.restarts, 10)
})

failing('waits a moment for a restart that the policy promises, not for ever', async () => {
  const engine = new FakeEngine()
  engine.set({ labels: { 'devstack.spec': JSON.stringify({ restart: { name: 'always' } }) } })
  const wait = failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.set({ state: 'exited', exitCode: 1, finishedAt: Date.now() })
  engine.emit('die')
  const error = await wait
  assert.is(error.code, 'GATE_CONTAINER_EXITED')
  assert.ok(engine.inspections > 3, 'looked again')
})

failing('believes on-failure only after a failure, and up to its limit', async () => {
  for (const end of [
    { exitCode: 0, restarts: 0 },
    { exitCode: 1, restarts: 2 },
  ]) {
    const engine = new FakeEngine()
    engine.set({
      restartPolicy: { name: 'on-failure', maximumRetries: 2 },
      state: 'exited',
      finishedAt: Date.now(),
      ...end,
    })
    const error = await failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
    assert.is(error.code, 'GATE_CONTAINER_EXITED')
  }
})

failing('says that the container is gone', async () => {
  const engine = new FakeEngine()
  engine.container = undefined
  const error = await failed(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  assert.is(error.code, 'GATE_CONTAINER_GONE')
  assert.is(error.autopsy.container?.state, 'gone')
  assert.is(error.autopsy.next, 'devstack run logs db')
})

failing('passes on that the engine is gone', async () => {
  const engine = new FakeEngine()
  const wait = rejection(quick({ probe: answering(no) }).hold(handle, gateContext(engine)))
  await engine.listened()
  engine.lose(new DevstackError({ kind: 'runtime', code: 'RUNTIME_UNREACHABLE', message: 'The engine is gone.' }))
  assert.is((await wait).code, 'RUNTIME_UNREACHABLE')
})

failing('tells an autopsy even when the engine hangs or fails', async () => {
  const engine = new FakeEngine()
  const runtime = { ...gateContext(engine).runtime, inspect: () => Promise.reject(new Error('broken')) }
  const context = {
    ...gateContext(engine),
    runtime: { ...runtime, events: engine.runtime.events, logs: engine.runtime.logs },
  }
  const error = await failed(quick({ probe: answering(no), within: 20 }).hold(handle, context))
  assert.is(error.code, 'GATE_TIMEOUT')
  assert.match(error.autopsy.container?.state ?? '', 'unknown')
})

const stopping = suite('gate that is stopped')

stopping('rejects with CANCELLED, also before the first question', async () => {
  const engine = new FakeEngine()
  let asked = 0
  const probe = () => {
    asked += 1
    return no
  }
  const error = await rejection(quick({ probe }).hold(handle, gateContext(engine, AbortSignal.abort())))
  assert.is(error.code, 'CANCELLED')
  assert.is(error.exitCode, 130)
  assert.is(asked, 0)
  const controller = new AbortController()
  const wait = rejection(quick({ probe }).hold(handle, gateContext(engine, controller.signal)))
  await engine.listened()
  controller.abort()
  assert.is((await wait).code, 'CANCELLED')
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(engine.streams, 0)
})

stopping('passes on the reason when it is an error of ours', async () => {
  const controller = new AbortController()
  const reason = new DevstackError({ kind: 'task', code: 'NEED_FAILED', message: 'A need failed.' })
  const wait = rejection(quick({ probe: answering(no) }).hold(handle, gateContext(new FakeEngine(), controller.signal)))
  controller.abort(reason)
  assert.is(await wait, reason)
})

stopping('gives an autopsy when the reason is a deadline of the edge', async () => {
  const controller = new AbortController()
  const wait = failed(quick({ probe: answering(no) }).hold(handle, gateContext(new FakeEngine(), controller.signal)))
  controller.abort(new DevstackError({ kind: 'timeout', code: 'TASK_TIMEOUT', message: 'too long' }))
  const error = await wait
  assert.is(error.code, 'GATE_TIMEOUT')
  assert.equal(error.autopsy.blocked, ['migrate', 'backend'])
})

const deadlines = suite('deadline')

deadlines('is replaced by that of an edge; the autopsy stays', async () => {
  const long = quick({ probe: answering(no), within: '1h' })
  const short = long.bounded!(30)
  assert.is(short.description, long.description)
  const error = await failed(short.hold(handle, gateContext(new FakeEngine())))
  assert.is(error.code, 'GATE_TIMEOUT')
  assert.ok(error.autopsy.asked > 0)
})

deadlines('refuses what is no duration when the gate is made', () => {
  assert.throws(() => quick({ probe: answering(yes), within: 'soon' as '1s' }), /"soon" is not a duration/)
})

const completion = suite('completedGate')

completion('waits for the end instead of fearing it', async () => {
  const engine = new FakeEngine()
  const wait = completedGate({ every: 1 }).hold(handle, gateContext(engine))
  setImmediate(() => engine.set({ state: 'exited', exitCode: 0 }))
  assert.ok((await wait)!.asked >= 1)
})

completion('fails at once on another exit code, with the container in the autopsy', async () => {
  const engine = new FakeEngine()
  engine.set({ state: 'exited', exitCode: 3 })
  engine.write('migration 7 failed')
  const error = await failed(completedGate({ every: 1 }).hold(handle, gateContext(engine)))
  assert.is(error.code, 'GATE_IMPOSSIBLE')
  assert.match(error.message, 'exit code 3')
  assert.equal(error.autopsy.logs, ['migration 7 failed'])
})

for (const tests of [holding, failing, stopping, deadlines, completion]) tests.run()
