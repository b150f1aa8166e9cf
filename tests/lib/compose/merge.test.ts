import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { refusal } from '../../support/refusal.ts'
import { load } from './folder.ts'

const test = suite('compose merge')

/** Service `web` after a merge of these files, each the text below `services.web`. */
async function merged(...parts: readonly string[]) {
  const indented = (text: string) =>
    text
      .trim()
      .split('\n')
      .map((line) => `    ${line}`)
      .join('\n')
  const files = Object.fromEntries(
    parts.map((part, index) => [
      `${index}.yaml`,
      `services:\n  web:\n${indented(part)}\nnetworks: { a: , b: }\nvolumes: { v: , w: }`,
    ]),
  )
  const model = await load(files, { files: Object.keys(files) })
  return model.services['web']!
}

test('scalars are replaced, maps merged, lists appended', async () => {
  const web = await merged(
    'image: one\nuser: "1"\nlabels: { a: 1, b: 1 }\ncap_add: [X, Y]\nhealthcheck: { interval: 1s, retries: 2 }',
    'image: two\nlabels: { b: 2 }\ncap_add: [Y, Z]\nhealthcheck: { interval: 3s }',
  )
  assert.is(web.image, 'two')
  assert.is(web.user, '1')
  assert.equal(web.labels, { a: '1', b: '2' })
  assert.equal(web.cap_add, ['X', 'Y', 'Z'])
  assert.equal(web.healthcheck, { interval: 3000, retries: 2 })
})

test('commands and tests are replaced as a whole', async () => {
  const web = await merged(
    'image: i\ncommand: [a, b]\nentrypoint: x y\nhealthcheck: { test: [CMD, a, b] }',
    'command: c\nentrypoint: [z]\nhealthcheck: { test: d }',
  )
  assert.equal(web.command, ['c'])
  assert.equal(web.entrypoint, ['z'])
  assert.equal(web.healthcheck?.test, ['CMD-SHELL', 'd'])
})

test('short and long forms of the same thing merge', async () => {
  const web = await merged(
    'build: .\nimage: i\nenvironment: [A=1, B=1]\nnetworks: [a]\ndns: 1.1.1.1\ntmpfs: /x\nextra_hosts: { h: 1.2.3.4 }',
    'build: { args: [X=1] }\nenvironment: { B: 2, C: }\nnetworks: { b: { aliases: [z] } }\ndns: [2.2.2.2]\ntmpfs: [/y]\nextra_hosts: ["k:::1"]',
  )
  assert.equal(web.environment, { A: '1', B: '2' })
  assert.equal(web.networks, { a: { aliases: [] }, b: { aliases: ['z'] } })
  assert.equal(web.dns, ['1.1.1.1', '2.2.2.2'])
  assert.equal(web.tmpfs, [{ target: '/x' }, { target: '/y' }])
  assert.equal(web.extra_hosts, ['h:1.2.3.4', 'k:::1'])
  assert.equal(web.build?.args, { X: '1' })
})

test('mounts are told apart by target, ports by everything', async () => {
  const web = await merged(
    'image: i\nvolumes: ["v:/data", "v:/more"]\nports: ["80:80", "81:81"]',
    'volumes: [{ type: volume, source: w, target: /data }]\nports: ["81:81", "127.0.0.1:82:82"]',
  )
  assert.equal(
    web.volumes.map((one) => [one.type === 'volume' && one.source, one.target]),
    [
      ['w', '/data'],
      ['v', '/more'],
    ],
  )
  assert.equal(
    web.ports.map((port) => port.published),
    [80, 81, 82],
  )
})

test('logging options merge under the same driver only', async () => {
  const base = 'image: i\nlogging: { driver: json-file, options: { a: 1 } }'
  assert.equal((await merged(base, 'logging: { options: { b: 2 } }')).logging, {
    driver: 'json-file',
    options: { a: '1', b: '2' },
  })
  assert.equal((await merged(base, 'logging: { driver: local, options: { b: 2 } }')).logging, {
    driver: 'local',
    options: { b: '2' },
  })
})

test('depends_on merges list over map', async () => {
  const model = await load(
    {
      'a.yaml':
        'services: { a: { image: i, depends_on: { b: { condition: service_healthy } } }, b: { image: i }, c: { image: i } }',
      'b.yaml': 'services: { a: { depends_on: [c] } }',
    },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.equal(
    Object.entries(model.services['a']!.depends_on).map(([name, one]) => [name, one.condition]),
    [
      ['b', 'service_healthy'],
      ['c', 'service_started'],
    ],
  )
})

test('parts of one address pool merge, a second pool is refused', async () => {
  const network = (pool: string) =>
    `services: { a: { image: i, networks: [n] } }\nnetworks: { n: { ipam: { config: [${pool}] } } }`
  const files = {
    'a.yaml': network('{ subnet: 10.9.0.0/24 }'),
    'b.yaml': network('{ subnet: 10.9.0.0/24, gateway: 10.9.0.1 }'),
  }
  const model = await load(files, { files: ['a.yaml', 'b.yaml'] })
  assert.equal(model.networks['n']!.ipam, { config: [{ subnet: '10.9.0.0/24', gateway: '10.9.0.1' }] })
  const other = { ...files, 'b.yaml': network('{ subnet: 10.8.0.0/24 }') }
  assert.is((await refusal(() => load(other, { files: ['a.yaml', 'b.yaml'] }))).code, 'COMPOSE_UNSUPPORTED')
})

test('!reset removes and !override replaces', async () => {
  const web = await merged(
    'image: i\nports: ["80:80"]\nuser: x\nenvironment: { A: 1, B: 1 }\ncap_add: [X]',
    'ports: !override ["81:81"]\nuser: !reset null\nenvironment: { A: !reset null }\ncap_add: !reset []',
  )
  assert.equal(
    web.ports.map((port) => port.published),
    [81],
  )
  assert.is(web.user, undefined)
  assert.equal(web.environment, { B: '1' })
  assert.is(web.cap_add, undefined)
})

test('what was removed can be set again by a third file, and stays replaced', async () => {
  const web = await merged('image: i\ncap_add: [X]', 'cap_add: !reset []', 'cap_add: [Y]')
  assert.equal(web.cap_add, ['Y'])
})

test('!reset removes a whole service', async () => {
  const model = await load(
    { 'a.yaml': 'services: { a: { image: i }, b: { image: i } }', 'b.yaml': 'services: { b: !reset null }' },
    { files: ['a.yaml', 'b.yaml'] },
  )
  assert.equal(Object.keys(model.services), ['a'])
})

test('a null over a value changes nothing', async () => {
  assert.is((await merged('image: i\nuser: x', 'user:')).user, 'x')
})

test('a list over a map is refused with both named', async () => {
  const error = await refusal(() => merged('image: i\nhealthcheck: { interval: 1s }', 'healthcheck: [x]'))
  assert.is(error.code, 'COMPOSE_MERGE')
  assert.match(error.message, /services\.web\.healthcheck is a list .* a map/)
})

test('several documents of one file merge in order', async () => {
  const model = await load('services: { a: { image: one } }\n---\nservices: { a: { image: two } }\n')
  assert.is(model.services['a']!.image, 'two')
})

test('anchors and merge keys: own keys win, of several maps the first', async () => {
  const model = await load(`
x-a: &a { user: a, hostname: a, init: true }
x-b: &b { user: b, domainname: b }
services:
  web:
    <<: [*a, *b]
    image: i
    hostname: own
  other: { <<: *b, image: i }
`)
  const { user, hostname, domainname, init } = model.services['web']!
  assert.equal({ user, hostname, domainname, init }, { user: 'a', hostname: 'own', domainname: 'b', init: true })
  assert.is(model.services['other']!.user, 'b')
})

test.run()
