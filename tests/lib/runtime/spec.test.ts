import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ContainerSpec, labels } from '../../../lib/runtime/runtime.ts'
import { looksSecret, readStoredSpec, specDifferences, specHash, storedSpec } from '../../../lib/runtime/spec.ts'

const test = suite('container spec')

const spec: ContainerSpec = {
  name: 'p-web-1',
  project: 'p',
  service: 'web',
  image: 'web:1',
  command: ['serve', '--port', '80'],
  environment: { PGPORT: '5432', PGPASSWORD: 'correct horse', DATABASE_URL: 'postgres://u:correct-horse@db/x' },
  labels: { team: 'a' },
  ports: [
    { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' },
    { hostIp: '127.0.0.1', hostPort: 8443, containerPort: 443, protocol: 'tcp' },
  ],
  mounts: [{ type: 'volume', source: 'data', target: '/data', readOnly: false }],
  networks: [{ network: 'p_default', aliases: ['web', 'www'], ipv4Address: '10.1.0.5' }],
  restart: { name: 'unless-stopped' },
}

test('the hash does not depend on the order of what has none, nor on labels of who made it when', () => {
  const same: ContainerSpec = {
    ...spec,
    environment: Object.fromEntries(Object.entries(spec.environment).reverse()),
    ports: [...spec.ports].reverse(),
    networks: [{ ipv4Address: '10.1.0.5', aliases: ['www', 'web'], network: 'p_default' }],
    labels: { team: 'a', [labels.run]: 'r1', [labels.directory]: '/somewhere', [labels.hash]: 'x' },
    init: false,
    capAdd: [],
    user: undefined,
  }
  assert.is(specHash(same), specHash(spec))
  assert.equal(specDifferences(same, spec), [])
  assert.match(specHash(spec), /^[0-9a-f]{64}$/)
})

test('the hash depends on order where it means something, and on whether a command is cleared', () => {
  assert.not.equal(specHash({ ...spec, command: ['--port', '80', 'serve'] }), specHash(spec))
  assert.not.equal(
    specHash({ ...spec, dns: ['1.1.1.1', '9.9.9.9'] }),
    specHash({ ...spec, dns: ['9.9.9.9', '1.1.1.1'] }),
  )
  const { command: _, ...without } = spec
  assert.not.equal(specHash({ ...spec, command: [] }), specHash(without))
  assert.not.equal(specHash({ ...spec, environment: { ...spec.environment, X: '' } }), specHash(spec))
})

test('differences are named in words', () => {
  const now: ContainerSpec = {
    ...spec,
    image: 'web:2',
    environment: { PGPORT: '5433', PGPASSWORD: 'correct horse', NEW: 'x' },
    ports: [spec.ports[0]!, { hostIp: '0.0.0.0', hostPort: 9443, containerPort: 443, protocol: 'tcp' }],
    mounts: [{ type: 'volume', source: 'data', target: '/data', readOnly: true }],
    networks: [{ network: 'p_default', aliases: ['web', 'www'], ipv4Address: '10.1.0.6' }],
    restart: { name: 'on-failure', maximumRetries: 3 },
    memoryBytes: 1024,
    labels: {},
  }
  assert.equal(specDifferences(spec, now), [
    'environment DATABASE_URL removed',
    'environment NEW added: x',
    'environment PGPORT: 5432 → 5433',
    'image: web:1 → web:2',
    'label team removed',
    'memory limit (bytes): (not set) → 1024',
    'mount removed: volume data at /data',
    'mount added: volume data at /data (read-only)',
    'network removed: p_default at 10.1.0.5 as web, www',
    'network added: p_default at 10.1.0.6 as web, www',
    'port removed: 127.0.0.1:8443:443',
    'port added: 0.0.0.0:9443:443',
    'restart policy: {"name":"unless-stopped"} → {"maximumRetries":3,"name":"on-failure"}',
  ])
})

test('secrets are compared and never shown', () => {
  const now: ContainerSpec = {
    ...spec,
    environment: {
      ...spec.environment,
      PGPASSWORD: 'battery staple',
      DATABASE_URL: 'postgres://u:battery-staple@db/x',
    },
    command: ['serve', '--requirepass', 'battery staple'],
    healthcheck: { test: ['CMD-SHELL', 'redis-cli -a "battery staple" ping'] },
  }
  const shown = specDifferences(spec, now)
  assert.equal(shown.slice(1), [
    'environment DATABASE_URL: *** → ***',
    'environment PGPASSWORD: *** → ***',
    'healthcheck test added: [CMD-SHELL, ***]',
  ])
  assert.is(shown[0], 'command: [serve, --port, 80] → [serve, --requirepass, ***]')
  const stored = storedSpec(now)
  assert.not.match(stored, /battery|horse/)
  const back = readStoredSpec({ [labels.spec]: stored })
  assert.ok(back)
  assert.equal(specDifferences(back, now), [])
  assert.equal(specDifferences(now, back), [])
  assert.equal(specDifferences(back, { ...now, environment: { ...now.environment, PGPASSWORD: 'another one' } }), [
    'environment PGPASSWORD: *** → ***',
  ])
})

test('what is secret is told by name and by form', () => {
  for (const name of [
    'PGPASSWORD',
    'DB_PASSWD',
    'API_KEY',
    'SECRET_KEY_BASE',
    'GITHUB_TOKEN',
    'AUTH',
    'REDIS_PWD',
    'passphrase',
  ])
    assert.ok(looksSecret(name), name)
  for (const name of ['PATH', 'PGPORT', 'KEYBOARD', 'COMPASS_ROSE', 'AUTHOR', 'PWD_OFFSET'])
    assert.is(looksSecret(name), name === 'PWD_OFFSET', name)
  assert.ok(looksSecret('URL', 'redis://:pw@host'))
  assert.not.ok(looksSecret('URL', 'http://host:80/a@b'))
})

test('a label that cannot be read is no spec', () => {
  for (const text of ['', '{', '7', '{"name":"x"}', '{"name":1}'])
    assert.is(readStoredSpec({ [labels.spec]: text }), undefined)
  assert.is(readStoredSpec({}), undefined)
})

const word = fc.stringMatching(/^[a-zA-Z0-9_./:=@ -]{0,12}$/)
const dictionary = fc.dictionary(fc.stringMatching(/^[A-Z_]{1,12}$/), word, { maxKeys: 5 })
const specs: fc.Arbitrary<ContainerSpec> = fc.record(
  {
    name: word,
    project: word,
    service: word,
    image: word,
    command: fc.array(word, { maxLength: 4 }),
    environment: dictionary,
    labels: dictionary,
    ports: fc.array(
      fc.record({
        hostIp: fc.constantFrom('127.0.0.1', '0.0.0.0'),
        hostPort: fc.nat(65_535),
        containerPort: fc.nat(65_535),
        protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      }),
      { maxLength: 3 },
    ),
    mounts: fc.array(
      fc.record({
        type: fc.constant('volume' as const),
        source: word,
        target: word,
        readOnly: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    networks: fc.array(fc.record({ network: word, aliases: fc.array(word, { maxLength: 2 }) }), { maxLength: 2 }),
    restart: fc.constant({ name: 'no' as const }),
    init: fc.boolean(),
    capAdd: fc.array(word, { maxLength: 3 }),
    memoryBytes: fc.nat(),
  },
  {
    requiredKeys: [
      'name',
      'project',
      'service',
      'image',
      'environment',
      'labels',
      'ports',
      'mounts',
      'networks',
      'restart',
    ],
  },
)

test('law: equal hashes exactly when no difference is named', () => {
  fc.assert(
    fc.property(specs, specs, (a, b) => {
      assert.is(specHash(a) === specHash(b), specDifferences(a, b).length === 0)
      assert.equal(specDifferences(a, structuredClone(a)), [])
    }),
    { numRuns: 300 },
  )
})

test('law: a change of one field is found, and a stored spec differs from its own in nothing', () => {
  fc.assert(
    fc.property(specs, fc.constantFrom('PGPASSWORD', 'PLAIN', 'A_URL'), word, word, (a, name, x, y) => {
      const was = { ...a, environment: { ...a.environment, [name]: x } }
      const now = { ...a, environment: { ...a.environment, [name]: y } }
      const back = readStoredSpec({ [labels.spec]: storedSpec(was) })
      assert.ok(back)
      assert.equal(specDifferences(back, was), [])
      assert.is(specDifferences(back, now).length, x === y ? 0 : 1)
    }),
    { numRuns: 300 },
  )
})

test.run()
