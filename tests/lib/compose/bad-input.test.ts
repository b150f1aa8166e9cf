import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadCompose } from '../../../lib/compose/index.ts'
import { DevstackError, formatError } from '../../../lib/errors.ts'
import { refusal } from '../../support/refusal.ts'
import { load, withFolder } from './folder.ts'

const test = suite('compose bad input')

interface Case {
  readonly name: string
  readonly text: string
  readonly code: string
  readonly message?: RegExp
  /** Line and column of the place. */
  readonly at?: readonly [number, number]
  readonly hint?: RegExp
}

/** A service `web` with an image and these lines, which begin in line 4. */
function web(lines: string): string {
  const body = lines
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
  return `services:\n  web:\n    image: nginx\n${body}\n`
}

const cases: readonly Case[] = [
  { name: 'empty', text: '', code: 'EMPTY', message: /compose\.yaml is empty/ },
  { name: 'only a comment', text: '# nothing\n', code: 'EMPTY' },
  { name: 'null', text: '~\n', code: 'EMPTY' },
  { name: 'a list', text: '- a\n- b\n', code: 'TYPE', message: /must be a map, not a list/, at: [1, 1] },
  { name: 'a scalar', text: 'hello\n', code: 'TYPE', message: /must be a map, not the text "hello"/, at: [1, 1] },
  { name: 'a tab', text: 'services:\n\tweb:\n\t\timage: x\n', code: 'TAB', at: [2, 1], hint: /spaces/ },
  { name: 'a tab after spaces', text: 'services:\n  web:\n  \timage: x\n', code: 'TAB', at: [3, 3] },
  {
    name: 'a duplicate key',
    text: web('user: a\nuser: b'),
    code: 'DUPLICATE_KEY',
    message: /"user" .* first in line 4/,
    at: [5, 5],
  },
  {
    name: 'a duplicate service',
    text: 'services:\n  a: { image: i }\n  a: { image: j }\n',
    code: 'DUPLICATE_KEY',
    at: [3, 3],
  },
  { name: 'broken YAML', text: 'services: [\n', code: 'YAML' },
  { name: 'an unquoted variable in a flow map', text: web('environment: { A: ${A} }'), code: 'YAML', hint: /quotes/ },
  { name: 'an unknown tag', text: web('user: !secret x'), code: 'YAML', message: /!secret/ },
  { name: 'an unknown alias', text: web('user: *nobody'), code: 'ALIAS', message: /&nobody/ },
  { name: 'an alias inside itself', text: 'x-a: &a [ *a ]\nservices: {}\n', code: 'ALIAS' },
  { name: 'a merge key of a text', text: web('<<: text'), code: 'YAML', message: /<< takes a map/ },
  { name: 'a map as key', text: '? { a: b }\n: c\n', code: 'YAML', message: /key must be plain text/ },
  { name: '__proto__ as key', text: '__proto__: { a: b }\n', code: 'KEY' },
  { name: 'no services', text: 'name: x\n', code: 'NO_SERVICES' },
  { name: 'services of the wrong type', text: 'services: [a]\n', code: 'TYPE', message: /services must be a map/ },
  {
    name: 'a service of the wrong type',
    text: 'services:\n  web: nginx\n',
    code: 'TYPE',
    message: /services\.web must be a map, not the text "nginx"/,
    at: [2, 8],
  },
  { name: 'a bad service name', text: 'services: { "a b": { image: i } }', code: 'NAME' },
  { name: 'a bad project name', text: 'name: My Project\nservices: { a: { image: i } }', code: 'NAME', at: [1, 7] },
  {
    name: 'an unknown top-level key',
    text: 'servces: {}\n',
    code: 'UNKNOWN_KEY',
    message: /"servces" is no key of a compose file\. Did you mean "services"\?/,
    at: [1, 1],
  },
  {
    name: 'an unknown service key',
    text: web('enviroment: { A: 1 }'),
    code: 'UNKNOWN_KEY',
    message: /Did you mean "environment"\?/,
    at: [4, 5],
  },
  {
    name: 'an unknown nested key',
    text: web('healthcheck: { intervall: 1s }'),
    code: 'UNKNOWN_KEY',
    message: /services\.web\.healthcheck\. Did you mean "interval"/,
  },
  {
    name: 'an image of the wrong type',
    text: 'services:\n  web:\n    image: [a]\n',
    code: 'TYPE',
    message: /services\.web\.image must be text, not a list/,
    at: [3, 12],
  },
  { name: 'a number for text', text: web('hostname: 12'), code: 'TYPE', hint: /"12"/ },
  {
    name: 'text for a boolean',
    text: web('init: maybe'),
    code: 'TYPE',
    message: /true or false, not the text "maybe"/,
  },
  { name: 'text for a number', text: web('cpus: many'), code: 'TYPE' },
  { name: 'a negative number', text: web('cpus: -1'), code: 'RANGE' },
  { name: 'a number out of range', text: web('oom_score_adj: 5000'), code: 'INVALID', at: [4, 5] },
  { name: 'a map in environment', text: web('environment: { A: { B: 1 } }'), code: 'TYPE' },
  { name: 'an environment without a name', text: web('environment: ["=x"]'), code: 'KEY' },
  {
    name: 'an unset required variable',
    text: web('user: ${WHO:?say who}'),
    code: 'VARIABLE_REQUIRED',
    message: /WHO is not set: say who/,
    at: [4, 11],
  },
  { name: 'a broken variable', text: web('user: ${WHO'), code: 'INTERPOLATION', hint: /\$\$/ },
  {
    name: 'a bad duration',
    text: web('stop_grace_period: 5 minutes'),
    code: 'DURATION',
    message: /services\.web\.stop_grace_period is no duration: "5 minutes"/,
    at: [4, 24],
    hint: /1m30s/,
  },
  { name: 'a duration without a unit', text: web('healthcheck: { interval: 5 }'), code: 'DURATION' },
  { name: 'a bad size', text: web('mem_limit: 5 apples'), code: 'SIZE' },
  {
    name: 'a bad image reference',
    text: 'services:\n  web:\n    image: Nginx:lat est\n',
    code: 'IMAGE',
    message: /"Nginx:lat est"/,
    at: [3, 12],
  },
  { name: 'an image in upper case', text: 'services: { web: { image: Nginx } }', code: 'IMAGE', hint: /lower case/ },
  { name: 'an empty image', text: 'services: { web: { image: "" } }', code: 'IMAGE' },
  {
    name: 'neither image nor build',
    text: 'services:\n  web: {}\n',
    code: 'IMAGE',
    message: /neither image nor build/,
  },
  { name: 'a service of nothing', text: 'services:\n  web:\n', code: 'IMAGE' },
  {
    name: 'an empty build',
    text: 'services: { web: { build: "" } }',
    code: 'EMPTY_VALUE',
    message: /services\.web\.build is empty/,
  },
  { name: 'a remote build', text: 'services: { web: { build: "https://example.com/x.git" } }', code: 'UNSUPPORTED' },
  {
    name: 'two Dockerfiles',
    text: 'services: { web: { build: { dockerfile: a, dockerfile_inline: b } } }',
    code: 'BUILD',
  },
  { name: 'a quote left open', text: web("command: sh -c 'x"), code: 'COMMAND' },
  { name: 'a bad test', text: web('healthcheck: { test: [curl, x] }'), code: 'HEALTHCHECK', hint: /CMD/ },
  { name: 'a bad restart policy', text: web('restart: sometimes'), code: 'VALUE' },
  {
    name: 'a bad condition',
    text: web('depends_on: { db: { condition: service_helthy } }'),
    code: 'VALUE',
    message: /Did you mean "service_healthy"/,
  },
  { name: 'a bad network mode', text: web('network_mode: bridged'), code: 'VALUE' },
  {
    name: 'network_mode and networks',
    text: web('network_mode: host\nnetworks: [a]'),
    code: 'NETWORK_MODE',
    at: [4, 5],
  },
  { name: 'a bad address', text: web('networks: { a: { ipv4_address: 1.2.3 } }'), code: 'ADDRESS' },
  {
    name: 'a bad subnet',
    text: web('user: x').concat('networks: { a: { ipam: { config: [{ subnet: 10.0.0.0 }] } } }'),
    code: 'ADDRESS',
  },
  { name: 'a bad extra host', text: web('extra_hosts: ["a"]'), code: 'ADDRESS' },
  { name: 'a bad mount', text: web('volumes: ["a:b:c:d"]'), code: 'MOUNT' },
  {
    name: 'a relative mount target',
    text: web('volumes: ["./a:b"]'),
    code: 'MOUNT',
    message: /"b", which is no absolute path/,
  },
  { name: 'a mount without a type', text: web('volumes: [{ target: /a }]'), code: 'MOUNT' },
  { name: 'a bad mount option', text: web('volumes: ["./a:/b:readonly"]'), code: 'MOUNT' },
  { name: 'a device that is none', text: web('devices: ["/dev/a:/dev/b:xyz"]'), code: 'VALUE' },
  {
    name: 'an undefined network',
    text: web('networks: [bak]').concat('networks: { back: }'),
    code: 'UNDEFINED_NETWORK',
    message: /"bak", .* Did you mean "back"/,
    at: [4, 5],
  },
  {
    name: 'an undefined volume',
    text: web('volumes: ["data:/data"]'),
    code: 'UNDEFINED_VOLUME',
    at: [4, 5],
    hint: /top-level volumes/,
  },
  { name: 'an undefined config', text: web('configs: [c]'), code: 'UNDEFINED_CONFIG', at: [4, 5] },
  { name: 'an undefined secret', text: web('secrets: [s]'), code: 'UNDEFINED_SECRET', at: [4, 5] },
  { name: 'a config without a source', text: web('user: x').concat('configs: { c: {} }'), code: 'FILE_RESOURCE' },
  {
    name: 'a config with two sources',
    text: web('user: x').concat('configs: { c: { file: a, content: b } }'),
    code: 'FILE_RESOURCE',
  },
  {
    name: 'a secret of an unset variable',
    text: web('user: x').concat('secrets: { s: { environment: NOPE } }'),
    code: 'VARIABLE_REQUIRED',
  },
  {
    name: 'an external network with a driver',
    text: web('user: x').concat('networks: { a: { external: true, driver: bridge } }'),
    code: 'EXTERNAL',
  },
  {
    name: 'an unknown dependency',
    text: web('depends_on: [bd]').concat('  db: { image: i }'),
    code: 'UNKNOWN_DEPENDENCY',
    message: /"bd", which is no service\. Did you mean "db"/,
    at: [4, 5],
  },
  { name: 'a dependency on itself', text: web('depends_on: [web]'), code: 'CYCLE', message: /web -> web/ },
  {
    name: 'a circle of dependencies',
    text: 'services:\n  a: { image: i, depends_on: [b] }\n  b: { image: i, depends_on: [c] }\n  c: { image: i, depends_on: [a] }\n',
    code: 'CYCLE',
    message: /a -> b -> c -> a/,
    at: [2, 18],
  },
  {
    name: 'two services with one container name',
    text: 'services: { a: { image: i, container_name: n }, b: { image: i, container_name: n } }',
    code: 'CLASH',
  },
  {
    name: 'two services on one port',
    text: 'services: { a: { image: i, ports: ["80:80"] }, b: { image: i, ports: ["80:81"] } }',
    code: 'CLASH',
    message: /services\.a and services\.b both want port 80\/tcp/,
  },
  { name: 'env_file of the wrong type', text: web('env_file: 5'), code: 'TYPE' },
  { name: 'env_file without a path', text: web('env_file: [{ required: true }]'), code: 'ENV_FILE' },
  { name: 'env_file in an unknown format', text: web('env_file: [{ path: x, format: json }]'), code: 'VALUE' },
  {
    name: 'env_file that is a folder',
    text: web('env_file: .'),
    code: 'ENV_FILE_UNREADABLE',
    message: /is a folder/,
    at: [4, 15],
  },
]

for (const { name, text, code, message, at, hint } of cases) {
  test(`${name}: COMPOSE_${code}`, async () => {
    const error = await refusal(() => load(text))
    assert.is(error.code, `COMPOSE_${code}`, formatError(error))
    assert.is(error.kind, 'compose')
    assert.is(error.exitCode, 2)
    if (message) assert.match(error.message, message)
    if (hint) assert.match(error.hint ?? '', hint)
    if (at) {
      assert.equal([error.place?.line, error.place?.column], at, formatError(error))
      assert.is(error.place?.text, text.split('\n')[at[0] - 1])
    }
    assert.is(error.place?.file, 'compose.yaml')
  })
}

const badPorts = [
  '',
  'x',
  '80:',
  '80:80:80',
  '0',
  '65536',
  '80-70',
  '8000-8001:80',
  '80:80-81',
  '80/sctp',
  '80/tcp/udp',
  '1.2.3:80:80',
  '-1',
  '80:0',
]

for (const port of badPorts) {
  test(`the port ${JSON.stringify(port)} is refused`, async () => {
    const error = await refusal(() => load(web(`ports: [${JSON.stringify(port)}]`)))
    assert.is(error.code, 'COMPOSE_PORT')
    assert.match(error.message, /services\.web\.ports\[0\]/)
    assert.equal([error.place?.line, error.place?.column], [4, 13])
  })
}

test('long ports are checked too', async () => {
  for (const port of [
    '{ published: 80 }',
    '{ target: 0 }',
    '{ target: 80, published: 1-2 }',
    '{ target: 80, protocol: x }',
  ]) {
    assert.is((await refusal(() => load(web(`ports: [${port}]`)))).code, 'COMPOSE_PORT', port)
  }
})

/** Keys of the specification that can not be honoured, each with a value that is valid there. */
const unsupported: readonly (readonly [string, string])[] = [
  ['annotations', '{ a: b }'],
  ['blkio_config', '{ weight: 300 }'],
  ['cgroup', 'host'],
  ['cgroup_parent', 'm'],
  ['cpu_count', '2'],
  ['cpu_percent', '50'],
  ['cpu_rt_period', '1400us'],
  ['cpu_rt_runtime', '400ms'],
  ['credential_spec', '{ file: x.json }'],
  ['device_cgroup_rules', '["c 1:3 mr"]'],
  ['dns_opt', '[use-vc]'],
  ['external_links', '[redis]'],
  ['gpus', 'all'],
  ['isolation', 'default'],
  ['mac_address', '02:42:ac:11:65:43'],
  ['mem_swappiness', '10'],
  ['models', '[m]'],
  ['oom_kill_disable', 'true'],
  ['post_start', '[{ command: x }]'],
  ['pre_stop', '[{ command: x }]'],
  ['provider', '{ type: x }'],
  ['pull_refresh_after', '1h'],
  ['runtime', 'runc'],
  ['storage_opt', '{ size: 1G }'],
  ['use_api_socket', 'true'],
  ['userns_mode', 'host'],
  ['uts', 'host'],
  ['volumes_from', '[db]'],
  ['deploy.endpoint_mode', 'vip'],
  ['deploy.labels', '{ a: b }'],
  ['deploy.placement', '{ constraints: [a] }'],
  ['deploy.update_config.delay', '5s'],
  ['deploy.rollback_config', '{ parallelism: 2 }'],
  ['deploy.restart_policy.delay', '5s'],
  ['deploy.restart_policy.window', '5s'],
  ['deploy.resources.reservations.devices', '[{ capabilities: [gpu] }]'],
  ['build.cache_from', '[x]'],
  ['build.secrets', '[x]'],
  ['build.ssh', '[default]'],
  ['build.additional_contexts', '{ a: b }'],
  ['networks.default.mac_address', 'x'],
]

for (const [key, value] of unsupported) {
  test(`${key} is refused by name`, async () => {
    const [first = '', ...rest] = key.split('.')
    const nested = rest.reduceRight((inner, one) => `{ ${one}: ${inner} }`, value)
    const error = await refusal(() => load(web(`${first}: ${nested}`)))
    assert.is(error.code, 'COMPOSE_UNSUPPORTED', formatError(error))
    assert.is(error.message, `services.web.${key} is not supported`)
    assert.is(error.place?.line, 4)
  })
}

test('values that would need several containers or a swarm are refused', async () => {
  const lines = [
    'scale: 2',
    'deploy: { replicas: 3 }',
    'deploy: { mode: global }',
    'deploy: { update_config: { parallelism: 2 } }',
    'links: ["db:database"]',
  ]
  for (const line of lines) assert.is((await refusal(() => load(web(line)))).code, 'COMPOSE_UNSUPPORTED', line)
})

test('what is there once can not be shared with the container that comes', async () => {
  const startFirst = 'deploy: { update_config: { order: start-first } }'
  const fixed = await refusal(() => load(web(`ports: ["8080:80"]\n${startFirst}`)))
  assert.is(fixed.code, 'COMPOSE_START_FIRST')
  assert.match(fixed.message, 'both want the port 8080')
  await load(web(`ports: ["127.0.0.1::80"]\n${startFirst}`))
})

test('harmless values of such keys pass', async () => {
  await load(
    web(
      'scale: 1\nattach: false\ndevelop: { watch: [{ path: ., action: sync }] }\ndeploy: { mode: replicated, replicas: 1, labels: [] }',
    ),
  )
  await load('version: "3.8"\nservices: { a: { image: i } }')
})

test('a missing file is named', async () => {
  const error = await refusal(() => load({}, { files: ['none.yaml'] }))
  assert.is(error.code, 'COMPOSE_FILE_MISSING')
  assert.match(error.message, /none\.yaml does not exist/)
})

test('no file at all is refused', async () => {
  assert.is((await refusal(() => load({}, { files: [] }))).code, 'COMPOSE_FILE_MISSING')
})

test('a folder is no compose file', async () => {
  const error = await refusal(() => load({ 'x/y': '' }, { files: ['x'] }))
  assert.is(error.code, 'COMPOSE_FILE_UNREADABLE')
  assert.match(error.message, /is a folder/)
})

test('a file below a file is missing', async () => {
  assert.is((await refusal(() => load({ x: '' }, { files: ['x/y.yaml'] }))).code, 'COMPOSE_FILE_MISSING')
})

test('an unreadable file says so', async () => {
  await withFolder({ 'compose.yaml': 'services: {}' }, async (directory) => {
    chmodSync(join(directory, 'compose.yaml'), 0o000)
    // Root reads everything, and then finds a file without services.
    const expected = process.getuid?.() === 0 ? 'COMPOSE_NO_SERVICES' : 'COMPOSE_FILE_UNREADABLE'
    const error = await refusal(() => loadCompose({ files: ['compose.yaml'], directory, environment: {} }))
    assert.is(error.code, expected)
  })
})

test('binary and badly encoded files are refused', async () => {
  const binary = await refusal(() => load({ 'compose.yaml': new Uint8Array([0x7f, 0x45, 0x4c, 0x46, 0, 1]) }))
  assert.is(binary.code, 'COMPOSE_ENCODING')
  const latin = new Uint8Array([...Buffer.from('services:\n  web:\n    image: caf'), 0xe9, 0x0a])
  const error = await refusal(() => load({ 'compose.yaml': latin }))
  assert.is(error.code, 'COMPOSE_ENCODING')
  assert.is(error.place?.line, 3)
})

test('a byte order mark does no harm', async () => {
  const model = await load(`\uFEFFservices:\n  web: { image: i }\n`)
  assert.equal(Object.keys(model.services), ['web'])
})

test('alias bombs are refused', async () => {
  const lines = ['x-a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]']
  for (let i = 1; i < 12; i += 1)
    lines.push(
      `x-a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(', ')}]`,
    )
  const error = await refusal(() => load(`${lines.join('\n')}\nservices: { web: { image: i } }\n`))
  assert.is(error.code, 'COMPOSE_ALIAS_LIMIT')
  assert.ok(error.place?.line)
})

test('many harmless aliases are fine', async () => {
  const services = Array.from({ length: 300 }, (_, index) => `  s${index}: { <<: *base, environment: *env }`)
  const text = `x-base: &base { image: i }\nx-env: &env { A: 1, B: 2 }\nservices:\n${services.join('\n')}\n`
  assert.is(Object.keys((await load(text)).services).length, 300)
})

test('endless nesting is refused', async () => {
  for (const depth of [150, 50_000]) {
    const error = await refusal(() => load(`x-a: ${'['.repeat(depth)}${']'.repeat(depth)}\n`))
    assert.instance(error, DevstackError)
    assert.is(error.code, 'COMPOSE_TOO_DEEP')
  }
})

test('a long chain of dependencies is no circle', async () => {
  const services = Array.from(
    { length: 2000 },
    (_, index) => `  s${index}: { image: i${index ? `, depends_on: [s${index - 1}]` : ''} }`,
  )
  assert.is(Object.keys((await load(`services:\n${services.join('\n')}\n`)).services).length, 2000)
})

test('an error prints as file:line:column with the line and a caret', async () => {
  const error = await refusal(() => load(web('gpus: all')))
  assert.is(
    formatError(error),
    [
      'services.web.gpus is not supported',
      '  at compose.yaml:4:5',
      '  4 |     gpus: all',
      '          ^',
      '  → Remove it: devstack refuses what it can not honour instead of ignoring it',
    ].join('\n'),
  )
})

test.run()
