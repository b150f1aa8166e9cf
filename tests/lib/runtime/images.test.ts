/** Building, importing and copying on a scripted engine, and what Podman needs. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DevstackError, formatError } from '../../../lib/errors.ts'
import { createBody } from '../../../lib/runtime/docker/body.ts'
import { stepCollector } from '../../../lib/runtime/docker/build.ts'
import type { ContainerSpec } from '../../../lib/runtime/runtime.ts'
import { refusal } from '../../support/refusal.ts'
import { temporaryFolder } from '../../support/temporary.ts'
import { type FakeEngine, fakeEngine, json, refuse, type Script, version } from './fake-engine.ts'

const test = suite('images and archives on a scripted engine')

async function withEngine(
  scripts: Readonly<Record<string, Script>>,
  body: (engine: FakeEngine, context: string) => Promise<void>,
) {
  const engine = await fakeEngine(scripts)
  const folder = await temporaryFolder('rt-build-')
  try {
    await writeFile(join(folder.path, 'Dockerfile'), 'FROM x\n')
    await body(engine, folder.path)
  } catch (thrown) {
    // uvu takes `details` for a text and would lose the test.
    throw thrown instanceof DevstackError ? new Error(`${thrown.code}: ${formatError(thrown)}`) : thrown
  } finally {
    await engine.close()
    await folder.remove()
  }
}

const messages =
  (...all: readonly object[]): Script =>
  (_asked, response) =>
    json(response, all.map((message) => `${JSON.stringify(message)}\r\n`).join(''))
const image = {
  Id: 'sha256:1',
  RepoTags: ['docker.io/library/t:1'],
  Created: '2026-01-01T00:00:00Z',
  Size: 1,
  Config: null,
}

test('a build sends context and options, and streams its lines', () =>
  withEngine(
    {
      'POST /build': messages(
        { stream: 'Step 1/1 : FROM x\n' },
        { status: 'Pulling', id: 'aa' },
        { stream: 'half ' },
        { stream: 'a line\nand more' },
        { aux: { ID: 'sha256:1' } },
      ),
      'GET /images/sha256:1/json': () => image,
    },
    async (engine, context) => {
      const lines: string[] = []
      const built = await engine.runtime().build({
        context,
        tags: ['t:1', 't:latest'],
        args: { A: 'b' },
        labels: { l: 'm' },
        target: 'x',
        noCache: true,
        pull: true,
        platform: 'linux/amd64',
        network: 'host',
        extraHosts: ['a:1.2.3.4'],
        onOutput: (line) => lines.push(line),
      })
      assert.equal(built.tags, ['t:1'])
      assert.equal(lines, ['Step 1/1 : FROM x', 'aa: Pulling', 'half a line', 'and more'])
      const query = engine.asked.find(({ path }) => path === '/build')?.query
      assert.equal(query?.getAll('t'), ['t:1', 't:latest'])
      assert.is(query?.get('buildargs'), '{"A":"b"}')
      assert.is(query?.get('dockerfile'), 'Dockerfile')
      assert.is(query?.get('target'), 'x')
      assert.match(query?.get('labels') ?? '', /"l":"m","devstack\.context":"[0-9a-f]{64}"/)
      assert.is(query?.get('version'), null)
    },
  ))

test('a build that fails names its step; one that fills the disk says so; one that is refused says why', () =>
  withEngine(
    {
      'POST /build': messages(
        { stream: 'Step 1/2 : FROM x\n' },
        { stream: 'early\n' },
        { stream: 'Step 2/2 : RUN make\n ---> Running in 7\n' },
        { stream: '\u001b[31mno rule to make target\u001b[0m\n' },
        { errorDetail: { message: 'returned a non-zero code: 2' }, error: 'returned a non-zero code: 2' },
      ),
    },
    async (engine, context) => {
      const error = await refusal(() => engine.runtime().build({ context, tags: ['t:1'] }))
      assert.is(error.code, 'RUNTIME_BUILD_FAILED')
      assert.is(error.message, 'Image "t:1" does not build: it fails at step 2/2: RUN make.')
      assert.equal(error.details, ['no rule to make target', 'returned a non-zero code: 2'])
      await withEngine({ 'POST /build': messages({ error: 'write /x: no space left on device' }) }, async (full) => {
        assert.is((await refusal(() => full.runtime().build({ context, tags: ['t:1'] }))).code, 'RUNTIME_DISK_FULL')
      })
      await withEngine(
        { 'POST /build': refuse(400, 'dockerfile parse error line 1: unknown instruction: FORM') },
        async (refusing) => {
          const refused = await refusal(() => refusing.runtime().build({ context, tags: ['t:1'] }))
          assert.is(refused.code, 'RUNTIME_BUILD_FAILED')
          assert.match(refused.message, /unknown instruction: FORM/)
        },
      )
      await withEngine({ 'POST /build': (_asked, _response, socket) => void socket.destroy() }, async (dying) => {
        assert.is((await refusal(() => dying.runtime().build({ context, tags: ['t:1'] }))).code, 'RUNTIME_GONE')
      })
    },
  ))

test('the output of a step is kept to its end', () => {
  const steps = stepCollector()
  steps.line('before any step')
  assert.is(steps.last(), undefined)
  steps.line('STEP 1/1: RUN many')
  for (let index = 0; index < 100; index += 1) steps.line(`line ${index}`)
  assert.is(steps.last()?.title, 'step 1/1: RUN many')
  assert.is(steps.last()?.output.length, 60)
  assert.is(steps.last()?.output.at(-1), 'line 99')
})

test('imports, then names', () =>
  withEngine(
    {
      'POST /images/create': messages({ status: `sha256:${'a'.repeat(64)}` }),
      [`POST /images/sha256:${'a'.repeat(64)}/tag`]: () => ({}),
      'GET /images/t:1/json': () => image,
    },
    async (engine) => {
      assert.is((await engine.runtime().importImage(Readable.from(['tar']), 't:1')).id, 'sha256:1')
      const created = engine.asked.find(({ path }) => path === '/images/create')
      assert.is(created?.body, 'tar')
      assert.is(created?.query.get('fromSrc'), '-')
      assert.is(engine.asked.find(({ path }) => path.endsWith('/tag'))?.query.get('tag'), '1')
    },
  ))

test('copies out and in', () =>
  withEngine(
    {
      'GET /containers/c1/archive': (asked, response) => void response.end(`tar of ${asked.query.get('path')}`),
      'PUT /containers/c1/archive': () => ({}),
      'PUT /containers/c2/archive': refuse(404, 'No such container: c2'),
    },
    async (engine) => {
      const runtime = engine.runtime()
      const out = await runtime.copyOut('c1', '/a b')
      assert.is((await buffer(out as Readable)).toString(), 'tar of /a b')
      await runtime.copyIn('c1', '/in', Buffer.from('bytes'))
      assert.is(engine.asked.at(-1)?.body, 'bytes')
      await runtime.copyIn('c1', '/in', Readable.from(['stream']))
      assert.is(engine.asked.at(-1)?.body, 'stream')
      assert.is((await refusal(() => runtime.copyIn('c2', '/', Buffer.from('')))).code, 'RUNTIME_NOT_FOUND')
    },
  ))

test('a terminal: bytes both ways, its size, the exit code', () =>
  withEngine(
    {
      'POST /containers/c1/exec': () => ({ Id: 'e1' }),
      'POST /exec/e1/start': (_asked, _response, socket) => {
        socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n$ ')
        socket.on('data', (data: Buffer) => {
          if (data.includes('exit')) socket.end('bye\r\n')
        })
      },
      'POST /exec/e1/resize': () => ({}),
      'GET /exec/e1/json': () => ({ Running: false, ExitCode: 3, Pid: 0 }),
    },
    async (engine) => {
      const stdin = new PassThrough()
      const stdout = new PassThrough()
      let seen = ''
      stdout.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        if (seen === '$ ') stdin.write('exit\n')
      })
      const code = await engine.runtime().execInteractive('c1', {
        command: ['sh'],
        stdin,
        stdout,
        tty: true,
        size: { columns: 100, rows: 30 },
      })
      assert.is(code, 3)
      assert.is(seen, '$ bye\r\n')
      const resize = engine.asked.find(({ path }) => path.endsWith('/resize'))
      assert.equal([resize?.query.get('w'), resize?.query.get('h')], ['100', '30'])
    },
  ))

test('on Podman: says so, tells names as people write them', () =>
  withEngine(
    {
      'GET /version': () => version('1.41', { Version: '4.3.1', Components: [{ Name: 'Podman Engine' }] }),
      'GET /info': () => ({ NCPU: 2, MemTotal: 7, SecurityOptions: ['name=rootless'], Warnings: null }),
      'GET /containers/json': () => [
        {
          Id: 'c1',
          Names: ['/a'],
          Image: 'docker.io/library/debian:12',
          State: 'stopped',
          Created: '2026-01-01T00:00:00Z',
        },
      ],
    },
    async (engine) => {
      const runtime = engine.runtime()
      const info = await runtime.info()
      assert.equal([info.kind, info.version, info.rootless, info.cpus], ['podman', '4.3.1', true, 2])
      const [container] = await runtime.containers({})
      assert.equal(
        [container?.image, container?.state, container?.createdAt],
        ['debian:12', 'exited', 1_767_225_600_000],
      )
    },
  ))

test('every field of a spec has its place in the body', () => {
  const spec: ContainerSpec = {
    name: 'n',
    project: 'p',
    service: 's',
    image: 'i',
    command: ['c'],
    entrypoint: ['e'],
    environment: { A: 'b' },
    labels: { own: 'x' },
    user: 'u',
    workingDirectory: '/w',
    hostname: 'h',
    domainname: 'd',
    ports: [{ hostIp: '', hostPort: 0, containerPort: 53, protocol: 'udp' }],
    expose: ['80', '81/udp'],
    mounts: [
      { type: 'bind', source: '/a', target: '/b', readOnly: true, create: true },
      { type: 'volume', source: '', target: '/anonymous', readOnly: false, copy: false },
      { type: 'tmpfs', target: '/t', sizeBytes: 9, mode: 0o700, uid: 5, gid: 6 },
    ],
    networks: [],
    networkMode: 'host',
    extraHosts: ['a:1'],
    dns: ['1.1.1.1'],
    dnsSearch: ['x'],
    restart: { name: 'on-failure', maximumRetries: 2 },
    stopSignal: 'SIGINT',
    stopGraceMs: 1500,
    init: true,
    tty: true,
    stdinOpen: true,
    privileged: true,
    readOnly: true,
    capAdd: ['A'],
    capDrop: ['B'],
    securityOpt: ['s'],
    groupAdd: ['g'],
    sysctls: { k: 'v' },
    ulimits: [{ name: 'nofile', soft: 1, hard: 2 }],
    devices: [{ host: '/dev/a', container: '/dev/b', permissions: 'rw' }],
    shmSizeBytes: 1,
    memoryBytes: 2,
    memoryReservationBytes: 3,
    memorySwapBytes: 4,
    cpus: 0.5,
    cpuShares: 5,
    cpuset: '0',
    pidsLimit: 6,
    oomScoreAdj: 7,
    ipc: 'host',
    pid: 'host',
    logging: { driver: 'json-file', options: { 'max-size': '1m' } },
  }
  const body = createBody(spec, { kind: 'docker', api: 41, directory: '/checkout' })
  const host = body['HostConfig'] as Readonly<Record<string, unknown>>
  assert.is(body['StopTimeout'], 2)
  assert.equal(body['ExposedPorts'], { '53/udp': {}, '80/tcp': {}, '81/udp': {} })
  assert.equal(host['Binds'], ['/a:/b:ro'])
  assert.equal(host['Mounts'], [
    { Type: 'volume', Target: '/anonymous', ReadOnly: false, VolumeOptions: { NoCopy: true } },
  ])
  assert.equal(host['Tmpfs'], { '/t': 'rw,size=9,mode=0700,uid=5,gid=6' })
  assert.equal(host['PortBindings'], { '53/udp': [{ HostIp: '', HostPort: '' }] })
  assert.is(host['NanoCpus'], 500_000_000)
  assert.is(host['NetworkMode'], 'host')
  assert.equal(host['Ulimits'], [{ Name: 'nofile', Soft: 1, Hard: 2 }])
  assert.equal(host['LogConfig'], { Type: 'json-file', Config: { 'max-size': '1m' } })
  const labels = body['Labels'] as Readonly<Record<string, string>>
  assert.equal([labels['own'], labels['devstack.directory'], labels['devstack.project']], ['x', '/checkout', 'p'])
  const podman = createBody(spec, { kind: 'podman', api: 41 })['HostConfig'] as Readonly<Record<string, unknown>>
  assert.equal(podman['Tmpfs'], { '/t': 'rw,size=9,mode=0700,U' })
  assert.throws(
    () =>
      createBody(
        { ...spec, mounts: [{ type: 'bind', source: '/a:b', target: '/c', readOnly: false, create: true }] },
        { kind: 'docker', api: 41 },
      ),
    /colon/,
  )
})

test.run()
