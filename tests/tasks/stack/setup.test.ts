import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ServiceHandle } from '../../../lib/index.ts'
import { patroniPort, postgresPort } from '../../../tasks/stack/patroni.ts'
import { markerTask } from '../../../tasks/stack/setup.ts'
import { fakeHttp, handleOf, probeContext } from './fake.ts'

const test = suite('setup')

const cluster = {
  members: [
    { name: 'postgres1', role: 'leader', state: 'running', timeline: 1 },
    { name: 'postgres2', role: 'replica', state: 'streaming', timeline: 1, lag: 0 },
  ],
}

/** Runs the marker of two members that are reached as told; `count` answers for the replica. */
async function mark(options: {
  readonly signal: AbortSignal
  readonly addresses?: ServiceHandle['addresses']
  readonly count: (asked: number) => string
}): Promise<readonly string[]> {
  await using server = await fakeHttp({ '/cluster': cluster })
  const handles = ['postgres1', 'postgres2'].map((service) => ({
    ...handleOf(service, patroniPort, server.port),
    ports: [patroniPort, postgresPort].flatMap((port) => handleOf(service, port, server.port).ports),
    addresses: options.addresses ?? {},
  }))
  let asked = 0
  const exec = async (id: string) => {
    options.signal.throwIfAborted()
    if (id === 'id-postgres2') asked += 1
    return { exitCode: 0, stdout: id === 'id-postgres2' ? options.count(asked) : '', stderr: '' }
  }
  const said: string[] = []
  const context = {
    needs: Object.fromEntries(handles.map((handle) => [handle.service, handle])),
    runtime: { ...probeContext().runtime, exec },
    signal: options.signal,
    log: (text: string) => said.push(text),
  }
  await markerTask({}).definition.run?.(context as never)
  return said
}

test('the leader is asked the way this engine is reached', async () => {
  const said = await mark({
    signal: AbortSignal.timeout(10_000),
    // of a network that only the engine's own machine has
    addresses: { devstack: '192.0.2.1' },
    count: () => '1',
  })
  assert.equal(said, ['a row written on postgres1 was read on 1 replicas'])
})

test('a cancelled run ends while a replica is waited for', async () => {
  const controller = new AbortController()
  const reason = new Error('Ctrl-C')
  let asked = 0
  const count = () => {
    asked += 1
    if (asked === 2) controller.abort(reason)
    return '0'
  }
  await refused(mark({ signal: controller.signal, count }), reason)
  assert.is(asked, 2)
})

async function refused(promise: Promise<unknown>, reason: Error): Promise<void> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  // a pause that is broken off wraps the reason
  assert.is(thrown instanceof Error && thrown.name === 'AbortError' ? thrown.cause : thrown, reason)
}

test.run()
