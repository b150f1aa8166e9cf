import { createServer } from 'node:net'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { EngineInfo } from '../../../lib/index.ts'
import type { Host } from '../../../tasks/stack/host.ts'
import {
  checkEngine,
  checkHost,
  checkPorts,
  compareVersions,
  formatFindings,
  verdict,
  type WantedPort,
} from '../../../tasks/stack/preflight.ts'

const gib = 2 ** 30
const host: Host = {
  platform: 'linux',
  architecture: 'x64',
  release: { PRETTY_NAME: 'Debian GNU/Linux 12 (bookworm)', ID: 'debian' },
  nodeVersion: '24.1.0',
  root: true,
  systemd: false,
  cpus: 4,
  memoryBytes: 16 * gib,
  diskFreeBytes: 50 * gib,
  programs: {},
}
const engine: EngineInfo = {
  kind: 'docker',
  version: '20.10.24+dfsg1',
  apiVersion: '1.41',
  source: 'default socket',
  address: 'unix:///var/run/docker.sock',
  rootless: false,
  cpus: 4,
  memoryBytes: 16 * gib,
  operatingSystem: 'Debian GNU/Linux 12 (bookworm)',
  architecture: 'x86_64',
  rootDirectory: '/var/lib/docker',
  warnings: [],
}

const machine = suite('preflight of the machine')

machine('finds nothing wrong with a good one', () => {
  const findings = checkHost(host, engine)
  assert.is(verdict(findings), 'ok')
  assert.equal(
    findings.map(({ check }) => check),
    ['os', 'architecture', 'node', 'memory', 'processors', 'disk'],
  )
  assert.equal(JSON.parse(JSON.stringify(findings)), findings)
})

const bad: readonly [Partial<Host>, string, 'warning' | 'error', RegExp][] = [
  [{ platform: 'win32', release: {} }, 'os', 'error', /win32 is not supported/],
  [{ platform: 'darwin', release: {} }, 'os', 'warning', /Linux only/],
  [{ architecture: 'ia32' }, 'architecture', 'error', /ia32 is not supported/],
  [{ nodeVersion: '20.20.2' }, 'node', 'error', /Node 20\.20\.2 is older than 22\.18\.0/],
  [{ memoryBytes: 1 * gib }, 'memory', 'error', /1\.0 GiB of memory; at least 1\.5 GiB is needed/],
  [{ memoryBytes: 2 * gib }, 'memory', 'warning', /2\.0 GiB of memory; 4\.0 GiB is advised/],
  [{ cpus: 1 }, 'processors', 'warning', /1 processor; 2 is advised/],
  [{ diskFreeBytes: 1 * gib }, 'disk', 'error', /1\.0 GiB free on the disk; at least 3\.0 GiB/],
  [{ diskFreeBytes: 5 * gib }, 'disk', 'warning', /5\.0 GiB free on the disk; 10\.0 GiB is advised/],
]
for (const [change, check, level, message] of bad) {
  machine(`gives ${level} and a remedy for ${JSON.stringify(change)}`, () => {
    const findings = checkHost({ ...host, ...change })
    const wrong = findings.filter((finding) => finding.level !== 'ok')
    assert.is(wrong.length, 1)
    assert.is(wrong[0]!.check, check)
    assert.is(wrong[0]!.level, level)
    assert.match(wrong[0]!.message, message)
    assert.ok(wrong[0]!.remedy)
    assert.is(verdict(findings), level)
  })
}

machine("counts the engine's machine where it is the smaller one", () => {
  const findings = checkHost(host, { ...engine, memoryBytes: 2 * gib, operatingSystem: 'Docker Desktop' })
  const memory = findings.find(({ check }) => check === 'memory')
  assert.is(memory?.level, 'warning')
  assert.match(memory?.remedy ?? '', 'Docker Desktop')
})

machine.run()

const engines = suite('preflight of the engine')

engines('accepts Docker Engine 20.10 and Podman 4', () => {
  assert.is(checkEngine(engine).level, 'ok')
  assert.match(checkEngine(engine).message, 'unix:///var/run/docker.sock (default socket)')
  assert.is(checkEngine({ ...engine, kind: 'podman', version: '4.3.1', apiVersion: '1.41' }).level, 'ok')
})

engines('refuses older ones and none, with a remedy', () => {
  for (const finding of [
    checkEngine({ ...engine, version: '19.03.15', apiVersion: '1.40' }),
    checkEngine({ ...engine, kind: 'podman', version: '3.4.4', apiVersion: '1.40' }),
    checkEngine(undefined),
  ]) {
    assert.is(finding.level, 'error')
    assert.ok(finding.remedy)
  }
})

engines('compares versions as numbers, in one total order', () => {
  assert.is(compareVersions('1.9', '1.41'), -1)
  assert.is(compareVersions('20.10.24+dfsg1', '20.10.24'), 0)
  assert.is(compareVersions('4', '4.0.0'), 0)
  const version = fc.array(fc.nat(99), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.'))
  fc.assert(
    fc.property(version, version, version, (a, b, c) => {
      assert.is(compareVersions(a, b), 0 - compareVersions(b, a) || 0)
      if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) assert.ok(compareVersions(a, c) <= 0)
    }),
  )
})

engines.run()

const ports = suite('preflight of ports')
const nobody = { ours: () => false, holder: async () => 'it is held by the process nginx (pid 7)' }

async function withHeldPort(use: (port: WantedPort) => Promise<void>): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const address = server.address() as { readonly port: number }
    await use({ service: 'web', hostIp: '127.0.0.1', port: address.port })
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

ports('names the holder of a port in use', () =>
  withHeldPort(async (held) => {
    const [finding, ...more] = await checkPorts([held], nobody)
    assert.equal(more, [])
    assert.is(finding?.level, 'error')
    assert.is(
      finding?.message,
      `Port 127.0.0.1:${held.port} for web is in use: it is held by the process nginx (pid 7).`,
    )
    assert.match(formatFindings([finding!]).join('\n'), '→ End what holds it')
  }),
)

ports('accepts one that the project itself holds, and free ones', () =>
  withHeldPort(async (held) => {
    const findings = await checkPorts([held, { ...held, service: 'free', port: 0 }], {
      ...nobody,
      ours: (port) => port === held,
    })
    assert.equal(findings, [{ check: 'port', level: 'ok', message: '2 ports free.' }])
  }),
)

ports('refuses one port for two services, and an address of another machine', async () => {
  const web: WantedPort = { service: 'web', hostIp: '127.0.0.1', port: 61_999 }
  for (const hostIp of ['127.0.0.1', '0.0.0.0']) {
    const [finding, ...more] = await checkPorts([web, { ...web, service: 'api', hostIp }], {
      ...nobody,
      ours: () => true,
    })
    assert.equal(more, [])
    assert.is(finding?.message, 'Port 61999 is published by both web and api.')
  }
  const away = await checkPorts([{ ...web, hostIp: '192.0.2.1' }], nobody)
  assert.match(away[0]?.message ?? '', 'does not have')
})

ports('has nothing to say when there are none', async () => {
  assert.equal(await checkPorts([], nobody), [])
})

ports.run()
