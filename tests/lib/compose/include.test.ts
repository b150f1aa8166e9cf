import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { loadCompose } from '../../../lib/compose/index.ts'
import { refusal } from '../../support/refusal.ts'
import { load, withFolder } from './folder.ts'

const test = suite('compose include and extends')

test('include brings services with paths of their own folder', async () => {
  const files = {
    'compose.yaml': 'include: [db/compose.yaml]\nservices: { web: { image: i, depends_on: [db] } }',
    'db/compose.yaml': 'services: { db: { image: pg, volumes: ["./data:/data"], env_file: db.env } }\nvolumes: { v: }',
    'db/db.env': 'A=1',
  }
  await withFolder(files, async (directory) => {
    const model = await loadCompose({ files: ['compose.yaml'], directory, environment: {} })
    const db = model.services['db']!
    assert.equal(db.volumes[0], {
      type: 'bind',
      source: join(directory, 'db/data'),
      target: '/data',
      read_only: false,
      bind: { create_host_path: true },
    })
    assert.equal(db.environment, { A: '1' })
    assert.ok(model.volumes['v'])
    assert.is(db.place.file, join(directory, 'db/compose.yaml'))
  })
})

test('the long form merges files and takes folder and variables', async () => {
  const files = {
    'compose.yaml': `
include:
  - path: [parts/a.yaml, parts/b.yaml]
    project_directory: elsewhere
    env_file: parts/own.env
services: { web: { image: i } }
`,
    'parts/a.yaml': 'services: { a: { image: "a:$TAG", user: "$WHO", volumes: ["./x:/x"] } }',
    'parts/b.yaml': 'services: { a: { hostname: b } }',
    'parts/own.env': 'TAG=own\nWHO=$TAG\n',
  }
  await withFolder(files, async (directory) => {
    const options = { files: ['compose.yaml'], directory }
    const model = await loadCompose({ ...options, environment: {} })
    const { image, user, hostname, volumes } = model.services['a']!
    assert.equal({ image, user, hostname }, { image: 'a:own', user: 'own', hostname: 'b' })
    assert.is(volumes[0]?.type === 'bind' && volumes[0].source, join(directory, 'elsewhere/x'))
    const given = await loadCompose({ ...options, environment: { TAG: 'given' } })
    assert.is(given.services['a']!.image, 'a:given')
  })
})

test('the included folder has its own .env', async () => {
  const model = await load({
    'compose.yaml': 'include: [sub/compose.yaml]\nservices: { web: { image: "i:$TAG" } }',
    '.env': 'TAG=outer',
    'sub/compose.yaml': 'services: { s: { image: "s:${TAG}-$ONLY" } }',
    'sub/.env': 'TAG=inner\nONLY=here',
  })
  assert.is(model.services['web']!.image, 'i:outer')
  assert.is(model.services['s']!.image, 's:outer-here')
})

test('one file included twice is the same thing; two that differ are refused', async () => {
  const twice = {
    'compose.yaml': 'include: [a.yaml, b.yaml]',
    'a.yaml': 'include: [c.yaml]\nservices: { a: { image: a } }',
    'b.yaml': 'include: [c.yaml]\nservices: { b: { image: b } }',
    'c.yaml': 'services: { c: { image: c } }',
  }
  assert.equal(Object.keys((await load(twice)).services).sort(), ['a', 'b', 'c'])
  const error = await refusal(() => load({ ...twice, 'b.yaml': 'services: { c: { image: other } }' }))
  assert.is(error.code, 'COMPOSE_INCLUDE_CONFLICT')
  assert.match(error.message, /services\.c/)
})

test('a later file may change what an earlier one includes', async () => {
  const files = {
    'a.yaml': 'include: [inc.yaml]',
    'inc.yaml': 'services: { s: { image: one, user: u } }',
    'b.yaml': 'services: { s: { image: two } }',
  }
  const { image, user } = (await load(files, { files: ['a.yaml', 'b.yaml'] })).services['s']!
  assert.equal([image, user], ['two', 'u'])
})

test('a circle of includes is printed whole', async () => {
  const files = {
    'compose.yaml': 'include: [b.yaml]',
    'b.yaml': 'include: [c.yaml]',
    'c.yaml': 'include: [compose.yaml]',
  }
  const error = await refusal(() => load(files))
  assert.is(error.code, 'COMPOSE_CYCLE')
  assert.match(error.message, /compose\.yaml -> \S+b\.yaml -> \S+c\.yaml -> \S+compose\.yaml$/)
  assert.match(error.place!.file, /c\.yaml$/)
})

test('what is included must exist and be here', async () => {
  const missing = await refusal(() => load('include:\n  - none.yaml\n'))
  assert.is(missing.code, 'COMPOSE_FILE_MISSING')
  assert.is(missing.place?.line, 2)
  assert.is((await refusal(() => load('include: ["https://example.com/x.yaml"]'))).code, 'COMPOSE_UNSUPPORTED')
  assert.is((await refusal(() => load('include: [{ env_file: x }]'))).code, 'COMPOSE_INCLUDE')
  assert.is((await refusal(() => load('include: x.yaml'))).code, 'COMPOSE_TYPE')
})

test('extends takes a service of the same file, own values over it', async () => {
  const model = await load(`
services:
  base: { image: i, environment: { A: 1, B: 1 }, command: [a], cap_add: [X], profiles: [never] }
  mid: { extends: base, environment: { B: 2 }, profiles: !reset [] }
  web:
    extends: { service: mid }
    environment: { C: 3 }
    command: [b]
    cap_add: [Y]
`)
  const { image, environment, command, cap_add } = model.services['web']!
  assert.is(image, 'i')
  assert.equal(environment, { A: '1', B: '2', C: '3' })
  assert.equal(command, ['b'])
  assert.equal(cap_add, ['X', 'Y'])
  assert.equal(Object.keys(model.services), ['mid', 'web'])
})

test('extends takes a service of another file, whose paths count from there', async () => {
  const files = {
    'compose.yaml': 'services: { web: { extends: { file: common/base.yaml, service: base }, user: me } }',
    'common/base.yaml':
      'services: { root: { image: "i:${TAG:-1}", build: . }, base: { extends: root, env_file: x.env } }',
    'common/x.env': 'A=1',
  }
  await withFolder(files, async (directory) => {
    const model = await loadCompose({ files: ['compose.yaml'], directory, environment: { TAG: '2' } })
    const { image, build, environment, user } = model.services['web']!
    assert.is(image, 'i:2')
    assert.is(build?.context, join(directory, 'common'))
    assert.equal(environment, { A: '1' })
    assert.is(user, 'me')
    assert.equal(Object.keys(model.services), ['web'])
  })
})

test('a circle of extends is printed whole, across files too', async () => {
  const own = await refusal(() => load('services: { a: { extends: b }, b: { extends: c }, c: { extends: a } }'))
  assert.is(own.code, 'COMPOSE_CYCLE')
  assert.match(own.message, /#a -> \S+#b -> \S+#c -> \S+#a$/)
  const files = {
    'compose.yaml': 'services: { a: { extends: { file: b.yaml, service: b } } }',
    'b.yaml': 'services: { b: { extends: { file: compose.yaml, service: a } } }',
  }
  const across = await refusal(() => load(files))
  assert.is(across.code, 'COMPOSE_CYCLE')
  assert.match(across.message, /compose\.yaml#a -> \S+b\.yaml#b -> \S+compose\.yaml#a$/)
  assert.is((await refusal(() => load('services: { a: { image: i, extends: a } }'))).code, 'COMPOSE_CYCLE')
})

test('what is extended must exist', async () => {
  const error = await refusal(() => load('services:\n  web: { extends: bsae }\n  base: { image: i }\n'))
  assert.is(error.code, 'COMPOSE_EXTENDS')
  assert.match(error.message, /"bsae" .* Did you mean "base"/)
  assert.is(
    (await refusal(() => load('services: { a: { extends: { service: b, file: no.yaml } } }'))).code,
    'COMPOSE_FILE_MISSING',
  )
  assert.is((await refusal(() => load('services: { a: { extends: { file: no.yaml } } }'))).code, 'COMPOSE_EXTENDS')
  assert.is((await refusal(() => load('services: { a: { extends: [b] } }'))).code, 'COMPOSE_TYPE')
})

test.run()
