import { execFile, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { connect } from '../../../lib/runtime/docker/connect.ts'
import { type Candidate, candidates } from '../../../lib/runtime/docker/discover.ts'
import { firstAnswering } from '../../../lib/runtime/docker/session.ts'
import { refusal } from '../../support/refusal.ts'
import { temporaryFolder } from '../../support/temporary.ts'
import { fakeEngine } from './fake-engine.ts'

const test = suite('finding an engine')

async function withHome(files: Readonly<Record<string, string>>, body: (home: string) => Promise<void>): Promise<void> {
  const folder = await temporaryFolder('rt-home-')
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder.path, name)), { recursive: true })
      await writeFile(join(folder.path, name), content)
    }
    await body(folder.path)
  } finally {
    await folder.remove()
  }
}

const contextFiles = (name: string, endpoint: object, tls: Readonly<Record<string, string>> = {}) => {
  const id = createHash('sha256').update(name).digest('hex')
  return {
    [`.docker/contexts/meta/${id}/meta.json`]: JSON.stringify({ Name: name, Endpoints: { docker: endpoint } }),
    ...Object.fromEntries(Object.entries(tls).map(([file, pem]) => [`.docker/contexts/tls/${id}/docker/${file}`, pem])),
  }
}

test('the order without any choice', () =>
  withHome({}, async (home) => {
    const found = await candidates({
      environment: { XDG_RUNTIME_DIR: '/run/user/7', CONTAINER_HOST: 'unix:///my/podman' },
      home,
    })
    assert.equal(
      found.map(({ text }) => text),
      [
        'unix:///var/run/docker.sock',
        'unix:///run/user/7/docker.sock',
        `unix://${home}/.docker/run/docker.sock`,
        `unix://${home}/.docker/desktop/docker.sock`,
        'unix:///my/podman',
        'unix:///run/user/7/podman/podman.sock',
        'unix:///run/podman/podman.sock',
      ],
    )
  }))

test('DOCKER_HOST is the only candidate, before any context', () =>
  withHome({ '.docker/config.json': '{"currentContext":"far"}' }, async (home) => {
    const [only, ...more] = await candidates({
      environment: { DOCKER_HOST: 'unix:///a.sock', DOCKER_CONTEXT: 'x' },
      home,
    })
    assert.is(more.length, 0)
    assert.equal(only, { source: 'DOCKER_HOST', text: 'unix:///a.sock', address: { kind: 'socket', path: '/a.sock' } })
  }))

test('contexts: the current one, the one of DOCKER_CONTEXT, with their TLS files', () =>
  withHome(
    {
      '.docker/config.json': '{"currentContext":"near"}',
      ...contextFiles('near', { Host: 'unix:///near.sock' }),
      ...contextFiles(
        'far',
        { Host: 'tcp://far:2376', SkipTLSVerify: true },
        { 'ca.pem': 'CA', 'cert.pem': 'C', 'key.pem': 'K' },
      ),
    },
    async (home) => {
      const near = await candidates({ environment: {}, home })
      assert.equal(
        near.map(({ source, text }) => [source, text]),
        [['docker context "near"', 'unix:///near.sock']],
      )
      const far = await candidates({ environment: { DOCKER_CONTEXT: 'far' }, home })
      assert.equal(far[0]?.address, {
        kind: 'tcp',
        host: 'far',
        port: 2376,
        tls: { verify: false, ca: 'CA', cert: 'C', key: 'K' },
      })
      assert.is((await candidates({ environment: { DOCKER_CONTEXT: 'default' }, home })).length > 1, true)
      assert.is(
        (await refusal(() => candidates({ environment: { DOCKER_CONTEXT: 'nope' }, home }))).code,
        'RUNTIME_CONTEXT_UNKNOWN',
      )
    },
  ))

test('a docker config that is no JSON is named', () =>
  withHome({ '.docker/config.json': '{' }, async (home) => {
    const error = await refusal(() => candidates({ environment: {}, home }))
    assert.is(error.code, 'RUNTIME_DOCKER_CONFIG')
    assert.is(error.place?.file, join(home, '.docker/config.json'))
  }))

test('tcp needs TLS, or permission', () =>
  withHome({ 'certs/ca.pem': 'CA' }, async (home) => {
    const of = (environment: Record<string, string>, allowUnencryptedTcp = false) =>
      candidates({ environment, home, allowUnencryptedTcp })
    const refused = await refusal(() => of({ DOCKER_HOST: 'tcp://example:2375' }))
    assert.is(refused.code, 'RUNTIME_UNENCRYPTED')
    assert.match(refused.message, /tcp:\/\/example:2375/)
    assert.match(refused.hint ?? '', /DEVSTACK_ALLOW_TCP=1/)
    const open = { kind: 'tcp', host: 'example', port: 2375 }
    for (const DOCKER_HOST of ['tcp://example:2375', 'example:2375'])
      assert.equal(
        (await candidates({ environment: { DOCKER_HOST, DEVSTACK_ALLOW_TCP: '1' }, home }))[0]?.address,
        open,
      )
    assert.equal((await of({ DOCKER_HOST: 'tcp://example' }, true))[0]?.address, {
      kind: 'tcp',
      host: 'example',
      port: 2375,
    })
    const tls = await of({ DOCKER_HOST: 'tcp://[::1]', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: join(home, 'certs') })
    assert.equal(tls[0]?.address, { kind: 'tcp', host: '::1', port: 2376, tls: { verify: true, ca: 'CA' } })
  }))

for (const [host, code] of [
  ['ssh://me@far', 'RUNTIME_SSH_UNSUPPORTED'],
  ['npipe:////./pipe/docker_engine', 'RUNTIME_ADDRESS_INVALID'],
  ['garbage', 'RUNTIME_ADDRESS_INVALID'],
  ['tcp://', 'RUNTIME_ADDRESS_INVALID'],
  ['tcp://a b', 'RUNTIME_ADDRESS_INVALID'],
] as const)
  test(`DOCKER_HOST=${host} is refused`, async () => {
    assert.is((await refusal(() => candidates({ environment: { DOCKER_HOST: host } }))).code, code)
  })

test('what was tried is told, with the remedy', () =>
  withHome({}, async (home) => {
    const gone = await refusal(() => connect({ environment: { DOCKER_HOST: `unix://${home}/no.sock` }, home }).info())
    assert.is(gone.code, 'RUNTIME_UNREACHABLE')
    assert.match(gone.message, /no\.sock \(DOCKER_HOST\) does not answer: there is no such socket/)
    assert.match(gone.hint ?? '', /unset DOCKER_HOST/)
    // A socket file that nobody listens on: its server is gone without having removed it.
    const dead = join(home, 'dead.sock')
    spawnSync(process.execPath, [
      '-e',
      `require('node:net').createServer().listen(${JSON.stringify(dead)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ])
    const refused = await refusal(() => connect({ environment: { DOCKER_HOST: `unix://${dead}` }, home }).info())
    assert.match(refused.message, /nobody listens/)
    assert.match(refused.hint ?? '', /systemctl start docker|dockerd/)
    assert.ok(refused.details.some((line) => line.includes(dead)))
  }))

test('a failure is not kept: an engine that starts later is found', () =>
  withHome({}, async (home) => {
    const path = join(home, 'late.sock')
    const runtime = connect({ environment: { DOCKER_HOST: `unix://${path}` }, home })
    assert.is((await refusal(() => runtime.containers({}))).code, 'RUNTIME_UNREACHABLE')
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (data: Buffer) => {
        const body = data.includes('/version') ? '{"ApiVersion":"1.41"}' : '[]'
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
      })
    })
    await new Promise<void>((resolve) => server.listen(path, resolve))
    assert.equal(await runtime.containers({}), [])
    runtime.close()
    await new Promise((resolve) => server.close(resolve))
  }))

test('the next candidate is taken when one does not answer; the error tells all of them', async () => {
  const engine = await fakeEngine({})
  try {
    const at = (source: string, path: string): Candidate => ({
      source,
      text: `unix://${path}`,
      address: { kind: 'socket', path },
    })
    const list = [at('default socket', `${engine.socket}.missing`), at('rootless Docker', dirname(engine.socket))]
    const session = await firstAnswering([...list, at('Podman', engine.socket)])
    assert.equal(
      [session.source, session.address, session.api, session.kind],
      ['Podman', `unix://${engine.socket}`, 41, 'docker'],
    )
    session.transport.close()
    const error = await refusal(() => firstAnswering(list))
    assert.is(error.code, 'RUNTIME_UNREACHABLE')
    assert.match(
      error.details.join('\n'),
      /missing \(default socket\): there is no such socket\n.*\(rootless Docker\): /,
    )
    const none = await refusal(() => firstAnswering(list.slice(0, 1)))
    assert.match(none.hint ?? '', /devstack run setup/)
  } finally {
    await engine.close()
  }
})

if (process.getuid?.() === 0)
  test('a socket without permission: the group is the remedy', async () => {
    const engine = await fakeEngine({})
    try {
      await chmod(engine.socket, 0o600)
      await chmod(dirname(engine.socket), 0o755)
      const script = `
        const { connect } = await import(${JSON.stringify(new URL('../../../lib/runtime/docker/connect.ts', import.meta.url).href)})
        process.setgroups([]); process.setgid(65534); process.setuid(65534)
        await connect({ environment: { DOCKER_HOST: ${JSON.stringify(`unix://${engine.socket}`)} }, home: '/nonexistent' }).info()
          .catch((error) => console.log(error.code + ' ' + error.message + ' ' + error.hint))`
      const child = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script])
      const { stdout } = await child
      assert.match(stdout, /RUNTIME_UNREACHABLE .*may not use it.*usermod -aG docker/s)
    } finally {
      await engine.close()
    }
  })
else console.log('not run: a socket without permission: only root can become somebody else')

test('a process ends after close, with events open and connections idle', async () => {
  const engine = await fakeEngine({
    'GET /containers/json': () => [],
    'GET /events': (_asked, response) => {
      response.writeHead(200)
      response.write('\n')
    },
  })
  try {
    const script = `
      const { connect } = await import(${JSON.stringify(new URL('../../../lib/runtime/docker/connect.ts', import.meta.url).href)})
      const runtime = connect({ environment: { DOCKER_HOST: ${JSON.stringify(`unix://${engine.socket}`)} } })
      const events = runtime.events({}, { signal: new AbortController().signal })
      await Promise.all([runtime.containers({}), runtime.containers({})])
      void events
      setTimeout(() => runtime.close(), 200)`
    const { stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 60_000,
    })
    assert.is(stderr, '')
    assert.ok(engine.asked.some(({ path }) => path === '/events'))
  } finally {
    await engine.close()
  }
})

test.run()
