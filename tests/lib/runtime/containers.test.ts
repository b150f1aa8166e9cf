/** The life of containers, networks and volumes on a scripted engine. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError, formatError } from '../../../lib/errors.ts'
import { refusal } from '../../support/refusal.ts'
import { type FakeEngine, fakeEngine, frame, json, refuse, type Script } from './fake-engine.ts'

const test = suite('containers and networks on a scripted engine')

async function withEngine(scripts: Readonly<Record<string, Script>>, body: (engine: FakeEngine) => Promise<void>) {
  const engine = await fakeEngine(scripts)
  try {
    await body(engine)
  } catch (thrown) {
    // uvu takes `details` for a text and would lose the test.
    throw thrown instanceof DevstackError ? new Error(`${thrown.code}: ${formatError(thrown)}`) : thrown
  } finally {
    await engine.close()
  }
}

const nothing: Script = (_asked, response) => json(response, '', 204)
const unchanged: Script = (_asked, response) => {
  response.writeHead(304)
  response.end()
}

test('what is started, stopped, paused or running already is fine', () =>
  withEngine(
    {
      'POST /containers/c/start': unchanged,
      'POST /containers/c/stop': unchanged,
      'POST /containers/c/pause': refuse(409, 'Container c is already paused'),
      'POST /containers/c/unpause': refuse(500, 'Container c is not paused'),
      'POST /containers/c/kill': nothing,
      'POST /containers/c/restart': nothing,
      'POST /containers/d/pause': refuse(409, 'Container d is not running'),
      'POST /containers/d/kill': refuse(409, 'Cannot kill container: d: Container d is not running'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      await runtime.start('c')
      await runtime.stop('c', { graceMs: 1200 })
      await runtime.stop('c')
      await runtime.pause('c')
      await runtime.unpause('c')
      await runtime.kill('c', { signalName: 'SIGHUP' })
      await runtime.restart('c', { graceMs: 0 })
      assert.equal(
        engine.asked.slice(1).map(({ path, query }) => `${path.split('/').at(-1)} ${query.toString()}`.trim()),
        ['start', 'stop t=2', 'stop', 'pause', 'unpause', 'kill signal=SIGHUP', 'restart t=0'],
      )
      assert.is((await refusal(() => runtime.pause('d'))).code, 'RUNTIME_NOT_RUNNING')
      assert.is((await refusal(() => runtime.kill('d'))).code, 'RUNTIME_NOT_RUNNING')
    },
  ))

test('a container that starts processes while it is being frozen is asked again, but not for ever', () => {
  let asked = 0
  const unable = refuse(500, 'Cannot pause container: OCI runtime pause failed: unable to freeze: unknown')
  return withEngine(
    {
      'POST /containers/c/pause': (...words) => {
        asked += 1
        return (asked < 3 ? unable : nothing)(...words)
      },
      'POST /containers/d/pause': unable,
    },
    async (engine) => {
      const runtime = engine.runtime()
      await runtime.pause('c')
      assert.is(asked, 3)
      assert.match((await refusal(() => runtime.pause('d'))).message, /unable to freeze/)
    },
  )
})

test('an inspection in our nouns', () =>
  withEngine(
    {
      'GET /containers/c/json': () => ({
        Id: 'c',
        Name: '/p-web-1',
        Image: 'sha256:1',
        Created: '2026-01-01T00:00:00.5Z',
        RestartCount: 2,
        State: {
          Status: 'exited',
          Pid: 0,
          ExitCode: 137,
          OOMKilled: true,
          StartedAt: '2026-01-01T00:00:01Z',
          FinishedAt: '2026-01-01T00:00:02Z',
          Error: 'so it goes',
          Health: { Status: 'unhealthy', Log: [{ Output: 'first' }, { Output: 'last' }] },
        },
        Config: { Image: 'web:1', Labels: { a: 'b' }, Tty: false },
        NetworkSettings: {
          Networks: { one: { IPAddress: '10.0.0.5' }, two: { IPAddress: '' } },
          Ports: {
            '80/tcp': [
              { HostIp: '0.0.0.0', HostPort: '8080' },
              { HostIp: '::', HostPort: '8080' },
            ],
            '53/udp': [{ HostIp: '127.0.0.1', HostPort: '5353' }],
            '9/tcp': null,
          },
        },
      }),
      'GET /containers/none/json': refuse(404, 'No such container: none'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      const found = await runtime.inspect('c')
      assert.is(found?.name, 'p-web-1')
      assert.equal([found?.state, found?.exitCode, found?.oomKilled, found?.restarts], ['exited', 137, true, 2])
      assert.equal(found?.health, { status: 'unhealthy', lastOutput: 'last' })
      assert.equal(found?.addresses, { one: '10.0.0.5' })
      assert.equal(found?.ports, [
        { hostIp: '127.0.0.1', hostPort: 5353, containerPort: 53, protocol: 'udp' },
        { hostIp: '0.0.0.0', hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      ])
      assert.equal(
        [found?.createdAt, found?.startedAt, found?.finishedAt],
        [1767225600500, 1767225601000, 1767225602000],
      )
      assert.is(await runtime.inspect('none'), undefined)
    },
  ))

test('waits for the exit code, connects and disconnects', () =>
  withEngine(
    {
      'POST /containers/c/wait': () => ({ StatusCode: 3 }),
      'POST /networks/n/connect': () => ({}),
      'POST /networks/n/disconnect': () => ({}),
      'POST /networks/n/prune': () => ({}),
    },
    async (engine) => {
      const runtime = engine.runtime()
      assert.is(await runtime.wait('c'), 3)
      await runtime.connect('n', 'c', { aliases: ['a'], ipv4Address: '10.0.0.9' })
      await runtime.disconnect('n', 'c')
      assert.equal(JSON.parse(engine.asked.at(-2)?.body ?? ''), {
        Container: 'c',
        EndpointConfig: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.0.0.9' } },
      })
    },
  ))

test('networks are made once, and one that differs is not taken for ours', () => {
  const made: string[] = []
  const network = {
    Id: '1',
    Name: 'n',
    Driver: 'bridge',
    Internal: false,
    IPAM: { Config: [{ Subnet: '10.0.0.0/24' }] },
  }
  return withEngine(
    {
      'GET /networks': () => [{ ...network, Name: 'n-and-more' }, ...(made.length > 0 ? [network] : [])],
      'POST /networks/create': (asked, response) => {
        made.push(asked.body)
        json(response, { Id: '1' }, 201)
      },
    },
    async (engine) => {
      const runtime = engine.runtime()
      const spec = { name: 'n', subnet: '10.0.0.0/24', gateway: '10.0.0.1', labels: { a: 'b' } }
      assert.equal(await runtime.ensureNetwork(spec), { created: true })
      assert.equal(await runtime.ensureNetwork(spec), { created: false })
      assert.is(made.length, 1)
      assert.equal(JSON.parse(made[0]!).IPAM.Config, [{ Subnet: '10.0.0.0/24', Gateway: '10.0.0.1' }])
      const error = await refusal(() =>
        runtime.ensureNetwork({ ...spec, subnet: '10.0.1.0/24', driver: 'macvlan', internal: true }),
      )
      assert.is(error.code, 'RUNTIME_NETWORK_DIFFERS')
      assert.is(
        error.message,
        'Network "n" is there and differs: subnet 10.0.0.0/24 → 10.0.1.0/24, driver bridge → macvlan, internal false → true.',
      )
      assert.equal((await runtime.networks({}))[1]?.subnet, '10.0.0.0/24')
    },
  )
})

test('a network that somebody else makes at the same moment is fine', () =>
  withEngine(
    { 'GET /networks': () => [], 'POST /networks/create': refuse(409, 'network with name n already exists') },
    async (engine) => {
      assert.equal(await engine.runtime().ensureNetwork({ name: 'n', labels: {} }), { created: false })
    },
  ))

test('volumes: made once, listed, measured, removed', () => {
  let there = false
  return withEngine(
    {
      'GET /volumes/v': (_asked, response) =>
        there ? json(response, { Name: 'v' }) : json(response, { message: 'no such volume' }, 404),
      'POST /volumes/create': () => {
        there = true
        return { Name: 'v' }
      },
      'GET /volumes': () => ({ Volumes: [{ Name: 'v', Driver: 'local', Labels: null, Options: { o: 'x' } }] }),
      'GET /system/df': () => ({ Volumes: [{ Name: 'v', UsageData: { Size: 7 } }, { Name: 'w' }] }),
      'DELETE /volumes/v': nothing,
    },
    async (engine) => {
      const runtime = engine.runtime()
      assert.equal(await runtime.ensureVolume({ name: 'v', labels: {} }), { created: true })
      assert.equal(await runtime.ensureVolume({ name: 'v', labels: {} }), { created: false })
      assert.equal(await runtime.volumes({}), [{ name: 'v', driver: 'local', driverOptions: { o: 'x' }, labels: {} }])
      assert.equal(await runtime.volumeSizes(), { v: 7, w: 0 })
      await runtime.removeVolume('v')
    },
  )
})

test('images: listed, tagged, removed, none', () =>
  withEngine(
    {
      'GET /images/json': () => [{ Id: 'sha256:1' }, { Id: 'sha256:gone' }],
      'GET /images/sha256:1/json': () => ({
        Id: '1',
        RepoTags: null,
        Size: 3,
        Config: { Labels: { a: 'b' }, User: '' },
      }),
      'GET /images/sha256:gone/json': refuse(404, 'No such image'),
      'POST /images/a:1/tag': nothing,
      'DELETE /images/a:1': refuse(404, 'No such image: a:1'),
      'DELETE /images/b:1': refuse(409, 'conflict: unable to remove repository reference "b:1" (must force)'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      assert.equal(await runtime.images({ a: 'b' }), [
        { id: 'sha256:1', tags: [], labels: { a: 'b' }, sizeBytes: 3, user: '', createdAt: 0 },
      ])
      await runtime.tag('a:1', 'host:5000/b:2')
      assert.is(engine.asked.at(-1)?.query.get('repo'), 'host:5000/b')
      await runtime.removeImage('a:1')
      assert.is((await refusal(() => runtime.removeImage('b:1'))).code, 'RUNTIME_REFUSED')
    },
  ))

for (const moment of ['at its start', 'while it runs'] as const)
  test(`an exec that is aborted ${moment} ends what it started, found by its mark`, () => {
    const execs: { Cmd: string[]; Env: string[] }[] = []
    let killed = false
    const stop = new AbortController()
    const reason = new Error('enough')
    const switched = 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'
    return withEngine(
      {
        'POST /containers/c/exec': (asked) => {
          execs.push(JSON.parse(asked.body))
          return { Id: `e${execs.length}` }
        },
        'POST /exec/e1/start': (_asked, _response, socket) => {
          if (moment === 'at its start') stop.abort(reason)
          else socket.write(Buffer.concat([Buffer.from(switched), frame(1, 'running')]))
        },
        'POST /exec/e2/start': (_asked, _response, socket) => {
          killed = true
          socket.end(switched)
        },
        'GET /exec/e1/json': () => ({ Running: !killed, ExitCode: killed ? 143 : null, Pid: 1 }),
        'GET /exec/e2/json': () => ({ Running: false, ExitCode: 0, Pid: 1 }),
      },
      async (engine) => {
        const error = await engine
          .runtime()
          .exec('c', { command: ['long'], signal: stop.signal, user: 'me', onOutput: () => stop.abort(reason) })
          .then(
            () => undefined,
            (thrown) => thrown,
          )
        assert.is(error, reason)
        const token = execs[0]?.Env.find((entry) => entry.startsWith('DEVSTACK_EXEC='))
        assert.ok(token && execs[1]?.Cmd.join(' ').includes(token) && execs[1].Cmd.join(' ').includes('kill -TERM'))
        assert.is(execs.length, 2)
      },
    )
  })

test.run()
