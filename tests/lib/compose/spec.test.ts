import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  buildOptions,
  composeDependencies,
  containerSpec,
  imageOf,
  inlineFiles,
  networkSpecs,
  volumeSpecs,
} from '../../../lib/compose/index.ts'
import { load } from './folder.ts'

const test = suite('compose container specs')
const options = { project: 'p', image: 'sha256:1', configDirectory: '/run/devstack' }

async function spec(lines: string, rest = '') {
  const body = lines
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
  const model = await load(
    `services:\n  web:\n    image: i\n${body}\n  db: { image: i, container_name: the-db }\n${rest}\n`,
  )
  return containerSpec(model, model.services['web']!, options)
}

test('a bare service', async () => {
  assert.equal(await spec('user: me'), {
    name: 'p-web-1',
    project: 'p',
    service: 'web',
    image: 'sha256:1',
    environment: {},
    labels: {},
    user: 'me',
    ports: [],
    mounts: [],
    networks: [{ network: 'p_default', aliases: ['web'] }],
    restart: { name: 'no' },
  })
})

test('ports go to 127.0.0.1 unless the file names another address', async () => {
  const { ports } = await spec('ports: ["80", "81:81", "0.0.0.0:82:82/udp"]')
  assert.equal(ports, [
    { hostIp: '127.0.0.1', hostPort: 0, containerPort: 80, protocol: 'tcp' },
    { hostIp: '127.0.0.1', hostPort: 81, containerPort: 81, protocol: 'tcp' },
    { hostIp: '0.0.0.0', hostPort: 82, containerPort: 82, protocol: 'udp' },
  ])
})

test('mounts of every type, configs and secrets read-only', async () => {
  const lines = `volumes: ["v:/v:ro", "/a:/a", /anon, { type: volume, source: e, target: /e, volume: { nocopy: true } }, { type: tmpfs, target: /t, tmpfs: { size: 1m } }]
tmpfs: "/run:uid=7"
configs: [c]
secrets: [s]`
  const rest =
    'volumes: { v: , e: { external: true, name: real } }\nconfigs: { c: { content: hello } }\nsecrets: { s: { file: /etc/s } }'
  const { mounts } = await spec(lines, rest)
  assert.equal(mounts, [
    { type: 'volume', source: 'p_v', target: '/v', readOnly: true },
    { type: 'bind', source: '/a', target: '/a', readOnly: false, create: true },
    { type: 'volume', source: '', target: '/anon', readOnly: false },
    { type: 'volume', source: 'real', target: '/e', readOnly: false, copy: false },
    { type: 'tmpfs', target: '/t', sizeBytes: 1048576 },
    { type: 'tmpfs', target: '/run', uid: 7 },
    { type: 'bind', source: '/run/devstack/config-c-2cf24dba5fb0', target: '/c', readOnly: true, create: false },
    { type: 'bind', source: '/etc/s', target: '/run/secrets/s', readOnly: true, create: false },
  ])
})

test('texts are written through the callback, under a name that changes with the text', async () => {
  const model = await load(
    'services: { web: { image: i, configs: [c], secrets: [s] } }\nconfigs: { c: { content: one } }\nsecrets: { s: { environment: S } }',
    { environment: { S: 'two' } },
  )
  const web = model.services['web']!
  const written: (readonly [string, string])[] = []
  const { mounts } = containerSpec(model, web, {
    ...options,
    writeFile: (name, content) => {
      written.push([name, content])
      return `/there/${name}`
    },
  })
  assert.equal(
    written.map(([name, content]) => [name.replace(/-[0-9a-f]{12}$/, '-#'), content]),
    [
      ['config-c-#', 'one'],
      ['secret-s-#', 'two'],
    ],
  )
  assert.equal(
    mounts.map((mount) => mount.type === 'bind' && mount.source),
    written.map(([name]) => `/there/${name}`),
  )
  assert.equal(
    inlineFiles(model, web),
    written.map(([name, content]) => ({ name, content })),
  )
})

test('networks in order of priority, with names, addresses and aliases', async () => {
  const lines = 'networks: { a: , b: { priority: 5, aliases: [x, web], ipv4_address: 10.0.0.5 }, c: }'
  const { networks } = await spec(lines, 'networks: { a: , b: { name: bb }, c: { external: true } }')
  assert.equal(networks, [
    { network: 'bb', aliases: ['web', 'x'], ipv4Address: '10.0.0.5' },
    { network: 'p_a', aliases: ['web'] },
    { network: 'c', aliases: ['web'] },
  ])
})

test('names can be given', async () => {
  const model = await load('services: { web: { image: i, volumes: ["v:/v"] } }\nvolumes: { v: }')
  const made = containerSpec(model, model.services['web']!, {
    ...options,
    networkName: (key) => `n-${key}`,
    volumeName: (key) => `v-${key}`,
    labels: { a: 'b' },
  })
  assert.is(made.networks[0]?.network, 'n-default')
  assert.is(made.mounts[0]?.type === 'volume' && made.mounts[0].source, 'v-v')
  assert.equal(made.labels, { a: 'b' })
})

test('namespaces of other services mean their containers', async () => {
  const made = await spec('network_mode: "service:db"\npid: "service:db"\nipc: host')
  assert.equal(
    [made.networkMode, made.pid, made.ipc, made.networks],
    ['container:the-db', 'container:the-db', 'host', []],
  )
})

test('limits: own keys first, then deploy', async () => {
  const deploy =
    'deploy: { resources: { limits: { cpus: 0.5, memory: 1m, pids: 5 }, reservations: { cpus: 0.25, memory: 1k } } }'
  const one = await spec(deploy)
  assert.equal(
    [one.cpus, one.memoryBytes, one.pidsLimit, one.cpuShares, one.memoryReservationBytes],
    [0.5, 1048576, 5, 256, 1024],
  )
  const two = await spec(`${deploy}\ncpus: 2\nmem_limit: 2m\npids_limit: 7\ncpu_shares: 9\nmem_reservation: 2k`)
  assert.equal(
    [two.cpus, two.memoryBytes, two.pidsLimit, two.cpuShares, two.memoryReservationBytes],
    [2, 2097152, 7, 9, 2048],
  )
  assert.is((await spec('cpu_quota: 50000')).cpus, 0.5)
  assert.is((await spec('cpu_quota: 50000\ncpu_period: 25000')).cpus, 2)
})

test('restart policies', async () => {
  assert.equal((await spec('restart: always')).restart, { name: 'always' })
  assert.equal((await spec('restart: on-failure:5')).restart, { name: 'on-failure', maximumRetries: 5 })
  assert.equal((await spec('deploy: { restart_policy: { condition: any } }')).restart, { name: 'always' })
  assert.equal((await spec('deploy: { restart_policy: { condition: none } }')).restart, { name: 'no' })
  assert.equal((await spec('deploy: { restart_policy: { condition: on-failure, max_attempts: 2 } }')).restart, {
    name: 'on-failure',
    maximumRetries: 2,
  })
})

test('everything else goes through', async () => {
  const made = await spec(`command: [a]
entrypoint: [b]
hostname: h
domainname: d
working_dir: /w
platform: linux/amd64
stop_signal: SIGINT
stop_grace_period: 1m
init: true
tty: true
stdin_open: true
privileged: true
read_only: true
cap_add: [A]
cap_drop: [B]
security_opt: [C]
group_add: [D]
sysctls: { s: 1 }
ulimits: { nofile: 5 }
devices: ["/dev/x:/dev/y:r"]
shm_size: 1m
memswap_limit: 2m
cpuset: 0-1
oom_score_adj: -5
extra_hosts: ["h:1.1.1.1"]
dns: [1.1.1.1]
dns_search: [e.com]
expose: [80]
logging: { options: { a: b } }
healthcheck: { test: [CMD, x], interval: 1s, timeout: 2s, start_period: 3s, start_interval: 4s, retries: 5 }
labels: { l: m }
environment: { E: F }`)
  const {
    name: _name,
    project: _project,
    service: _service,
    image: _image,
    ports: _ports,
    mounts: _mounts,
    networks: _networks,
    restart: _restart,
    ...rest
  } = made
  assert.equal(rest, {
    platform: 'linux/amd64',
    command: ['a'],
    entrypoint: ['b'],
    environment: { E: 'F' },
    labels: { l: 'm' },
    workingDirectory: '/w',
    hostname: 'h',
    domainname: 'd',
    expose: ['80'],
    extraHosts: ['h:1.1.1.1'],
    dns: ['1.1.1.1'],
    dnsSearch: ['e.com'],
    healthcheck: {
      test: ['CMD', 'x'],
      intervalMs: 1000,
      timeoutMs: 2000,
      startPeriodMs: 3000,
      startIntervalMs: 4000,
      retries: 5,
    },
    stopSignal: 'SIGINT',
    stopGraceMs: 60000,
    init: true,
    tty: true,
    stdinOpen: true,
    privileged: true,
    readOnly: true,
    capAdd: ['A'],
    capDrop: ['B'],
    securityOpt: ['C'],
    groupAdd: ['D'],
    sysctls: { s: '1' },
    ulimits: [{ name: 'nofile', soft: 5, hard: 5 }],
    devices: [{ host: '/dev/x', container: '/dev/y', permissions: 'r' }],
    shmSizeBytes: 1048576,
    memorySwapBytes: 2097152,
    cpuset: '0-1',
    oomScoreAdj: -5,
    logging: { driver: 'json-file', options: { a: 'b' } },
  })
})

test('networks and volumes that services use', async () => {
  const model = await load(`
services: { web: { image: i, networks: [a, ext], volumes: ["v:/v", "w:/w", "/x:/x"] } }
networks:
  a: { driver: bridge, internal: true, enable_ipv6: true, driver_opts: { k: v }, labels: { l: m }, ipam: { config: [{ subnet: 10.0.0.0/24, gateway: 10.0.0.1, ip_range: 10.0.0.0/28 }] } }
  ext: { external: true }
  unused:
volumes: { v: { driver: local, driver_opts: { k: v } }, w: { external: true, name: real }, unused: }
`)
  assert.equal(networkSpecs(model, 'p'), [
    {
      key: 'a',
      external: false,
      name: 'p_a',
      driver: 'bridge',
      driverOptions: { k: 'v' },
      subnet: '10.0.0.0/24',
      gateway: '10.0.0.1',
      ipRange: '10.0.0.0/28',
      internal: true,
      ipv6: true,
      labels: { l: 'm' },
    },
    { key: 'ext', external: true, name: 'ext', labels: {} },
  ])
  assert.equal(volumeSpecs(model, 'p'), [
    { key: 'v', external: false, name: 'p_v', driver: 'local', driverOptions: { k: 'v' }, labels: {} },
    { key: 'w', external: true, name: 'real', labels: {} },
  ])
})

test('builds', async () => {
  const model = await load(`
services:
  a: { build: { context: /c, args: { A: 1 }, target: t, tags: ["x:1"] } }
  b: { image: "named:2", platform: linux/arm64, build: /c }
  c: { image: i }
`)
  const of = (name: string) => buildOptions(model, model.services[name]!, 'p')
  assert.equal(of('a'), { context: '/c', tags: ['p-a', 'x:1'], args: { A: '1' }, target: 't' })
  assert.equal(of('b'), { context: '/c', tags: ['named:2'], platform: 'linux/arm64' })
  assert.is(of('c'), undefined)
  assert.is(imageOf(model.services['a']!, 'p'), 'p-a')
})

test('dependencies', async () => {
  const model = await load(
    'services: { a: { image: i, depends_on: { b: { condition: service_healthy, restart: true } } }, b: { image: i } }',
  )
  assert.equal(composeDependencies(model.services['a']!), [
    { service: 'b', condition: 'service_healthy', required: true, restart: true },
  ])
  assert.equal(composeDependencies(model.services['b']!), [])
})

test.run()
