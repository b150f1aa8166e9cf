import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { defaultProjectName, findComposeFiles, loadCompose } from '../../../lib/compose/index.ts'
import { refusal } from '../../support/refusal.ts'
import { load, withFolder } from './folder.ts'

const test = suite('compose model')

/** Service `web` with an image and these lines; `rest` stands at the top level. */
async function web(lines: string, rest = '') {
  const body = lines
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
  const model = await load(`services:\n  web:\n    image: i\n${body}\n${rest}\n`)
  return model.services['web']!
}

test('a bare service has every list and map', async () => {
  const model = await load('services:\n  web:\n    image: nginx\n')
  const { place, ...service } = model.services['web']!
  assert.equal(place, { file: 'compose.yaml', line: 2, column: 3, text: '  web:' })
  assert.equal(service, {
    name: 'web',
    image: 'nginx',
    environment: {},
    labels: {},
    depends_on: {},
    ports: [],
    expose: [],
    volumes: [],
    tmpfs: [],
    networks: { default: { aliases: [] } },
    configs: [],
    secrets: [],
    profiles: [],
  })
  assert.equal(model.networks, { default: { labels: {}, external: false } })
  assert.is(model.name, undefined)
})

test('the model can not be changed', async () => {
  const model = await load('services: { web: { image: i, labels: { a: b } } }')
  assert.throws(() => Object.assign(model.services, { x: 1 }), /not extensible/)
  assert.throws(() => Object.assign(model.services['web']!.labels, { a: 'c' }), /read only/)
})

test('ports in all forms', async () => {
  const { ports } = await web(`ports:
  - 3000
  - "3001-3002"
  - "8000:80"
  - "9090-9091:8080-8081"
  - "127.0.0.1:8001:8001"
  - "0.0.0.0:5000-5001:5000-5001/udp"
  - "[::1]:6000:6000"
  - "127.0.0.1::7000"
  - { target: 80, published: "8080", protocol: tcp, mode: ingress, host_ip: 10.0.0.1, name: web, app_protocol: http }
  - "8000:80"`)
  assert.equal(ports, [
    { target: 3000, protocol: 'tcp' },
    { target: 3001, protocol: 'tcp' },
    { target: 3002, protocol: 'tcp' },
    { target: 80, published: 8000, protocol: 'tcp' },
    { target: 8080, published: 9090, protocol: 'tcp' },
    { target: 8081, published: 9091, protocol: 'tcp' },
    { target: 8001, published: 8001, host_ip: '127.0.0.1', protocol: 'tcp' },
    { target: 5000, published: 5000, host_ip: '0.0.0.0', protocol: 'udp' },
    { target: 5001, published: 5001, host_ip: '0.0.0.0', protocol: 'udp' },
    { target: 6000, published: 6000, host_ip: '::1', protocol: 'tcp' },
    { target: 7000, host_ip: '127.0.0.1', protocol: 'tcp' },
    { target: 80, published: 8080, protocol: 'tcp', host_ip: '10.0.0.1', name: 'web', app_protocol: 'http' },
  ])
})

test('expose', async () => {
  assert.equal((await web('expose: [80, "81-82", "83/udp"]')).expose, ['80', '81', '82', '83/udp'])
})

test('mounts in all forms', async () => {
  await withFolder(
    {
      'compose.yaml': `
services:
  web:
    image: i
    volumes:
      - data:/a
      - data:/b/:ro,nocopy
      - ./rel:/c
      - /abs:/d:ro
      - /anon
      - { type: bind, source: x, target: /e, read_only: true, bind: { create_host_path: false } }
      - { type: volume, target: /f }
      - { type: tmpfs, target: /g, tmpfs: { size: 64m, mode: 0700 } }
    tmpfs: ["/run", "/tmp:size=1m,mode=1777,uid=1,gid=2"]
volumes: { data: }
`,
    },
    async (directory) => {
      const { services } = await loadCompose({ files: ['compose.yaml'], directory, environment: {} })
      const at = (path: string) => join(directory, path)
      assert.equal(services['web']!.volumes, [
        { type: 'volume', source: 'data', target: '/a', read_only: false },
        { type: 'volume', source: 'data', target: '/b', read_only: true, volume: { nocopy: true } },
        { type: 'bind', source: at('rel'), target: '/c', read_only: false, bind: { create_host_path: true } },
        { type: 'bind', source: '/abs', target: '/d', read_only: true, bind: { create_host_path: true } },
        { type: 'volume', target: '/anon', read_only: false },
        { type: 'bind', source: at('x'), target: '/e', read_only: true, bind: { create_host_path: false } },
        { type: 'volume', target: '/f', read_only: false },
        { type: 'tmpfs', target: '/g', read_only: false, tmpfs: { size: 67108864, mode: 0o700 } },
      ])
      assert.equal(services['web']!.tmpfs, [
        { target: '/run' },
        { target: '/tmp', size: 1048576, mode: 0o1777, uid: 1, gid: 2 },
      ])
    },
  )
})

test('environment and labels as map and list', async () => {
  const map = await web('environment: { A: 1, B: true, C: "", D: 1.50, E: 017, F: x=y }\nlabels: { a: 1 }')
  assert.equal(map.environment, { A: '1', B: 'true', C: '', D: '1.5', E: '15', F: 'x=y' })
  const list = await web('environment: [A=1, "B=", C=x=y, A=2]\nlabels: ["a=1", b]')
  assert.equal(list.environment, { A: '2', B: '', C: 'x=y' })
  assert.equal(list.labels, { a: '1', b: '' })
})

test('label_file stands below labels', async () => {
  const model = await load({
    'compose.yaml': 'services: { web: { image: i, label_file: l.env, labels: { b: own } } }',
    'l.env': 'a=1\nb=2',
  })
  assert.equal(model.services['web']!.labels, { a: '1', b: 'own' })
})

test('commands as text and list; an empty one clears', async () => {
  const service = await web(`command: sh -c "echo 'a b'"\nentrypoint: []`)
  assert.equal(service.command, ['sh', '-c', "echo 'a b'"])
  assert.equal(service.entrypoint, [])
  assert.is((await web('command:')).command, undefined)
  assert.equal((await web('command: [a, 1, true]')).command, ['a', '1', 'true'])
})

test('healthchecks', async () => {
  const { healthcheck } = await web(
    'healthcheck: { test: [CMD, x], interval: 1m30s, timeout: 500ms, retries: 3, start_period: 2s, start_interval: 100ms }',
  )
  assert.equal(healthcheck, {
    test: ['CMD', 'x'],
    interval: 90_000,
    timeout: 500,
    retries: 3,
    start_period: 2000,
    start_interval: 100,
  })
  assert.equal((await web('healthcheck: { disable: true }')).healthcheck, { test: ['NONE'] })
  assert.equal((await web('healthcheck: { test: [NONE] }')).healthcheck, { test: ['NONE'] })
  assert.equal((await web('healthcheck: { interval: 1s }')).healthcheck, { interval: 1000 })
})

test('depends_on in both forms, links and shared namespaces', async () => {
  const model = await load(`
services:
  a: { image: i, depends_on: [b, c] }
  b: { image: i, depends_on: { c: { condition: service_completed_successfully, restart: true, required: true } } }
  c: { image: i }
  d: { image: i, network_mode: "service:c", links: [b], pid: "service:a" }
`)
  const started = { condition: 'service_started', required: true, restart: false }
  assert.equal(model.services['a']!.depends_on, { b: started, c: started })
  assert.equal(model.services['b']!.depends_on, {
    c: { condition: 'service_completed_successfully', required: true, restart: true },
  })
  assert.equal(model.services['d']!.depends_on, { a: started, b: started, c: started })
  assert.equal(model.services['d']!.networks, {})
})

test('networks in both forms', async () => {
  const lines =
    'networks:\n  back: { aliases: [x, x, y], ipv4_address: 10.1.0.5, ipv6_address: "fd00::5", priority: 10 }\n  front:'
  const service = await web(lines, 'networks: { back: , front: }')
  assert.equal(service.networks, {
    back: { aliases: ['x', 'y'], ipv4_address: '10.1.0.5', ipv6_address: 'fd00::5', priority: 10 },
    front: { aliases: [] },
  })
  assert.equal((await web('networks: [front]', 'networks: { front: }')).networks, { front: { aliases: [] } })
})

test('top-level networks and volumes', async () => {
  const model = await load(`
services: { web: { image: i } }
networks:
  back:
    name: real-back
    driver: bridge
    driver_opts: { com.docker.network.bridge.name: br7, mtu: 1400 }
    internal: true
    attachable: true
    enable_ipv6: true
    ipam: { driver: default, config: [{ subnet: 10.1.0.0/16, gateway: 10.1.0.1, ip_range: 10.1.5.0/24 }] }
    labels: [a=b]
    x-n: 1
  out: { external: true }
  old: { external: { name: older } }
volumes:
  data:
  named: { name: n, driver: local, driver_opts: { type: tmpfs }, labels: { a: 1 } }
  out: { external: true, name: o }
`)
  assert.equal(model.networks['back'], {
    name: 'real-back',
    driver: 'bridge',
    driver_opts: { 'com.docker.network.bridge.name': 'br7', mtu: '1400' },
    internal: true,
    attachable: true,
    enable_ipv6: true,
    ipam: { config: [{ subnet: '10.1.0.0/16', gateway: '10.1.0.1', ip_range: '10.1.5.0/24' }] },
    labels: { a: 'b' },
    external: false,
    extensions: { 'x-n': 1 },
  })
  assert.equal(model.networks['out'], { labels: {}, external: true })
  assert.equal(model.networks['old'], { labels: {}, name: 'older', external: true })
  assert.equal(model.volumes, {
    data: { labels: {}, external: false },
    named: { name: 'n', driver: 'local', driver_opts: { type: 'tmpfs' }, labels: { a: '1' }, external: false },
    out: { name: 'o', labels: {}, external: true },
  })
})

test('configs and secrets', async () => {
  await withFolder(
    {
      'compose.yaml': `
services:
  web:
    image: i
    configs: [c, { source: d, target: /etc/d }]
    secrets: [s, { source: t, target: other }]
configs: { c: { file: ./c.txt }, d: { content: "hello $WHO" } }
secrets: { s: { file: s.txt }, t: { environment: TOKEN } }
`,
    },
    async (directory) => {
      const environment = { WHO: 'you', TOKEN: 'abc' }
      const model = await loadCompose({ files: ['compose.yaml'], directory, environment })
      assert.equal(model.configs, { c: { file: join(directory, 'c.txt') }, d: { content: 'hello you' } })
      assert.equal(model.secrets['t'], { environment: 'TOKEN', content: 'abc' })
      const { configs, secrets } = model.services['web']!
      assert.equal(
        configs.map((one) => one.target),
        ['/c', '/etc/d'],
      )
      assert.equal(
        secrets.map((one) => one.target),
        ['/run/secrets/s', '/run/secrets/other'],
      )
    },
  )
})

test('limits, ulimits and the rest', async () => {
  const service = await web(`ulimits: { nproc: 65535, nofile: { soft: 1, hard: 2 } }
deploy: { resources: { limits: { cpus: "0.5", memory: 50M, pids: 9 }, reservations: { cpus: 0.25, memory: 20M } }, restart_policy: { condition: on-failure, max_attempts: 3 } }
sysctls: [net.core.somaxconn=1024]
extra_hosts: ["a=1.1.1.1", "b:2.2.2.2", "c=::1", "d:host-gateway", "e=[::1]"]
logging: { driver: local, options: { max-file: 3 } }
devices: ["/dev/a", "/dev/z:/dev/b", "/dev/a:/dev/b:r", { source: /dev/c, target: /dev/d, permissions: rw }]
dns: 1.1.1.1
group_add: [mail, 20]
user: 1000
restart: no
memswap_limit: -1
shm_size: 64m
pull_policy: if_not_present
x-devstack: { a: [1, null, { b: true }] }`)
  assert.equal(service.ulimits, { nproc: { soft: 65535, hard: 65535 }, nofile: { soft: 1, hard: 2 } })
  assert.equal(service.deploy, {
    resources: {
      limits: { cpus: 0.5, memory: 52428800, pids: 9 },
      reservations: { cpus: 0.25, memory: 20971520 },
    },
    restart_policy: { condition: 'on-failure', max_attempts: 3 },
  })
  assert.equal(service.sysctls, { 'net.core.somaxconn': '1024' })
  assert.equal(service.extra_hosts, ['a:1.1.1.1', 'b:2.2.2.2', 'c:::1', 'd:host-gateway', 'e:::1'])
  assert.equal(service.logging, { driver: 'local', options: { 'max-file': '3' } })
  assert.equal(
    service.devices?.map((one) => `${one.source} ${one.target} ${one.permissions}`),
    ['/dev/a /dev/a rwm', '/dev/a /dev/b r', '/dev/c /dev/d rw'],
  )
  assert.equal(
    [service.dns, service.group_add, service.user, service.restart],
    [['1.1.1.1'], ['mail', '20'], '1000', 'no'],
  )
  assert.equal([service.memswap_limit, service.shm_size, service.pull_policy], [-1, 67108864, 'missing'])
  assert.equal(service.extensions, { 'x-devstack': { a: [1, null, { b: true }] } })
})

test('build in both forms', async () => {
  await withFolder(
    {
      'compose.yaml': `
services:
  a: { build: ./a }
  b:
    build:
      context: b
      dockerfile: D
      args: { A: 1, GIVEN: , MISSING: }
      labels: [x=y]
      target: t
      platforms: [linux/amd64]
      network: host
      no_cache: true
      pull: true
      tags: ["b:1"]
      extra_hosts: ["h:1.1.1.1"]
  c: { build: { dockerfile_inline: "FROM scratch" } }
`,
    },
    async (directory) => {
      const { services } = await loadCompose({ files: ['compose.yaml'], directory, environment: { GIVEN: 'g' } })
      assert.equal(services['a']!.build, { context: join(directory, 'a') })
      assert.equal(services['b']!.build, {
        context: join(directory, 'b'),
        dockerfile: 'D',
        args: { A: '1', GIVEN: 'g' },
        labels: { x: 'y' },
        target: 't',
        platforms: ['linux/amd64'],
        network: 'host',
        no_cache: true,
        pull: true,
        tags: ['b:1'],
        extra_hosts: ['h:1.1.1.1'],
      })
      assert.equal(services['c']!.build, { context: directory, dockerfile_inline: 'FROM scratch' })
    },
  )
})

test('image references', async () => {
  const digest = `sha256:${'a'.repeat(64)}`
  for (const image of [
    'a',
    'a:1',
    'lib/a:1.2-x_y',
    'localhost:5000/a/b',
    'ghcr.io/Own/a'.toLowerCase(),
    `a@${digest}`,
    `r.example.com:1/a:t@${digest}`,
    'a__b/c--d',
  ]) {
    assert.is((await load(`services: { web: { image: "${image}" } }`)).services['web']!.image, image)
  }
})

test('profiles', async () => {
  const text = `
services:
  a: { image: i, depends_on: { c: { condition: service_started, required: false } } }
  b: { image: i, profiles: [x] }
  c: { image: i, profiles: [y, z], env_file: not-there.env }
`
  const names = async (options: object) => Object.keys((await load(text, options)).services)
  assert.equal(await names({}), ['a'])
  assert.equal(await names({ profiles: ['x'] }), ['a', 'b'])
  assert.equal(await names({ environment: { COMPOSE_PROFILES: 'x,w' } }), ['a', 'b'])
  const model = await load(text)
  assert.equal(model.disabled, { b: ['x'], c: ['y', 'z'] })
  assert.equal(model.services['a']!.depends_on, {})
  assert.is((await refusal(() => load(text, { profiles: ['*'] }))).code, 'COMPOSE_ENV_FILE_MISSING')
  const error = await refusal(() =>
    load('services: { a: { image: i, depends_on: [b] }, b: { image: i, profiles: [p] } }'),
  )
  assert.is(error.code, 'COMPOSE_DISABLED_DEPENDENCY')
  assert.match(error.hint!, /profile p/)
})

test('places are kept by dotted name', async () => {
  const { places } = await load('services:\n  web:\n    image: i\n    ports: ["80"]\nnetworks:\n  back:\n')
  assert.equal(
    Object.entries(places).map(([path, place]) => `${path} ${place.line}:${place.column}`),
    ['networks.back 6:3', 'services.web 2:3', 'services.web.image 3:5', 'services.web.ports 4:5'],
  )
})

test('extensions are kept at every depth the spec allows', async () => {
  const model = await load(`
x-top: { a: 1 }
services:
  web:
    image: i
    x-one: [1]
    healthcheck: { test: x, x-two: 2 }
    networks: { default: { x-three: 3 } }
    deploy: { x-four: 4, resources: { limits: { x-five: 5 } } }
volumes: { v: { x-six: 6 } }
`)
  assert.equal(model.extensions, { 'x-top': { a: 1 } })
  const { extensions, healthcheck, networks, deploy } = model.services['web']!
  assert.equal(extensions, { 'x-one': [1] })
  assert.equal(healthcheck?.extensions, { 'x-two': 2 })
  assert.equal(networks['default']?.extensions, { 'x-three': 3 })
  assert.equal(deploy?.extensions, { 'x-four': 4 })
  assert.equal(deploy?.resources?.limits?.extensions, { 'x-five': 5 })
  assert.equal(model.volumes['v']?.extensions, { 'x-six': 6 })
})

test('compose files are found under their usual names', async () => {
  const found = (files: readonly string[]) =>
    withFolder(Object.fromEntries(files.map((file) => [file, ''])), async (directory) =>
      (await findComposeFiles(directory)).map((file) => file.slice(directory.length + 1)),
    )
  assert.equal(await found([]), [])
  assert.equal(await found(['docker-compose.yml']), ['docker-compose.yml'])
  assert.equal(await found(['compose.yml', 'docker-compose.yml', 'compose.override.yaml']), [
    'compose.yml',
    'compose.override.yaml',
  ])
  assert.equal(await found(['compose.yml', 'compose.yaml']), ['compose.yaml'])
})

test('a folder gives a project name', () => {
  assert.is(defaultProjectName('/x/My App_2'), 'myapp_2')
  assert.is(defaultProjectName('/x/-_a'), 'a')
  assert.is(defaultProjectName('/'), 'default')
})

test.run()
