import { existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { thisProcess } from '../../../lib/state/processes.ts'
import type { Manifest } from '../../../tasks/data/manifest.ts'
import {
  discard,
  findBackup,
  openDraft,
  prune,
  publish,
  readShelf,
  removeDeadDrafts,
} from '../../../tasks/data/shelf.ts'
import { findSnapshot, pruneAutomatic, publishSnapshot, readSnapshots } from '../../../tasks/data/snapshot-shelf.ts'
import { temporaryFolder } from './folder.ts'

const test = suite('shelf of backups')

const manifestOf = (id: string, createdAt: string): Manifest => ({
  ...{ format: 1, id, project: 'p', createdAt, reason: 'asked for', devstack: '0' },
  postgres: {
    ...{ version: '15', image: 'i', leader: 'postgres1', systemIdentifier: '1', lsn: '0/1', timeline: 1 },
    databases: [],
  },
  files: {},
})

const within = (use: (shelf: string) => void) => () => {
  const folder = temporaryFolder()
  try {
    use(join(folder.path, 'backups'))
  } finally {
    folder.remove()
  }
}
const add = (shelf: string, id: string, second: number) =>
  publish(shelf, openDraft(shelf, id), manifestOf(id, new Date(second * 1000).toISOString()))

test(
  'a draft is no backup until it is published, and then it is whole and private',
  within((shelf) => {
    const draft = openDraft(shelf, 'one')
    assert.equal(readShelf(shelf), { backups: [], broken: [] })
    const { folder } = publish(shelf, draft, manifestOf('one', '2026-01-01T00:00:00.000Z'))
    assert.equal(
      readShelf(shelf).backups.map(({ id }) => id),
      ['one'],
    )
    assert.equal(readdirSync(folder), ['manifest.json'])
    assert.is(statSync(join(folder, 'manifest.json')).mode & 0o77, 0)
    assert.is(statSync(folder).mode & 0o77, 0)
  }),
)

test(
  'the oldest go, never those that are named',
  within((shelf) => {
    for (const [index, id] of ['a', 'b', 'c', 'd', 'e'].entries()) add(shelf, id, index)
    assert.equal(prune(shelf, 2, ['a']), ['c', 'b'])
    assert.equal(
      readShelf(shelf).backups.map(({ id }) => id),
      ['e', 'd', 'a'],
    )
    assert.is(findBackup(shelf, 'latest').id, 'e')
    assert.throws(() => findBackup(shelf, 'f'), /no backup "f"/)
  }),
)

test(
  'latest is the newest that was asked for, not one made by itself before something',
  within((shelf) => {
    const addFor = (reason: string, id: string, second: number) =>
      publish(shelf, openDraft(shelf, id), { ...manifestOf(id, new Date(second * 1000).toISOString()), reason })
    addFor('before migrate', 'a', 1)
    assert.throws(() => findBackup(shelf, 'latest'), /no backup that was asked for/)
    addFor('asked for', 'b', 2)
    addFor('before restore', 'c', 3)
    assert.is(findBackup(shelf, 'latest').id, 'b')
    assert.is(findBackup(shelf, 'c').id, 'c')
  }),
)

test(
  'snapshots made by themselves: never the latest, and the newest three stay with those that are named',
  within((shelf) => {
    const addFor = (reason: string, id: string, second: number) =>
      publishSnapshot(shelf, openDraft(shelf, id), {
        ...{ format: 1, id, project: 'p', createdAt: new Date(second * 1000).toISOString(), reason },
        ...{ volumes: [], bytes: 0, sha256: '', rawBytes: 0 },
      })
    for (const [second, id] of ['a', 'b', 'c', 'd', 'e'].entries()) addFor('before restore-snapshot', id, second + 2)
    assert.throws(() => findSnapshot(shelf, 'latest'), /no snapshot that was asked for/)
    addFor('asked for', 'mine', 1)
    assert.is(findSnapshot(shelf, 'latest').id, 'mine')
    assert.equal(pruneAutomatic(shelf, ['a']), ['b'])
    assert.equal(
      readSnapshots(shelf).snapshots.map(({ id }) => id),
      ['e', 'd', 'c', 'a', 'mine'],
    )
  }),
)

test(
  'drafts of the living stay, those of the dead go',
  within((shelf) => {
    openDraft(shelf, 'mine')
    const dead = openDraft(shelf, 'theirs')
    writeFileSync(join(dead.folder, 'owner.json'), JSON.stringify({ ...thisProcess(), started: '1' }))
    // begun this moment, or its removal was broken off long ago
    mkdirSync(join(shelf, '.draft-new'))
    mkdirSync(join(shelf, '.draft-removed-old'))
    utimesSync(join(shelf, '.draft-removed-old'), 1000, 1000)
    // a note that was being replaced
    for (const name of ['.restore.json.1.tmp', '.restore.json.2.tmp']) writeFileSync(join(shelf, name), '{')
    utimesSync(join(shelf, '.restore.json.1.tmp'), 1000, 1000)
    assert.equal(removeDeadDrafts(shelf).toSorted(), ['removed-old', 'theirs'])
    assert.equal(readdirSync(shelf).toSorted(), ['.draft-mine', '.draft-new', '.gitignore', '.restore.json.2.tmp'])
  }),
)

test(
  'a backup with a broken manifest is named, and in nobody’s way',
  within((shelf) => {
    const { folder } = add(shelf, 'good', 1)
    const { folder: bad } = add(shelf, 'bad', 2)
    writeFileSync(join(bad, 'manifest.json'), '{"format": 1')
    const { backups, broken } = readShelf(shelf)
    assert.equal([backups.map(({ id }) => id), broken.map(({ id }) => id)], [['good'], ['bad']])
    assert.throws(() => findBackup(shelf, 'bad'), /no usable manifest/)
    discard(shelf, folder)
    assert.not(existsSync(folder))
  }),
)

test(
  'a manifest that names files elsewhere, or privileges that are none, is refused',
  within((shelf) => {
    const { folder } = add(shelf, 'good', 1)
    const manifest = manifestOf('good', '2026-01-01T00:00:00.000Z')
    const database = {
      ...{ name: 'app', owner: 'app', encoding: 'UTF8', collate: 'C', ctype: 'C', settings: [], size: 1, tables: [] },
      ...{ privileges: [] as unknown[], file: 'app.dump' },
    }
    const readWith = (changed: Partial<typeof database>) => {
      const postgres = { ...manifest.postgres, databases: [{ ...database, ...changed }] }
      const files = { 'app.dump': { bytes: 1, sha256: '0'.repeat(64) } }
      writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, postgres, files }))
      return readShelf(shelf).broken.map(({ why }) => why)
    }
    assert.equal(readWith({}), [])
    assert.match(readWith({ file: 'other.dump' })[0]!, /names other\.dump without/)
    for (const file of ['../app.dump', '/etc/passwd', 'a/b', '..', '.hidden'])
      assert.is(readWith({ file }).length, 1, file)
    const privilege = 'CONNECT ON DATABASE app TO app; DROP DATABASE app; --'
    assert.is(readWith({ privileges: [{ grantee: 'app', privilege, grantable: false }] }).length, 1)
  }),
)

test.run()
