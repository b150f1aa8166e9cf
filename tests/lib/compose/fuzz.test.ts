import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { stringify } from 'yaml'
import { containerSpec, formatConfig, loadCompose, networkSpecs, volumeSpecs } from '../../../lib/compose/index.ts'
import { DevstackError, formatError } from '../../../lib/errors.ts'

const test = suite('compose fuzz')

const directory = mkdtempSync(join(tmpdir(), 'devstack-compose-'))
test.after(() => rmSync(directory, { recursive: true, force: true }))

/** The model of a text, in one folder for all runs. */
async function load(content: string | Uint8Array) {
  writeFileSync(join(directory, 'compose.yaml'), content)
  return loadCompose({ files: ['compose.yaml'], directory, environment: { A: 'a' }, profiles: ['*'] })
}

/** Reads a text; whatever it is, a model that can be used comes out, or a DevstackError of kind `compose` that can be printed. */
async function survives(content: string | Uint8Array): Promise<boolean> {
  try {
    const model = await load(content)
    for (const service of Object.values(model.services))
      containerSpec(model, service, { project: 'p', image: 'i', configDirectory: '/c' })
    networkSpecs(model, 'p')
    volumeSpecs(model, 'p')
    await formatConfig(model, 'yaml')
    return true
  } catch (error) {
    if (!(error instanceof DevstackError)) throw error
    assert.is(error.kind, 'compose')
    assert.match(error.code, /^COMPOSE_[A-Z_]+$/)
    assert.ok(formatError(error).length > 0)
    return false
  }
}

test('any bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (bytes) => void (await survives(bytes))),
    { numRuns: 200 },
  )
})

test('any text that looks like YAML', async () => {
  const piece = fc.constantFrom(
    ...[
      'services:',
      'web:',
      'image:',
      ' ',
      '  ',
      '\n',
      '\n  ',
      '\n    ',
      '- ',
      '{',
      '}',
      '[',
      ']',
      ',',
      ': ',
      '&a',
      '*a',
      '<<:',
      '|',
      '>',
      '"',
      "'",
    ],
    ...[
      '${A}',
      '${',
      '$',
      '!reset',
      '!!str',
      '? ',
      '#',
      '---',
      '...',
      '\t',
      '~',
      '1',
      'true',
      'é',
      '\u2028',
      '%YAML 1.2',
      '@',
      '`',
      'x-a:',
    ],
  )
  const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''))
  await fc.assert(
    fc.asyncProperty(text, async (one) => void (await survives(one))),
    { numRuns: 400 },
  )
})

const serviceKeys = [
  ...[
    'image',
    'build',
    'command',
    'entrypoint',
    'environment',
    'env_file',
    'labels',
    'label_file',
    'depends_on',
    'links',
    'ports',
    'expose',
  ],
  ...[
    'volumes',
    'tmpfs',
    'networks',
    'network_mode',
    'configs',
    'secrets',
    'container_name',
    'user',
    'restart',
    'healthcheck',
    'deploy',
  ],
  ...[
    'profiles',
    'init',
    'ulimits',
    'devices',
    'extra_hosts',
    'dns',
    'shm_size',
    'mem_limit',
    'cpus',
    'logging',
    'sysctls',
    'extends',
    'scale',
  ],
  ...[
    'pull_policy',
    'stop_grace_period',
    'stop_signal',
    'cap_add',
    'ipc',
    'pid',
    'x-a',
    'group_add',
    'gpus',
    '__proto__',
    'constructor',
    'toString',
  ],
]
const innerKeys = [
  ...[
    'a',
    'b',
    'target',
    'source',
    'type',
    'published',
    'condition',
    'required',
    'test',
    'interval',
    'path',
    'format',
    'soft',
    'hard',
    'file',
    'service',
  ],
  ...[
    'resources',
    'limits',
    'memory',
    'aliases',
    'ipv4_address',
    'context',
    'args',
    'bind',
    'tmpfs',
    'size',
    'mode',
    'driver',
    'options',
    'x-b',
    'external',
  ],
  ...['content', 'environment', 'ipam', 'config', 'subnet', 'name', '__proto__', 'hasOwnProperty'],
]
const leaf = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    false,
    0,
    1,
    -1,
    80,
    1e300,
    0.5,
    '',
    'a',
    'b',
    'web',
    '80:80',
    '1-3:1-3/udp',
    'a:/b',
    './a:/b:ro',
    '/a',
    '5s',
    '1m',
    'bind',
    'volume',
  ),
  fc.constantFrom<unknown>(
    '$A',
    '${A:-b}',
    '${B:?c}',
    '$',
    'service_healthy',
    'service:a',
    'A=1',
    '=',
    '127.0.0.1',
    'h=1.1.1.1',
    'nginx:1',
    '.',
    'compose.yaml',
    '*',
    '\u0000',
    '__proto__=1',
  ),
  fc.string({ maxLength: 8 }),
  fc.double(),
)
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.array(fc.tuple(fc.constantFrom(...innerKeys), tie('value')), { maxLength: 3 }).map((pairs) => new Map(pairs)),
  ),
}))
const map = (keys: readonly string[]) =>
  fc.array(fc.tuple(fc.constantFrom(...keys), value), { maxLength: 3 }).map((pairs) => new Map(pairs))
const service = map(serviceKeys).map((one) =>
  one.has('image') || one.has('build') ? one : new Map([['image', 'i' as unknown], ...one]),
)
const file = fc.record(
  {
    services: fc.oneof(
      { weight: 9, arbitrary: fc.dictionary(fc.constantFrom('a', 'b', 'web', 'constructor'), service) },
      { weight: 1, arbitrary: value },
    ),
    networks: fc.oneof(fc.dictionary(fc.constantFrom('a', 'b', 'default'), map(innerKeys)), value),
    volumes: fc.oneof(fc.dictionary(fc.constantFrom('a', 'b'), map(innerKeys)), value),
    configs: fc.dictionary(fc.constantFrom('a', 'b'), map(innerKeys)),
    secrets: fc.dictionary(fc.constantFrom('a', 'b'), map(innerKeys)),
    include: value,
    name: leaf,
  },
  { requiredKeys: ['services'] },
)

test('any structure under the names of the specification', async () => {
  await fc.assert(
    fc.asyncProperty(file, async (one) => void (await survives(stringify(one)))),
    { numRuns: 500 },
  )
})

/** Values that mostly fit their keys, so that much of it can be read to the end. */
const plausible: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  command: fc.oneof(fc.constantFrom('a b', "sh -c 'x y'", ''), fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 })),
  environment: fc.oneof(
    fc.dictionary(fc.constantFrom('A', 'B', 'extensions'), leaf),
    fc.array(fc.constantFrom('A=1', 'B', 'C=')),
  ),
  labels: fc.dictionary(fc.string({ minLength: 1, maxLength: 4 }), fc.constantFrom('a', 1, true)),
  depends_on: fc.constantFrom<unknown>(['b'], { b: { condition: 'service_healthy' } }, { c: { required: false } }, [
    'a',
  ]),
  ports: fc.uniqueArray(fc.constantFrom<unknown>(80, '81:81', '1-3', { target: 5 }), { maxLength: 3 }),
  volumes: fc.uniqueArray(fc.constantFrom<unknown>('v:/v', './a:/b:ro', '/c', { type: 'tmpfs', target: '/t' }), {
    maxLength: 3,
  }),
  networks: fc.constantFrom<unknown>(['n'], { n: null }, { n: { aliases: ['x'] }, default: null }),
  healthcheck: fc.record(
    { test: fc.constantFrom<unknown>('x', ['CMD', 'y']), interval: fc.nat(99_999).map((ms) => `${ms}ms`) },
    { requiredKeys: [] },
  ),
  deploy: fc.constantFrom({ resources: { limits: { cpus: '0.5', memory: '5m' } } }, { replicas: 1 }, { replicas: 2 }),
  cpus: fc.constantFrom<unknown>(1, '0.5', -1),
  profiles: fc.constantFrom([], ['p']),
  user: fc.constantFrom<unknown>('u', 1000, ''),
  'x-a': value,
}
const plausibleService = fc
  .array(
    fc.constantFrom(...Object.keys(plausible)).chain((key) => fc.tuple(fc.constant(key), plausible[key]!)),
    { maxLength: 5 },
  )
  .map((pairs) => new Map<string, unknown>([['image', 'i:1'], ...pairs]))
const plausibleFile = fc.record({
  services: fc.record({ a: plausibleService, b: plausibleService }),
  networks: fc.constant({ n: null }),
  volumes: fc.constantFrom({ v: null }, { v: { name: 'w' } }),
})

test('likely files, and what is read of them reads again the same', async () => {
  let models = 0
  await fc.assert(
    fc.asyncProperty(plausibleFile, async (one) => {
      const text = stringify(one)
      if (!(await survives(text))) return
      models += 1
      const printed = await formatConfig(await load(text), 'yaml')
      assert.is(await formatConfig(await load(printed), 'yaml'), printed)
    }),
    { numRuns: 200 },
  )
  assert.ok(models > 10, `some of them are models, ${models}`)
})

test('any value under any one key of a service', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...serviceKeys), value, async (key, one) => {
      await survives(
        stringify({
          services: {
            web: new Map<string, unknown>([
              ['image', 'i'],
              [key, one],
            ]),
          },
        }),
      )
    }),
    { numRuns: 600 },
  )
})

test('any two structures as files of one merge', async () => {
  await fc.assert(
    fc.asyncProperty(file, file, async (one, two) => {
      await survives(`${stringify(one)}\n---\n${stringify(two)}`)
    }),
    { numRuns: 200 },
  )
})

test.run()
