import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { exitedSuccessfully, healthy, running } from '../../../lib/gate/container.ts'
import { endpoint, formatEndpoint, reachOf } from '../../../lib/gate/endpoint.ts'
import { exec, formatCommand } from '../../../lib/gate/exec.ts'
import type { Probe } from '../../../lib/gate/gate.ts'
import { http } from '../../../lib/gate/http.ts'
import { log } from '../../../lib/gate/log.ts'
import { tcp } from '../../../lib/gate/tcp.ts'
import type { PortBinding, ServiceHandle } from '../../../lib/runtime/runtime.ts'
import { FakeEngine, handle } from './fake-runtime.ts'

const published = (hostPort: number, hostIp = '127.0.0.1'): PortBinding => ({
  hostIp,
  hostPort,
  containerPort: 80,
  protocol: 'tcp',
})

/** One question; a throw is an unhealthy answer, as gates take it. */
async function ask(probe: Probe<ServiceHandle>, engine = new FakeEngine(), asked = handle, signal?: AbortSignal) {
  try {
    return await probe(asked, { runtime: engine.runtime, signal: signal ?? new AbortController().signal })
  } catch (error) {
    return { healthy: false, detail: (error as Error).message }
  }
}

async function listen(server: Server | TcpServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function withHttp<T>(listener: RequestListener, use: (port: number) => Promise<T>): Promise<T> {
  const server = createServer(listener)
  try {
    return await use(await listen(server))
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createTcpServer()
  const port = await listen(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

const endpoints = suite('endpoint')

endpoints('prefers what the reach says and takes the other where it is missing', () => {
  const both = { ...handle, addresses: { default: '10.1.0.5' }, ports: [published(8080)] }
  const direct = { prefer: 'address', host: '127.0.0.1' } as const
  const forwarded = { prefer: 'published', host: '127.0.0.1' } as const
  assert.equal(endpoint(both, 80, direct), { host: '10.1.0.5', port: 80, via: 'address' })
  assert.equal(endpoint(both, 80, forwarded), { host: '127.0.0.1', port: 8080, via: 'published' })
  assert.equal(endpoint({ ...both, addresses: {} }, 80, direct), { host: '127.0.0.1', port: 8080, via: 'published' })
  assert.equal(endpoint(both, 81, forwarded), { host: '10.1.0.5', port: 81, via: 'address' })
})

endpoints('turns an any-address into one that can be connected to', () => {
  const forwarded = { prefer: 'published', host: '127.0.0.1' } as const
  const at = (hostIp: string) => endpoint({ ...handle, ports: [published(1, hostIp)] }, 80, forwarded).host
  assert.equal(['', '0.0.0.0', '::', '192.168.1.2'].map(at), ['127.0.0.1', '127.0.0.1', '::1', '192.168.1.2'])
  assert.is(formatEndpoint({ host: '::1', port: 1 }), '[::1]:1')
})

endpoints('names the service when there is no way in', () => {
  const error = assertThrows(() => endpoint({ ...handle, addresses: {} }, 5432))
  assert.is(error.code, 'GATE_NO_ENDPOINT')
  assert.match(error.message, 'Port 5432 of service "db"')
})

endpoints('asks the engine how its containers are reached', async () => {
  const reach = async (info: object) => {
    const engine = new FakeEngine()
    engine.info = { ...engine.info, ...info }
    return reachOf(engine.runtime)
  }
  assert.equal(await reach({ rootless: true }), { prefer: 'published', host: '127.0.0.1' })
  assert.equal(await reach({ operatingSystem: 'Docker Desktop' }), { prefer: 'published', host: '127.0.0.1' })
  assert.equal(await reach({ address: 'tcp://build.example:2376' }), { prefer: 'published', host: 'build.example' })
  assert.equal(await reach({ address: 'ssh://me@build.example' }), { prefer: 'published', host: 'build.example' })
  const local = { prefer: process.platform === 'linux' ? 'address' : 'published', host: '127.0.0.1' }
  assert.equal(await reach({}), local)
  assert.equal(await reach({ address: 'tcp://127.0.0.1:2375' }), local)
})

function assertThrows(run: () => unknown): Error & { code?: string } {
  try {
    run()
  } catch (error) {
    return error as Error
  }
  throw new Error('it was expected to throw')
}

const https = suite('http')

https('is healthy at any 2xx, or at the status asked for', async () => {
  await withHttp(
    (request, response) => response.writeHead(Number(request.url!.slice(1))).end(),
    async (port) => {
      const at = (path: string, status?: number | readonly number[]) => ask(http({ port, path, status }))
      assert.equal(await at('/204'), { healthy: true, detail: 'HTTP 204' })
      assert.equal(await at('/503'), { healthy: false, detail: 'HTTP 503' })
      assert.equal(await at('/503', [503, 429]), { healthy: true, detail: 'HTTP 503' })
      assert.equal(await at('/200', 503), { healthy: false, detail: 'HTTP 200 instead of 503' })
    },
  )
})

https('looks into the body and sends method and headers', async () => {
  await withHttp(
    (request, response) => response.end(`${request.method} ${request.headers['x-token']}: {"role":"primary"}`),
    async (port) => {
      const base = { port, method: 'OPTIONS', headers: { 'x-token': 'abc' } }
      const detail = async (body: NonNullable<Parameters<typeof http>[0]['body']>) =>
        (await ask(http({ ...base, body }))).detail
      assert.is(await detail('OPTIONS abc'), 'HTTP 200')
      assert.is(await detail('replica'), 'the body does not contain "replica"')
      const sticky = http({ ...base, body: /primary/g })
      assert.is((await ask(sticky)).healthy, true)
      assert.is((await ask(sticky)).healthy, true, 'a global pattern does not remember')
      assert.is(await detail(/^replica/), 'the body does not match /^replica/')
      assert.is(await detail((body) => body.includes('replica') || 'no replica yet'), 'no replica yet')
    },
  )
})

https('puts network errors in words that stay the same', async () => {
  const refused = await ask(http({ port: await freePort() }))
  assert.equal(refused, { healthy: false, detail: 'connection refused' })
  const rude = createTcpServer((socket) => socket.destroy())
  try {
    const closed = await ask(http({ port: await listen(rude) }))
    assert.equal(closed, { healthy: false, detail: 'connection closed without an answer' })
  } finally {
    rude.close()
  }
})

https('ends its request when the attempt is over', async () => {
  let closed: (value: unknown) => void = () => {}
  const gone = new Promise((resolve) => {
    closed = resolve
  })
  await withHttp(
    (request) => request.socket.on('close', closed),
    async (port) => {
      const controller = new AbortController()
      const answer = ask(http({ port }), new FakeEngine(), handle, controller.signal)
      setTimeout(() => controller.abort(), 20)
      assert.is((await answer).healthy, false)
      await gone
    },
  )
})

https('says what it asks', () => {
  assert.is(http({ port: 8008, path: '/leader' }).question!(handle), 'GET http://127.0.0.1:8008/leader')
  assert.is(http({ url: 'http://x/y' }).question!(handle), 'GET http://x/y')
})

const tcps = suite('tcp')

tcps('is healthy when somebody accepts', async () => {
  const server = createTcpServer(() => {})
  try {
    const port = await listen(server)
    assert.equal(await ask(tcp({ port })), { healthy: true, detail: `127.0.0.1:${port} accepts connections` })
    assert.is((await ask(tcp({ host: '127.0.0.1', port }))).healthy, true)
  } finally {
    server.close()
  }
  assert.equal(await ask(tcp({ port: await freePort() })), { healthy: false, detail: 'connection refused' })
})

tcps('is not taken in by a port forwarder with nobody behind it', async () => {
  const forwarder = createTcpServer((socket) => socket.end())
  const patient = createTcpServer(() => {})
  const engine = new FakeEngine()
  engine.info = { ...engine.info, rootless: true }
  try {
    const through = async (server: TcpServer) =>
      ask(tcp({ port: 80 }), engine, { ...handle, ports: [published(await listen(server))] })
    assert.equal(await through(forwarder), { healthy: false, detail: 'nothing listens behind the published port' })
    assert.is((await through(patient)).healthy, true)
  } finally {
    forwarder.close()
    patient.close()
  }
})

const execs = suite('exec')

execs('compares exit code and output', async () => {
  const engine = new FakeEngine()
  const command = ['redis-cli', 'info']
  engine.onExec = () => ({ exitCode: 0, stdout: 'role:master\n', stderr: '' })
  assert.equal(await ask(exec({ command }), engine), { healthy: true, detail: 'role:master' })
  assert.equal(await ask(exec({ command, output: 'role:slave' }), engine), {
    healthy: false,
    detail: 'the output does not contain "role:slave": role:master',
  })
  assert.is((await ask(exec({ command, output: /^role:m/ }), engine)).healthy, true)
  assert.is((await ask(exec({ command, output: () => 'still loading' }), engine)).detail, 'still loading')
  engine.onExec = () => ({ exitCode: 2, stdout: '', stderr: 'warning\nno response\n' })
  assert.equal(await ask(exec({ command }), engine), { healthy: false, detail: 'exit code 2: no response' })
  assert.is((await ask(exec({ command, exitCode: 2 }), engine)).healthy, true)
})

execs('asks for the container by its name, which a refusal then shows', async () => {
  const engine = new FakeEngine()
  engine.set({ healthcheck: { test: ['CMD', 'true'] } })
  engine.onExec = (_options, container) => {
    throw new Error(`refused in ${container}`)
  }
  for (const probe of [exec({ command: ['true'] }), healthy()]) {
    assert.is((await ask(probe, engine)).detail, `refused in ${handle.name}`)
  }
})

execs('shows the command as it would be typed', () => {
  assert.is(formatCommand(['psql', '-c', "select 'x'"]), "psql -c 'select '\\''x'\\'''")
  assert.is(exec({ command: ['pg_isready'] }).question!(handle), 'in db: pg_isready')
})

const logs = suite('log')

logs('waits for a line and reads each line once', async () => {
  const engine = new FakeEngine()
  const probe = log({ pattern: /ready$/g, times: 2 })
  assert.equal(await ask(probe, engine), { healthy: false, detail: 'the container has written nothing' })
  engine.write('starting', 'is ready')
  const once = { healthy: false, detail: '1 of 2 lines seen; last line: is ready' }
  assert.equal(await ask(probe, engine), once)
  assert.equal(await ask(probe, engine), once, 'the same line does not count again')
  engine.write('shutting down', 'is ready')
  assert.equal(await ask(probe, engine), { healthy: true, detail: 'is ready' })
})

logs('tells lines of the same instant apart', async () => {
  const engine = new FakeEngine()
  const at = new Date(1_700_000_000_000).toISOString()
  const probe = log({ pattern: 'ready', times: 3 })
  engine.lines.push({ text: 'ready', stream: 'stdout', at })
  await ask(probe, engine)
  engine.lines.push({ text: 'ready', stream: 'stdout', at })
  assert.is((await ask(probe, engine)).detail, '2 of 3 lines seen; last line: ready')
})

logs('starts afresh with the container', async () => {
  const engine = new FakeEngine()
  engine.write('ready')
  assert.is((await ask(log({ pattern: 'ready' }), engine)).healthy, true)
  engine.set({ startedAt: 1_700_000_005_000 })
  assert.is((await ask(log({ pattern: 'ready' }), engine)).healthy, false)
  engine.container = undefined
  assert.is((await ask(log({ pattern: 'ready' }), engine)).healthy, false)
})

const containers = suite('container')

containers('running', async () => {
  const engine = new FakeEngine()
  assert.is((await ask(running(), engine)).healthy, true)
  engine.set({ state: 'paused' })
  assert.equal(await ask(running(), engine), { healthy: false, detail: 'paused' })
  engine.container = undefined
  assert.equal(await ask(running(), engine), { healthy: false, fatal: true, detail: 'the container is gone' })
})

containers('exited successfully', async () => {
  const engine = new FakeEngine()
  assert.equal(await ask(exitedSuccessfully(), engine), { healthy: false, detail: 'running' })
  engine.set({ state: 'exited', exitCode: 137, oomKilled: true })
  const answer = await ask(exitedSuccessfully(), engine)
  assert.equal(answer, { healthy: false, fatal: true, detail: 'exit code 137 (killed for lack of memory)' })
  engine.set({ restartPolicy: { name: 'on-failure' } })
  assert.is((await ask(exitedSuccessfully(), engine)).healthy, false)
  engine.set({ exitCode: 0, oomKilled: false })
  assert.is((await ask(exitedSuccessfully(), engine)).healthy, true)
})

containers("healthy asks the container's own healthcheck", async () => {
  const engine = new FakeEngine()
  const commands: (readonly string[])[] = []
  let exitCode = 1
  engine.onExec = ({ command }) => {
    commands.push(command)
    return { exitCode, stdout: exitCode === 0 ? '' : 'no leader', stderr: '' }
  }
  engine.set({ healthcheck: { test: ['CMD-SHELL', 'curl -f localhost || exit 1'] } })
  const probe = healthy()
  assert.equal(await ask(probe, engine), { healthy: false, detail: 'exit code 1: no leader' })
  exitCode = 0
  assert.is((await ask(probe, engine)).healthy, true)
  assert.equal(commands, Array(2).fill(['/bin/sh', '-c', 'curl -f localhost || exit 1']))
  assert.is(engine.inspections, 1, 'the command is looked up once')
  assert.match(probe.question!(handle), 'healthcheck of db: /bin/sh -c')
})

containers('healthy finds the command in the label', async () => {
  const engine = new FakeEngine()
  let asked: readonly string[] = []
  engine.onExec = ({ command }) => {
    asked = command
    return { exitCode: 0, stdout: '', stderr: '' }
  }
  engine.set({ labels: { 'devstack.spec': JSON.stringify({ healthcheck: { test: ['CMD', 'pg_isready', '-q'] } }) } })
  assert.is((await ask(healthy(), engine)).healthy, true)
  assert.equal(asked, ['pg_isready', '-q'])
})

containers('healthy falls back on the engine and refuses what has no healthcheck', async () => {
  const engine = new FakeEngine()
  engine.set({ health: { status: 'starting', lastOutput: 'booting\n' } })
  assert.equal(await ask(healthy(), engine), { healthy: false, detail: 'starting: booting' })
  engine.set({ health: { status: 'healthy', lastOutput: '' } })
  assert.is((await ask(healthy(), engine)).healthy, true)
  engine.set({ health: undefined })
  const none = await ask(healthy(), engine)
  assert.equal(none, { healthy: false, fatal: true, detail: '"db" has no healthcheck, so it can not become healthy' })
  engine.set({ healthcheck: { test: ['NONE'] } })
  const off = await ask(healthy(), engine)
  assert.equal(off, { healthy: false, fatal: true, detail: 'the healthcheck of "db" is switched off' })
})

for (const tests of [endpoints, https, tcps, execs, logs, containers]) tests.run()
