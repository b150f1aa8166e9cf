/** Gates and their autopsies against real containers, the same on Docker and, where it is installed, on Podman. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError, formatError } from '../../lib/errors.ts'
import { GateError } from '../../lib/gate/autopsy.ts'
import { completedGate, healthyGate, running, runningGate } from '../../lib/gate/container.ts'
import { exec } from '../../lib/gate/exec.ts'
import type { GateOptions } from '../../lib/gate/gate.ts'
import { http } from '../../lib/gate/http.ts'
import { log } from '../../lib/gate/log.ts'
import { gate } from '../../lib/gate/poll.ts'
import { tcp } from '../../lib/gate/tcp.ts'
import { connect } from '../../lib/runtime/docker/connect.ts'
import { type ContainerSpec, labels, type Runtime, type ServiceHandle } from '../../lib/runtime/runtime.ts'
import { baseImage, scenarioEngine, uniqueProject } from '../support/engine.ts'
import { startPodman } from '../support/podman.ts'

const project = uniqueProject('gate')

interface Opened {
  readonly runtime: Runtime
  close(): Promise<void>
}

function specOf(service: string, script: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
  return {
    name: `${project}-${service}`,
    project,
    service,
    image: baseImage,
    command: ['/bin/sh', '-c', script],
    environment: {},
    labels: {},
    ports: [],
    mounts: [],
    networks: [],
    // Nothing here needs a network but the one that says so: it is faster, and independent of who else has engines here.
    networkMode: 'none',
    restart: { name: 'no' },
    stopGraceMs: 0,
    ...more,
  }
}

/** An HTTP server out of what the base image has: Perl, one answer a connection. */
const httpServer = `exec perl -MIO::Socket::INET -e '
  my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 9, ReuseAddr => 1) or die "can not listen";
  while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line eq "\\r\\n" }
    print $client "HTTP/1.0 200 OK\\r\\n\\r\\nrole=primary"; close $client
  }'`

function scenarios(engine: 'docker' | 'podman', open: () => Promise<Opened | undefined>): void {
  const test = suite(`gates on ${engine}`)
  let opened: Opened | undefined
  let runtime!: Runtime

  const scenario = (name: string, body: () => Promise<void>) =>
    test(name, async () => {
      if (!opened) return
      try {
        await body()
      } catch (thrown) {
        // uvu takes `details` for a text and would lose the test.
        throw thrown instanceof DevstackError ? new Error(`${thrown.code}: ${formatError(thrown)}`) : thrown
      }
    })

  async function create(spec: ContainerSpec): Promise<ServiceHandle> {
    const { id } = await runtime.create(spec)
    const { name, service, image } = spec
    return { id, name, service, project, image, addresses: {}, ports: [] }
  }

  async function start(spec: ContainerSpec): Promise<ServiceHandle> {
    const handle = await create(spec)
    await runtime.start(handle.id)
    const details = await runtime.inspect(handle.id)
    return { ...handle, addresses: details?.addresses ?? {}, ports: details?.ports ?? [] }
  }

  const context = (node: string) => ({
    runtime,
    signal: new AbortController().signal,
    node,
    blocked: ['migrate', 'backend'],
    answer: () => {},
  })

  const waitFor = (
    handle: ServiceHandle,
    options: Partial<GateOptions<ServiceHandle>> & Pick<GateOptions<ServiceHandle>, 'probe'>,
  ) =>
    gate<ServiceHandle>({ description: `${handle.service} ready`, within: '2m', ...options }).hold(
      handle,
      context(handle.service),
    )

  async function autopsyOf(promise: Promise<unknown>): Promise<GateError> {
    try {
      await promise
    } catch (error) {
      if (!(error instanceof GateError)) throw error
      assert.equal(error.autopsy.blocked, ['migrate', 'backend'])
      return error
    }
    throw new Error('the gate was expected to fail')
  }

  const never = exec({ command: ['test', '-e', '/never'] })

  test.before(async () => {
    opened = await open()
    if (opened) runtime = opened.runtime
  })
  test.after(async () => {
    if (!opened) return
    try {
      for (const { id } of await runtime.containers({ [labels.project]: project })) {
        await runtime.remove(id, { volumes: true })
      }
    } finally {
      runtime.close()
      await opened.close()
    }
  })

  scenario('a container that exits at once fails its gate with its exit code and its last lines', async () => {
    const handle = await start(
      specOf('exits', 'for i in $(seq 30); do echo line $i; done; echo no configuration; exit 78'),
    )
    const error = await autopsyOf(waitFor(handle, { probe: never }))
    assert.is(error.code, 'GATE_CONTAINER_EXITED')
    assert.match(error.message, 'exit code 78')
    const { container, logs, next, waitedMs } = error.autopsy
    assert.equal(container, { name: handle.name, state: 'exited', exitCode: 78, oomKilled: false, restarts: 0 })
    assert.equal(logs, [...Array.from({ length: 19 }, (_, index) => `line ${index + 12}`), 'no configuration'])
    assert.is(next, 'devstack run logs exits')
    assert.ok(waitedMs < 110_000, 'long before the deadline')
  })

  scenario('a container that ends while it is waited for fails its gate by the event', async () => {
    const handle = await start(
      specOf('ends', 'echo serving; while [ ! -e /tmp/end ]; do sleep 0.05; done; echo bye; exit 3'),
    )
    let told = false
    const failure = autopsyOf(
      waitFor(handle, {
        // The attempt hangs, so that nothing but the event can end the wait before its deadline.
        probe: async (_value, { runtime: engineOfProbe }) => {
          if (told) return new Promise(() => {})
          told = true
          await engineOfProbe.exec(handle.id, { command: ['touch', '/tmp/end'] })
          return { healthy: false, detail: 'still starting' }
        },
        attemptTimeout: 100_000,
      }),
    )
    const error = await failure
    assert.is(error.code, 'GATE_CONTAINER_EXITED')
    assert.is(error.autopsy.container?.exitCode, 3)
    assert.equal(error.autopsy.logs, ['serving', 'bye'])
    assert.equal(error.autopsy.answers, [{ text: 'still starting', times: 1 }])
  })

  scenario('a container that crash-loops is told from one that restarts', async () => {
    const handle = await start(specOf('loops', 'echo boom; exit 1', { restart: { name: 'always' } }))
    const error = await autopsyOf(waitFor(handle, { probe: never }))
    assert.is(error.code, 'GATE_CRASH_LOOP')
    assert.ok((error.autopsy.container?.restarts ?? 0) >= 2)
    assert.ok(error.autopsy.logs.filter((line) => line === 'boom').length >= 3)
    await runtime.remove(handle.id)
  })

  scenario('one crash that the restart policy mends does not fail the gate', async () => {
    const script = 'if [ -e /tmp/second ]; then touch /tmp/ready; exec sleep 1000; fi; touch /tmp/second; exit 1'
    const handle = await start(specOf('mends', script, { restart: { name: 'on-failure' } }))
    const { asked } = (await waitFor(handle, { probe: exec({ command: ['test', '-e', '/tmp/ready'] }) })) ?? {
      asked: 0,
    }
    assert.ok(asked >= 1)
    assert.is((await runtime.inspect(handle.id))?.restarts, 1)
  })

  scenario('a container that never gets healthy gives its last answers at the deadline', async () => {
    const healthcheck = { test: ['CMD-SHELL', 'echo no leader; exit 1'], intervalMs: 600_000 }
    const handle = await start(specOf('sick', 'echo started; exec sleep 1000', { healthcheck }))
    const error = await autopsyOf(healthyGate({ within: '3s' }).hold(handle, context('sick')))
    assert.is(error.code, 'GATE_TIMEOUT')
    assert.is(error.exitCode, 3)
    const { question, answers, asked, container, logs } = error.autopsy
    assert.match(question, 'echo no leader')
    assert.is(answers.at(-1)?.text, 'exit code 1: no leader')
    assert.ok(asked >= 1)
    assert.equal(container, { name: handle.name, state: 'running', exitCode: null, oomKilled: false, restarts: 0 })
    assert.equal(logs, ['started'])
  })

  scenario('a healthy container is healthy long before the engine finds out', async () => {
    const healthcheck = { test: ['CMD', 'test', '-e', '/tmp/ready'], intervalMs: 600_000 }
    const script = 'sleep 0.5; touch /tmp/ready; exec sleep 1000'
    const handle = await start(specOf('fine', script, { healthcheck }))
    await healthyGate({ within: '2m' }).hold(handle, context('fine'))
    // Docker asks for the first time after one interval, which is ten minutes here; Podman asks once at the start.
    const status = (await runtime.inspect(handle.id))?.health?.status
    if (engine === 'docker') assert.is(status, 'starting')
    else assert.is.not(status, undefined)
  })

  scenario('a container without a healthcheck is refused at once', async () => {
    const handle = await start(specOf('bare', 'exec sleep 1000'))
    const error = await autopsyOf(healthyGate().hold(handle, context('bare')))
    assert.is(error.code, 'GATE_IMPOSSIBLE')
    assert.match(error.message, 'has no healthcheck')
    assert.is(error.autopsy.asked, 1)
    await runningGate().hold(handle, context('bare'))
  })

  scenario('a container that is killed for lack of memory says so', async () => {
    // `tail` keeps all it reads while no line ends.
    const handle = await start(
      specOf('greedy', 'exec tail /dev/zero', { memoryBytes: 16_777_216, memorySwapBytes: 16_777_216 }),
    )
    const error = await autopsyOf(waitFor(handle, { probe: never }))
    // Podman reports the lack of memory only where its cgroups let it; the remedy is named all the same.
    const told = error.autopsy.container?.oomKilled === true
    assert.ok(told || engine === 'podman')
    assert.is(error.code, told ? 'GATE_CONTAINER_OOM' : 'GATE_CONTAINER_EXITED')
    assert.match(String(error.hint), 'mem_limit')
    assert.is(error.autopsy.container?.exitCode, 137)
  })

  scenario('the end of a container can be what is waited for', async () => {
    const good = await start(specOf('migrates', 'sleep 0.3; echo migrated'))
    await completedGate().hold(good, context('migrates'))
    const bad = await start(specOf('fails', 'echo relation exists; exit 4'))
    const error = await autopsyOf(completedGate().hold(bad, context('fails')))
    assert.is(error.code, 'GATE_IMPOSSIBLE')
    assert.match(error.message, 'exit code 4')
    assert.equal(error.autopsy.logs, ['relation exists'])
  })

  scenario('a container that is removed meanwhile fails its gate', async () => {
    const handle = await start(specOf('removed', 'exec sleep 1000'))
    const failure = autopsyOf(waitFor(handle, { probe: never }))
    await runtime.remove(handle.id)
    const error = await failure
    assert.ok(['GATE_CONTAINER_GONE', 'GATE_CONTAINER_EXITED'].includes(error.code), error.code)
  })

  scenario('log, TCP and HTTP gates release once the service answers, and not before', async () => {
    const handle = await create(
      specOf('serves', `while [ ! -e /tmp/go ]; do sleep 0.05; done; echo listening on 8080; ${httpServer}`, {
        networkMode: undefined,
        ports: [{ hostIp: '127.0.0.1', hostPort: 0, containerPort: 8080, protocol: 'tcp' }],
      }),
    )
    await runtime.start(handle.id)
    const details = await runtime.inspect(handle.id)
    const ready = { ...handle, addresses: details?.addresses ?? {}, ports: details?.ports ?? [] }
    const held: string[] = []
    const waits = (
      [
        ['running', running()],
        ['log', log({ pattern: 'listening on' })],
        ['tcp', tcp({ port: 8080 })],
        ['http', http({ port: 8080, body: 'role=primary' })],
      ] as const
    ).map(async ([name, probe]) => {
      await waitFor(ready, { probe })
      held.push(name)
    })
    await waits[0]
    // The service is let go only now, and nothing may have held before that.
    assert.equal(held, ['running'])
    await runtime.exec(handle.id, { command: ['touch', '/tmp/go'] })
    await Promise.all(waits)
    assert.equal([...held].sort(), ['http', 'log', 'running', 'tcp'])
  })

  scenario('a gate releases with the first question after its condition became true', async () => {
    const script = 'sleep 1; date +%s%3N > /tmp/true-since.new; mv /tmp/true-since.new /tmp/true-since; exec sleep 1000'
    const handle = await start(specOf('soon', script))
    const answers: boolean[] = []
    const probe = exec({ command: ['cat', '/tmp/true-since'], output: /^\d+$/m })
    await waitFor(handle, {
      probe: async (value, asked) => {
        const answer = await probe(value, asked)
        answers.push(answer.healthy)
        return answer
      },
    })
    const heldAt = Date.now()
    assert.is(answers.at(-1), true)
    assert.is(answers.filter((healthy) => healthy).length, 1)
    assert.ok(answers.length > 1, 'it was asked before the condition was true')
    const { stdout } = await runtime.exec(handle.id, { command: ['cat', '/tmp/true-since'] })
    console.log(`released ${heldAt - Number(stdout)} ms after the condition became true (${answers.length} questions)`)
  })

  test.run()
}

const docker = (): Runtime => connect({ environment: { ...process.env, DOCKER_CONTEXT: 'default' } })

scenarios('docker', async () => {
  const state = await scenarioEngine()
  if (state.state === 'ready') return { runtime: docker(), close: async () => undefined }
  console.log(`not run: gates on docker: ${state.reason}`)
  return undefined
})

scenarios('podman', async () => {
  const state = await scenarioEngine()
  const podman = state.state === 'ready' ? await startPodman() : { missing: state.reason }
  if ('missing' in podman) {
    console.log(`not run: gates on podman: ${podman.missing}`)
    return undefined
  }
  const runtime = connect({ environment: { DOCKER_HOST: podman.address } })
  const source = docker()
  try {
    const { id } = await source.create(specOf('source', 'true'))
    await runtime.importImage(await source.copyOut(id, '/.'), baseImage)
  } catch (error) {
    runtime.close()
    await podman.stop()
    throw error
  } finally {
    await source.remove(`${project}-source`)
    source.close()
  }
  return { runtime, close: () => podman.stop() }
})
