/** The runtime against scripted engines: what cannot be had on demand from a real one. */
import type { Socket } from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError, formatError } from '../../../lib/errors.ts'
import type { ContainerSpec, EngineEvent } from '../../../lib/runtime/runtime.ts'
import { refusal } from '../../support/refusal.ts'
import { type FakeEngine, fakeEngine, frame, json, refuse, type Script, version } from './fake-engine.ts'

const test = suite('runtime on a scripted engine')

const spec: ContainerSpec = {
  name: 'p-web-1',
  project: 'p',
  service: 'web',
  image: 'web:1',
  environment: { A: '1' },
  labels: {},
  ports: [{ hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
  mounts: [],
  networks: [
    { network: 'one', aliases: ['web'], ipv4Address: '10.0.0.5' },
    { network: 'two', aliases: [] },
  ],
  restart: { name: 'no' },
  healthcheck: { test: ['CMD', 'true'], intervalMs: 1000, startIntervalMs: 100 },
}

/** Runs a body with an engine of these scripts, and ends it. */
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

const inspection = (more: object = {}) => ({
  Id: 'c1',
  Name: '/p-web-1',
  Image: 'sha256:1',
  Created: '2026-01-01T00:00:00Z',
  RestartCount: 0,
  State: {
    Status: 'running',
    Pid: 7,
    ExitCode: 0,
    StartedAt: '2026-01-01T00:00:00Z',
    FinishedAt: '0001-01-01T00:00:00Z',
  },
  Config: { Image: 'web:1', Labels: null, Tty: false },
  NetworkSettings: { Networks: {}, Ports: {} },
  ...more,
})

test('tells errors with the name of a container that is known by its id, and with the newest one', () =>
  withEngine(
    {
      'GET /containers/c1/json': () => inspection(),
      'POST /containers/c1/rename': (_asked, response) => void response.writeHead(204).end(),
      'POST /containers/c1/start': refuse(500, 'broken'),
      'POST /containers/c1/exec': refuse(500, 'broken'),
      'POST /containers/c2/start': refuse(500, 'broken'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      await runtime.inspect('c1')
      assert.match((await refusal(() => runtime.start('c1'))).message, 'Starting container "p-web-1"')
      assert.match(
        (await refusal(() => runtime.exec('c1', { command: ['ls'] }))).message,
        'Running ls in container "p-web-1"',
      )
      await runtime.rename('c1', 'p-web-1-leaving')
      assert.match((await refusal(() => runtime.start('c1'))).message, 'Starting container "p-web-1-leaving"')
      assert.match((await refusal(() => runtime.start('c2'))).message, 'Starting container "c2"')
    },
  ))

test('asks for nothing before the first call, and for the version once', () =>
  withEngine({ 'GET /containers/json': () => [] }, async (engine) => {
    const runtime = engine.runtime()
    assert.is(engine.asked.length, 0)
    await Promise.all([runtime.containers({ a: undefined, b: 'c' }), runtime.containers({})])
    assert.equal(
      engine.asked.map(({ path }) => path),
      ['/version', '/containers/json', '/containers/json'],
    )
    assert.is(engine.asked[1]?.query.get('filters'), '{"label":["a","b=c"]}')
    assert.is(engine.asked[1]?.query.get('all'), 'true')
  }))

for (const [api, sent] of [
  ['1.41', undefined],
  ['1.43', undefined],
  ['1.44', 100_000_000],
  ['1.99', 100_000_000],
] as const)
  test(`creates on API ${api}, ${sent ? 'with' : 'without'} start_interval`, () =>
    withEngine(
      {
        'GET /version': () => version(api),
        'POST /containers/create': () => ({ Id: 'c1', Warnings: ['careful'] }),
        'POST /networks/two/connect': () => ({}),
      },
      async (engine) => {
        assert.equal(await engine.runtime().create(spec), { id: 'c1', warnings: ['careful'] })
        const [, create, connected] = engine.asked
        const body = JSON.parse(create?.body ?? '')
        assert.is(create?.query.get('name'), 'p-web-1')
        assert.is(body.Healthcheck.StartInterval, sent)
        assert.is(body.Healthcheck.Interval, 1_000_000_000)
        assert.equal(Object.keys(body.NetworkingConfig.EndpointsConfig), ['one'])
        assert.is(body.NetworkingConfig.EndpointsConfig.one.IPAMConfig.IPv4Address, '10.0.0.5')
        assert.is(connected?.path, '/networks/two/connect')
        assert.is(body.Labels['devstack.service'], 'web')
        assert.equal(body.HostConfig.PortBindings, { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }] })
      },
    ))

test('takes away a container that lacks a network', () =>
  withEngine(
    {
      'POST /containers/create': () => ({ Id: 'c1', Warnings: null }),
      'POST /networks/two/connect': refuse(404, 'network two not found'),
      'DELETE /containers/c1': () => ({}),
    },
    async (engine) => {
      const error = await refusal(() => engine.runtime().create(spec))
      assert.is(error.code, 'RUNTIME_NO_SUCH_NETWORK')
      assert.is(engine.asked.at(-1)?.method, 'DELETE')
    },
  ))

test('refuses an engine that is too old, too new, or none at all', async () => {
  const codeOf = async (answer: unknown) => {
    let code = ''
    await withEngine({ 'GET /version': () => answer }, async (engine) => {
      code = (await refusal(() => engine.runtime().containers({}))).code
    })
    return code
  }
  assert.is(await codeOf(version('1.40')), 'RUNTIME_TOO_OLD')
  assert.is(await codeOf(version('1.99', { MinAPIVersion: '1.98' })), 'RUNTIME_TOO_NEW')
  assert.is(await codeOf({ hello: 'there' }), 'RUNTIME_ANSWER')
  assert.is(await codeOf('<html>a router</html>'), 'RUNTIME_ANSWER')
})

test('says so when an answer is malformed or cut', () =>
  withEngine(
    {
      'GET /containers/json': (_asked, response) => json(response, '[{"Id": 7'),
      'GET /networks': () => [{ Name: 7 }],
      'GET /containers/cut/json': (_asked, response, socket) => {
        response.writeHead(200, { 'content-length': '1000' })
        response.write('{"Id":')
        setImmediate(() => socket.destroy())
      },
    },
    async (engine) => {
      const runtime = engine.runtime()
      assert.is((await refusal(() => runtime.containers({}))).code, 'RUNTIME_ANSWER')
      assert.match((await refusal(() => runtime.networks({}))).message, /0\.Name/)
      assert.is((await refusal(() => runtime.inspect('cut'))).code, 'RUNTIME_GONE')
    },
  ))

test('tells an engine that dies in the middle of a call', () =>
  withEngine(
    {
      'POST /containers/c1/start': (_asked, _response, socket) => void socket.destroy(),
      'POST /containers/c1/wait': () => undefined,
    },
    async (engine) => {
      const runtime = engine.runtime()
      const error = await refusal(() => runtime.start('c1'))
      assert.is(error.code, 'RUNTIME_GONE')
      assert.is(error.exitCode, 1)
      assert.match(error.hint ?? '', /goes on from there/)
      // A write is never sent twice: it may have been done.
      assert.is(engine.asked.filter(({ path }) => path.endsWith('/start')).length, 1)
      const waiting = refusal(() => runtime.wait('c1'))
      while (!engine.asked.some(({ path }) => path.endsWith('/wait'))) await new Promise((done) => setImmediate(done))
      engine.hangUp()
      assert.is((await waiting).code, 'RUNTIME_GONE')
    },
  ))

test('reads once more when an idle connection was closed', async () => {
  let first = true
  await withEngine(
    {
      'GET /containers/json': (_asked, _response, socket) => {
        if (!first) return []
        first = false
        socket.destroy()
        return undefined
      },
    },
    async (engine) => {
      assert.equal(await engine.runtime().containers({}), [])
    },
  )
})

test('an abort ends a call at once, with its reason', () =>
  withEngine({ 'POST /containers/c1/wait': () => undefined }, async (engine) => {
    const runtime = engine.runtime()
    const stop = new AbortController()
    const reason = new Error('no longer')
    const waiting = runtime.wait('c1', { signal: stop.signal }).then(
      () => undefined,
      (error) => error,
    )
    while (!engine.asked.some(({ path }) => path.endsWith('/wait'))) await new Promise((done) => setImmediate(done))
    stop.abort(reason)
    assert.is(await waiting, reason)
    assert.is(
      await runtime.containers({}, { signal: stop.signal }).then(
        () => undefined,
        (error) => error,
      ),
      reason,
    )
  }))

const said: readonly (readonly [string, number, string])[] = [
  ['RUNTIME_DISK_FULL', 500, 'mkdir /var/lib/docker/overlay2/x: no space left on device'],
  ['RUNTIME_NAME_TAKEN', 409, 'Conflict. The container name "/p-web-1" is already in use by container "abc".'],
  [
    'RUNTIME_NAME_TAKEN',
    500,
    'container create: creating container storage: the container name "x" is already in use by 7. You have to remove that container to be able to reuse that name: that name is already in use',
  ],
  ['RUNTIME_IMAGE_MISSING', 404, 'No such image: web:1'],
  ['RUNTIME_IMAGE_MISSING', 404, 'no such image: docker.io/library/web:1: image not known'],
  ['RUNTIME_NO_SUCH_NETWORK', 404, 'network one not found'],
  ['RUNTIME_MOUNT_MISSING', 400, 'invalid mount config for type "bind": bind source path does not exist: /nowhere'],
  [
    'RUNTIME_COMMAND_MISSING',
    400,
    'OCI runtime create failed: runc create failed: exec: "nope": executable file not found in $PATH: unknown',
  ],
  [
    'RUNTIME_INIT_MISSING',
    500,
    'container create: container-init binary not found on the host: stat /usr/libexec/podman/catatonit: no such file or directory',
  ],
  ['RUNTIME_ADDRESS_TAKEN', 403, 'Address already in use'],
  ['RUNTIME_REFUSED', 500, 'something nobody has seen before'],
  ['RUNTIME_NOT_FOUND', 404, 'No such container: x'],
]
for (const [code, status, message] of said)
  test(`${code}: ${message.slice(0, 60)}`, () =>
    withEngine({ 'POST /containers/create': refuse(status, message) }, async (engine) => {
      const error = await refusal(() => engine.runtime().create(spec))
      assert.is(error.code, code)
      assert.is(error.kind, 'runtime')
      assert.match(error.message, /p-web-1|web:1/)
    }))

test('names the container that publishes a port, and says what cannot be seen', () =>
  withEngine(
    {
      'POST /containers/p-web-1/start': refuse(
        500,
        'driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:1 failed: port is already allocated',
      ),
      'GET /containers/json': () => [
        {
          Id: 'o',
          Names: ['/other'],
          State: 'running',
          Created: 1,
          Labels: { 'com.docker.compose.project': 'shop' },
          Ports: [{ IP: '0.0.0.0', PrivatePort: 80, PublicPort: 1, Type: 'tcp' }],
        },
      ],
    },
    async (engine) => {
      const error = await refusal(() => engine.runtime().start('p-web-1'))
      assert.is(error.code, 'RUNTIME_PORT_IN_USE')
      assert.is(
        error.message,
        'Container "p-web-1" cannot publish 127.0.0.1:1: container "other" of project "shop" publishes it.',
      )
      assert.match(error.hint ?? '', /docker stop other/)
    },
  ))

test('pulls with progress', () =>
  withEngine(
    {
      'POST /images/create': (_asked, response) => {
        response.writeHead(200)
        response.write(
          '{"status":"Pulling fs layer","id":"aa"}\r\n{"status":"Downloading","progressDetail":{"current":5,"to',
        )
        setTimeout(() => response.end('tal":10},"id":"aa"}\r\n{"status":"Pull complete","id":"aa"}\r\n'), 20)
      },
      'GET /images/registry.example:5000/a/web:1/json': () => ({
        Id: 'sha256:1',
        RepoTags: ['registry.example:5000/a/web:1'],
        Created: '2026-01-01T00:00:00Z',
        Size: 5,
        Config: { Labels: { a: 'b' }, User: 'me' },
      }),
    },
    async (engine) => {
      const seen: string[] = []
      const image = await engine.runtime().pull('registry.example:5000/a/web:1', {
        onProgress: ({ layer, status, done, total }) => seen.push(`${layer} ${status} ${done}/${total}`),
      })
      assert.equal(seen, ['aa Pulling fs layer 0/0', 'aa Downloading 5/10', 'aa Pull complete 0/0'])
      assert.is(image.user, 'me')
      const asked = engine.asked.find(({ path }) => path === '/images/create')
      assert.is(asked?.query.get('fromImage'), 'registry.example:5000/a/web')
      assert.is(asked?.query.get('tag'), '1')
    },
  ))

for (const [message, words] of [
  ['pull access denied for x, repository does not exist or may require docker login: denied', /wants a login/],
  ['manifest for x:9 not found: manifest unknown: manifest unknown', /no such tag/],
  [
    'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no such host',
    /no registry can be reached/,
  ],
  ['toomanyrequests: You have reached your pull rate limit.', /limits how often/],
  ['x509: certificate signed by unknown authority', /not trusted/],
] as const) {
  test(`a pull that fails, refused: ${message.slice(0, 40)}`, () =>
    withEngine(
      { 'POST /images/create': refuse(message.startsWith('pull access') ? 404 : 500, message) },
      async (engine) => {
        const error = await refusal(() => engine.runtime().pull('x:9'))
        assert.is(error.code, 'RUNTIME_PULL_FAILED')
        assert.match(error.message, words)
        assert.equal(error.details, [message])
      },
    ))
  test(`a pull that fails on the way: ${message.slice(0, 40)}`, () =>
    withEngine(
      {
        'POST /images/create': (_asked, response) =>
          json(response, `{"status":"Pulling"}\n${JSON.stringify({ error: message, errorDetail: { message } })}\n`),
      },
      async (engine) => {
        const error = await refusal(() => engine.runtime().pull('x:9'))
        assert.is(error.code, 'RUNTIME_PULL_FAILED')
        assert.match(error.message, words)
      },
    ))
}

test('reads log frames that are cut anywhere, and lines that are cut into frames', () => {
  const at = '2026-01-01T00:00:00.000000001Z'
  const wire = Buffer.concat([
    frame(1, `${at} grü`),
    frame(2, `${at} between\n`),
    frame(1, `2026-01-01T00:00:00.000000002Z ße\n`),
    frame(1, `${at} \n`),
    frame(1, `${at} no end`),
  ])
  return withEngine(
    {
      'GET /containers/c1/json': () => inspection(),
      'GET /containers/c1/logs': async (_asked, response) => {
        response.writeHead(200)
        for (let from = 0; from < wire.length; from += 5) {
          response.write(wire.subarray(from, from + 5))
          await new Promise((done) => setImmediate(done))
        }
        response.end()
      },
    },
    async (engine) => {
      const lines = []
      for await (const line of engine.runtime().logs('c1', { since: '2026-01-01T00:00:00.5Z', tail: 10 }))
        lines.push(line)
      assert.equal(lines, [
        { text: 'between', stream: 'stderr', at },
        { text: 'grüße', stream: 'stdout', at },
        { text: '', stream: 'stdout', at },
        { text: 'no end', stream: 'stdout', at },
      ])
      const asked = engine.asked.at(-1)
      assert.is(asked?.query.get('since'), '1767225600.500000000')
      assert.is(asked?.query.get('tail'), '10')
    },
  )
})

test('reads the log of a terminal, which has no frames', () =>
  withEngine(
    {
      'GET /containers/c1/json': () => inspection({ Config: { Image: 'web:1', Labels: {}, Tty: true } }),
      'GET /containers/c1/logs': (_asked, response) => {
        response.writeHead(200)
        response.write('2026-01-01T00:00:0')
        setImmediate(() => response.end('0Z hello\r\n2026-01-01T00:00:01Z there\r\n'))
      },
    },
    async (engine) => {
      const lines = []
      for await (const { text, at } of engine.runtime().logs('c1')) lines.push(`${at} ${text}`)
      assert.equal(lines, ['2026-01-01T00:00:00Z hello', '2026-01-01T00:00:01Z there'])
    },
  ))

test('a log whose engine dies fails, and one whose container is gone says so', () =>
  withEngine(
    {
      'GET /containers/c1/json': () => inspection(),
      'GET /containers/c1/logs': (_asked, response, socket) => {
        response.writeHead(200)
        response.write(frame(1, '2026-01-01T00:00:00Z one\n'))
        setTimeout(() => socket.destroy(), 20)
      },
      'GET /containers/c2/json': refuse(404, 'No such container: c2'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      const lines: string[] = []
      const error = await refusal(async () => {
        for await (const { text } of runtime.logs('c1', { follow: true })) lines.push(text)
      })
      assert.equal(lines, ['one'])
      assert.is(error.code, 'RUNTIME_GONE')
      const gone = await refusal(async () => {
        for await (const _ of runtime.logs('c2'));
      })
      assert.is(gone.code, 'RUNTIME_NOT_FOUND')
    },
  ))

const event = (action: string, id: string, nanoseconds: number, labels: Record<string, string> = {}) =>
  `${JSON.stringify({ Type: 'container', Action: action, Actor: { ID: id, Attributes: { name: `n-${id}`, ...labels } }, time: 1_767_225_600, timeNano: 1_767_225_600_000_000_000 + nanoseconds })}\n`

test('events: one stream for all, filtered here, going on after a break without a repetition', async () => {
  let opened = 0
  const since: (string | null)[] = []
  await withEngine(
    {
      'GET /events': (asked, response, socket) => {
        opened += 1
        since.push(asked.query.get('since'))
        response.writeHead(200)
        if (opened === 1) {
          response.write(event('start', 'a', 1_000_000, { p: 'x' }) + event('start', 'b', 2_000_000, { p: 'y' }))
          setTimeout(() => socket.destroy(), 20)
        } else {
          response.write(
            event('start', 'b', 2_000_000, { p: 'y' }) +
              event('exec_create: sh -c "PASSWORD=1"', 'a', 3_000_000, { p: 'x' }),
          )
          response.write(event('die', 'a', 4_000_000, { p: 'x', exitCode: '3' }))
        }
      },
    },
    async (engine) => {
      const runtime = engine.runtime()
      const stop = new AbortController()
      const collect = async (filter: Record<string, string | undefined>, last: (seen: EngineEvent) => boolean) => {
        const seen: EngineEvent[] = []
        for await (const one of runtime.events(filter, { signal: stop.signal })) {
          seen.push(one)
          if (last(one)) break
        }
        return seen
      }
      const [all, mine] = await Promise.all([
        collect({ p: undefined }, ({ action }) => action === 'die'),
        collect({ p: 'x' }, ({ action }) => action === 'die'),
      ])
      assert.equal(
        all.map(({ action, id }) => `${action} ${id}`),
        ['start a', 'start b', 'exec_create a', 'die a'],
      )
      assert.equal(
        mine.map(({ action }) => action),
        ['start', 'exec_create', 'die'],
      )
      assert.is(all.at(-1)?.exitCode, 3)
      assert.is(all.at(-1)?.name, 'n-a')
      assert.is(opened, 2)
      // From the last one on, or a little before: numbers of JSON are not fine enough for nanoseconds.
      assert.ok(Math.abs(Number(since[1]) - 1_767_225_600.002) < 1e-5, String(since[1]))
      stop.abort()
    },
  )
})

test('events end without an error when nobody listens any more, and fail when the engine stays away', async () => {
  const engine = await fakeEngine({
    'GET /events': (_asked, response) => {
      response.writeHead(200)
      response.write(' ')
    },
  })
  const runtime = engine.runtime()
  const stop = new AbortController()
  const listening = (async () => {
    for await (const _ of runtime.events({}, { signal: stop.signal }));
    return 'ended'
  })()
  while (!engine.asked.some(({ path }) => path === '/events')) await new Promise((done) => setImmediate(done))
  stop.abort()
  assert.is(await listening, 'ended')

  const lost = refusal(async () => {
    for await (const _ of runtime.events({}, { signal: new AbortController().signal }));
  })
  while (engine.asked.filter(({ path }) => path === '/events').length < 2)
    await new Promise((done) => setImmediate(done))
  await Promise.all([engine.closeServer(), lost.then((error) => assert.is(error.code, 'RUNTIME_GONE'))])
  await engine.close()
})

const switched =
  'HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'

test('exec: streams apart, output that came with the switch, an exit code that is late', async () => {
  let asks = 0
  await withEngine(
    {
      'POST /containers/c1/exec': () => ({ Id: 'e1' }),
      'POST /exec/e1/start': (_asked, _response, socket: Socket) => {
        socket.write(Buffer.concat([Buffer.from(switched), frame(1, 'out'), frame(2, 'err').subarray(0, 4)]))
        setTimeout(() => {
          socket.write(frame(2, 'err').subarray(4))
          socket.end()
        }, 20)
      },
      'GET /exec/e1/json': () => {
        asks += 1
        return asks < 3 ? { Running: true, ExitCode: null, Pid: 9 } : { Running: false, ExitCode: 5, Pid: 9 }
      },
    },
    async (engine) => {
      const answer = await engine.runtime().exec('c1', { command: ['x'], environment: { A: 'b' }, user: 'me' })
      assert.equal(answer, { exitCode: 5, stdout: 'out', stderr: 'err' })
      const body = JSON.parse(engine.asked.find(({ path }) => path.endsWith('/exec'))?.body ?? '')
      assert.equal([body.Cmd, body.Env, body.User, body.AttachStdin], [['x'], ['A=b'], 'me', false])
    },
  )
})

test('exec: refusals keep their codes', () =>
  withEngine(
    {
      'POST /containers/c1/exec': refuse(409, 'Container c1 is not running'),
      'POST /containers/c2/exec': refuse(409, 'Container c2 is paused, unpause the container before exec'),
      'POST /containers/c3/exec': refuse(404, 'No such container: c3'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      const codes = []
      for (const id of ['c1', 'c2', 'c3']) codes.push((await refusal(() => runtime.exec(id, { command: ['x'] }))).code)
      assert.equal(codes, ['RUNTIME_NOT_RUNNING', 'RUNTIME_PAUSED', 'RUNTIME_NOT_FOUND'])
    },
  ))

test('removing waits for a removal that is under way, and forgives what is gone', () =>
  withEngine(
    {
      'DELETE /containers/c1': refuse(409, 'removal of container c1 is already in progress'),
      'POST /containers/c1/wait': (asked) => ({ StatusCode: asked.query.get('condition') === 'removed' ? 0 : 1 }),
      'DELETE /containers/c2': refuse(404, 'No such container: c2'),
      'DELETE /networks/n': refuse(404, 'network n not found'),
      'DELETE /volumes/v': refuse(409, 'remove v: volume is in use - [abc]'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      await runtime.remove('c1')
      await runtime.remove('c2')
      await runtime.removeNetwork('n')
      assert.is((await refusal(() => runtime.removeVolume('v'))).code, 'RUNTIME_VOLUME_IN_USE')
    },
  ))

test('names the network that holds a range, or says that none of the engine does', () =>
  withEngine(
    {
      'GET /networks': (asked) =>
        asked.query.has('filters')
          ? []
          : [{ Id: '1', Name: 'shop_default', Driver: 'bridge', IPAM: { Config: [{ Subnet: '10.9.0.0/16' }] } }],
      'POST /networks/create': refuse(403, 'Pool overlaps with other one on this address space'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      const held = await refusal(() => runtime.ensureNetwork({ name: 'mine', subnet: '10.9.7.0/24', labels: {} }))
      assert.is(held.code, 'RUNTIME_SUBNET_TAKEN')
      assert.is(held.message, 'Network "mine" cannot have 10.9.7.0/24: network "shop_default" holds 10.9.0.0/16.')
      const routed = await refusal(() => runtime.ensureNetwork({ name: 'mine', subnet: '10.77.0.0/24', labels: {} }))
      assert.match(routed.message, /no network of the engine/)
    },
  ))

test('closes, and then says so', () =>
  withEngine({ 'GET /containers/json': () => [] }, async (engine) => {
    const runtime = engine.runtime()
    await runtime.containers({})
    runtime.close()
    assert.is((await refusal(() => runtime.containers({}))).code, 'RUNTIME_CLOSED')
  }))

test.run()
