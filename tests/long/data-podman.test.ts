// deadline: 3600s
/**
 * Data on Podman: the fast mode with migrations, seeds, a proved backup, restore and undo, and `prune` of an image that a
 * newer build replaced. The service, its images and all it stores are this test's own, and gone afterwards.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall } from '../support/engine.ts'
import { startPodman } from '../support/podman.ts'
import { psql, redis } from '../support/stack-data.ts'

const test = suite('data on Podman')
const podman = await startPodman()
/** Images are built from Debian's packages, the base image too. */
const patience = { timeout: 1_800_000 }

let place: Checkout

const query = (sql: string): Promise<string> => psql(place, sql, { member: 'postgres' })
const contents = "SELECT string_agg(id || ' ' || name, ', ' ORDER BY id) FROM rooms"
const value = (key: string): Promise<string> => redis(place, ['GET', key], { member: 'redis' })

if ('missing' in podman) {
  test.skip(`not run: ${podman.missing}`, () => {})
} else {
  // the helpers that look into the stack ask the same engine
  process.env['DOCKER_HOST'] = podman.address

  test.before(() => {
    place = checkout({
      name: 'podman',
      env: { DOCKER_HOST: podman.address },
      files: (project) => ({
        'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack()] })
`,
        'migrations/0001-rooms.sql': 'CREATE TABLE rooms (id int PRIMARY KEY, name text NOT NULL);\n',
        'seeds/0001-rooms.sql': "INSERT INTO rooms VALUES (1, 'Red'), (2, 'Blue') ON CONFLICT DO NOTHING;\n",
      }),
    })
  })
  test.after(async () => {
    try {
      await place.remove({ engine: true })
    } finally {
      await podman.stop()
    }
  })

  test('up, migrate, seed', async () => {
    await place.succeed(['run', 'up', '--fast'], patience)
    await place.succeed(['run', 'migrate'], patience)
    await place.succeed(['run', 'seed'], patience)
    assert.is(await query(contents), '1 Red, 2 Blue')
  })

  test('a backup is proved, brought back and undone', async () => {
    await redis(place, ['SET', 'state', 'old'], { member: 'redis' })
    await place.succeed(['run', 'backup', '--verify'], patience)
    const id = readdirSync(join(place.directory, 'backups'))
      .filter((name) => /^\d{8}-/.test(name))
      .toSorted()
      .at(-1)!
    await query("DELETE FROM rooms WHERE id = 2; UPDATE rooms SET name = 'Green'")
    await redis(place, ['SET', 'state', 'new'], { member: 'redis' })
    await place.succeed(['run', 'restore', id, '--yes'], patience)
    assert.is(await query(contents), '1 Red, 2 Blue')
    assert.is(await value('state'), 'old')
    await place.succeed(['undo', '--yes'], patience)
    assert.is(await query(contents), '1 Green')
    assert.is(await value('state'), 'new')
    const scratch = encodeURIComponent(JSON.stringify({ label: ['devstack.scratch'] }))
    assert.is((await engineCall(`/containers/json?all=true&filters=${scratch}`)).text.trim(), '[]')
  })

  test('prune removes the image that a newer build replaced, and no other', async () => {
    const images = async (): Promise<readonly string[]> =>
      (JSON.parse((await engineCall('/images/json')).text) as readonly { Id: string }[]).map(({ Id }) => Id).toSorted()
    const before = await images()
    const replaced = JSON.parse((await engineCall('/images/devstack-redis/json')).text).Id as string
    await place.succeed(['run', 'rebuild', 'redis', '--fast', '--no-cache'], patience)
    assert.ok((await images()).includes(replaced), 'it is still there, without a name')
    assert.match(await place.refused(['run', 'prune']), /CONFIRMATION_NEEDED|--yes/)
    await place.succeed(['run', 'prune', '--yes'], patience)
    const after = await images()
    assert.not(after.includes(replaced))
    for (const id of before) if (id !== replaced) assert.ok(after.includes(id), `${id} stays`)
    assert.is(await value('state'), 'new', 'the new container has the data of the old one')
  })

  test('down leaves the data, and clean leaves nothing', async () => {
    await place.succeed(['run', 'down'], patience)
    await place.succeed(['run', 'up', '--fast'], patience)
    assert.is(await query(contents), '1 Green')
    await place.succeed(['run', 'down', '--volumes', '--yes'], patience)
    const all = encodeURIComponent(JSON.stringify({ label: [`devstack.project=${place.project}`] }))
    assert.is((await engineCall(`/containers/json?all=true&filters=${all}`)).text.trim(), '[]')
    assert.equal(JSON.parse((await engineCall(`/volumes?filters=${all}`)).text).Volumes, [])
  })
}

test.run()
