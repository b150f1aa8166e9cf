import { hash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { DevstackError } from '../../../lib/errors.ts'
import { type Cache, type CacheRecord, openCache, type PublishOptions } from '../../../lib/state/cache.ts'
import { openFiles } from '../../../lib/state/files.ts'
import { inFolder } from './folder.ts'

const parts = { source: 'abc' }
const hashOf = (some: object) => hash('sha256', JSON.stringify(some))
const print = { hash: hashOf(parts), parts }

function write(folder: string, path: string, text: string, mode = 0o644): void {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  chmodSync(file, mode)
}

function open(folder: string, more: { maxBytes?: number; warn?: (text: string) => void } = {}): Cache {
  const directory = join(folder, '.devstack')
  return openCache({ directory, files: openFiles({ directory }), ...more })
}

async function publish(cache: Cache, cwd: string, more: Partial<PublishOptions> = {}): Promise<CacheRecord> {
  const record = await cache.publish({
    task: 'build',
    fingerprint: print,
    value: { tag: 'a:1' },
    durationMs: 12,
    cwd,
    outputs: ['dist/**'],
    ...more,
  })
  assert.ok(record)
  return record
}

/** A folder with outputs of every kind, and what they were. */
function makeOutputs(folder: string): void {
  write(folder, 'dist/a.js', 'alpha')
  write(folder, 'dist/bin/run', '#!/bin/sh\n', 0o755)
  write(folder, 'dist/secret', 'x', 0o600)
  if (process.platform !== 'win32') symlinkSync('a.js', join(folder, 'dist/latest.js'))
}

async function codeOf(run: () => unknown): Promise<string> {
  try {
    await run()
    return 'none'
  } catch (error) {
    return (error as DevstackError).code
  }
}

const storeFiles = (folder: string) =>
  ['tasks', 'entries', 'blobs'].flatMap((kind) => {
    const directory = join(folder, '.devstack/cache', kind)
    return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : []
  })

const records = suite('cache records')

records('gives back the last success to a fresh process', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    assert.is(open(folder).last('build'), undefined)
    const record = await publish(open(folder), folder)
    const cache = open(folder)
    const again = cache.last('build')!
    assert.equal(again.value, { tag: 'a:1' })
    assert.equal(again.parts, parts)
    assert.is(again.durationMs, 12)
    assert.equal(again.outputs, record.outputs)
    assert.equal(cache.differences(again, folder), [])
    assert.equal(cache.find(print.hash)?.outputs, record.outputs)
    assert.is(cache.last('Build'), undefined)
    assert.is(cache.find('../../x'), undefined)
  }),
)

records('a task that began has no fresh record until it succeeds', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    await publish(cache, folder)
    cache.begin('build')
    cache.begin('never ran')
    assert.is(open(folder).last('build'), undefined)
    assert.ok(cache.find(print.hash), 'the stored outputs remain good')
  }),
)

records('keeps tasks apart whose names look alike', () =>
  inFolder(async (folder) => {
    const cache = open(folder)
    const names = ['db:migrate', 'db_migrate', 'db/migrate', '__proto__', '../x', 'é'.repeat(300)]
    for (const [index, task] of names.entries()) await publish(cache, folder, { task, value: index, outputs: [] })
    names.forEach((task, index) => {
      assert.is(cache.last(task)?.value, index)
    })
  }),
)

records('refuses outputs outside the directory and promised ones that are missing', () =>
  inFolder(async (folder) => {
    const cwd = join(folder, 'app')
    write(folder, 'app/a', '')
    write(folder, 'other/b', '')
    const cache = open(folder)
    const at = (outputs: readonly string[]) => codeOf(() => publish(cache, cwd, { outputs }))
    assert.is(await at(['../other/*']), 'OUTPUT_OUTSIDE')
    assert.is(await at(['dist/app.js']), 'OUTPUT_MISSING')
    assert.is(await at(['dist/*.js']), 'none', 'a pattern may match nothing')
    assert.equal(
      storeFiles(folder).filter((file) => file.includes('blobs')),
      [],
    )
  }),
)

records('says once that the store can not be written', () =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, '.devstack'), '')
    const warnings: string[] = []
    const cache = open(folder, { warn: (text) => warnings.push(text) })
    for (let round = 0; round < 2; round += 1) {
      const record = await cache.publish({ task: 't', fingerprint: print, value: 1, durationMs: 1, cwd: folder })
      assert.is(record, undefined)
    }
    assert.is(warnings.length, 1)
    assert.match(warnings[0]!, 'nothing is skipped next time')
  }),
)

const outputs = suite('cache outputs')

outputs('are put back with modes and links, and only where they differ', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    const record = await publish(cache, folder)
    assert.equal(cache.restore(record, folder), [])
    rmSync(join(folder, 'dist'), { recursive: true })
    assert.is(cache.differences(record, folder).length, record.outputs.length)
    assert.equal([...cache.restore(record, folder)].sort(), record.outputs.map(({ path }) => path).sort())
    assert.equal(cache.differences(record, folder), [])
    assert.is(readFileSync(join(folder, 'dist/a.js'), 'utf8'), 'alpha')
    if (process.platform === 'win32') return
    assert.is(statSync(join(folder, 'dist/bin/run')).mode & 0o777, 0o755)
    assert.is(statSync(join(folder, 'dist/secret')).mode & 0o777, 0o600)
    assert.is(readlinkSync(join(folder, 'dist/latest.js')), 'a.js')
  }),
)

outputs('that are put back make their record the last success again', () =>
  inFolder(async (folder) => {
    const cache = open(folder)
    makeOutputs(folder)
    const record = await publish(cache, folder)
    const other = { source: 'other' }
    write(folder, 'dist/a.js', 'beta')
    await publish(cache, folder, { fingerprint: { hash: hashOf(other), parts: other } })
    assert.is.not(open(folder).last('build')?.hash, print.hash)
    assert.equal(cache.restore(cache.find(print.hash)!, folder), ['dist/a.js'])
    assert.equal(open(folder).last('build'), open(folder).find(print.hash))
    assert.equal(open(folder).last('build')?.outputs, record.outputs)
  }),
)

outputs('edited by hand are noticed', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    const record = await publish(cache, folder)
    const { mtime } = statSync(join(folder, 'dist/a.js'))
    writeFileSync(join(folder, 'dist/a.js'), 'ALPHA')
    utimesSync(join(folder, 'dist/a.js'), mtime, mtime)
    rmSync(join(folder, 'dist/secret'))
    assert.equal(cache.differences(record, folder), [
      'output dist/a.js was changed since',
      'output dist/secret is missing',
    ])
    cache.restore(record, folder)
    assert.equal(cache.differences(record, folder), [])
    if (process.platform === 'win32') return
    chmodSync(join(folder, 'dist/bin/run'), 0o644)
    rmSync(join(folder, 'dist/latest.js'))
    symlinkSync('secret', join(folder, 'dist/latest.js'))
    assert.equal(cache.differences(record, folder), [
      'output dist/bin/run has other permissions',
      'output dist/latest.js leads elsewhere',
    ])
    cache.restore(record, folder)
    assert.equal(cache.differences(record, folder), [])
  }),
)

outputs('never escape the directory', () =>
  inFolder(async (folder) => {
    const cwd = join(folder, 'app')
    write(cwd, 'dist/a.js', 'alpha')
    mkdirSync(join(folder, 'outside'))
    const cache = open(folder)
    const record = await publish(cache, cwd)
    rmSync(join(cwd, 'dist'), { recursive: true })
    symlinkSync('../outside', join(cwd, 'dist'))
    assert.is(await codeOf(() => cache.restore(record, cwd)), 'CACHE_RESTORE_FAILED')
    for (const path of ['../outside/x', '/outside/x', 'a/../../outside/x', '..', '', '.', 'a\0b']) {
      const forged = { ...record, outputs: [{ ...record.outputs[0]!, path }] }
      assert.is(await codeOf(() => cache.restore(forged, cwd)), 'CACHE_RESTORE_FAILED', path)
    }
    const linked: CacheRecord = {
      ...record,
      outputs: [
        { type: 'link', path: 'exit', target: '../outside' },
        { ...record.outputs[0]!, path: 'exit/x' },
      ],
    }
    assert.is(await codeOf(() => cache.restore(linked, cwd)), 'CACHE_RESTORE_FAILED')
    assert.equal(readdirSync(join(folder, 'outside')), [])
  }),
)

outputs('that stand in the way fail clearly and leave nothing half-written', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    const record = await publish(cache, folder)
    rmSync(join(folder, 'dist/a.js'))
    mkdirSync(join(folder, 'dist/a.js/deep'), { recursive: true })
    assert.is(await codeOf(() => cache.restore(record, folder)), 'CACHE_RESTORE_FAILED')
    assert.ok(lstatSync(join(folder, 'dist/a.js')).isDirectory())
    assert.not(readdirSync(join(folder, 'dist')).some((name) => name.endsWith('.tmp')))
  }),
)

const damage = suite('damaged cache')

damage('counts as absent wherever a byte is altered or the file is cut', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const record = await publish(open(folder), folder)
    const originals = new Map(storeFiles(folder).map((file) => [file, readFileSync(file)]))
    const names = [...originals.keys()].sort()
    fc.assert(
      fc.property(fc.nat(), fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (which, where, flip, cut) => {
        const file = names[which % names.length]!
        const bytes = originals.get(file)!
        const at = where % bytes.length
        const altered = cut ? bytes.subarray(0, at) : Buffer.from(bytes)
        if (!cut) altered[at]! ^= flip
        writeFileSync(file, altered)
        try {
          const cache = open(folder)
          const last = cache.last('build')
          const found = cache.find(print.hash)
          if (file.includes('/tasks/')) {
            assert.is(last, undefined)
            assert.equal(found?.outputs, record.outputs)
          } else {
            assert.equal(last?.outputs, record.outputs)
            assert.is(found, undefined)
          }
        } finally {
          writeFileSync(file, bytes)
        }
      }),
      { numRuns: 300 },
    )
    assert.ok(open(folder).find(print.hash))
  }),
)

damage('is mended by the next success', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    await publish(open(folder), folder)
    for (const file of storeFiles(folder)) writeFileSync(file, 'x')
    const cache = open(folder)
    assert.is(cache.find(print.hash), undefined)
    await publish(cache, folder)
    rmSync(join(folder, 'dist'), { recursive: true })
    const record = cache.find(print.hash)!
    cache.restore(record, folder)
    assert.equal(cache.differences(record, folder), [])
  }),
)

damage('found while restoring is an error, not a wrong file', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    const record = await publish(cache, folder)
    rmSync(join(folder, 'dist'), { recursive: true })
    for (const file of storeFiles(folder)) if (file.includes('blobs')) writeFileSync(file, 'x')
    assert.is(await codeOf(() => cache.restore(record, folder)), 'CACHE_RESTORE_FAILED')
  }),
)

const pruning = suite('prune')

pruning('removes what was used longest ago until the rest fits', () =>
  inFolder(async (folder) => {
    const cache = open(folder, { maxBytes: 30_000 })
    const hashes: string[] = []
    for (let index = 0; index < 5; index += 1) {
      write(folder, 'dist/a.js', String(index).repeat(10_000))
      write(folder, 'dist/same.js', 'shared')
      const more = { source: String(index) }
      const fingerprint = { hash: hashOf(more), parts: more }
      hashes.push(fingerprint.hash)
      await publish(cache, folder, { fingerprint })
      const time = 1_000 + index
      utimesSync(join(folder, '.devstack/cache/entries', fingerprint.hash), time, time)
    }
    assert.ok(cache.find(hashes[0]!), 'used just now')
    const { bytes, removed } = cache.prune()
    assert.ok(bytes <= 30_000)
    assert.is(removed, 6, 'three entries and a blob of each')
    const left = hashes.map((hash) => cache.find(hash) !== undefined)
    assert.equal(left, [true, false, false, false, true])
    assert.equal(open(folder).prune().removed, 0)
  }),
)

pruning('removes old blobs that nobody names, not young ones', () =>
  inFolder(async (folder) => {
    makeOutputs(folder)
    const cache = open(folder)
    await publish(cache, folder)
    const blobs = join(folder, '.devstack/cache/blobs')
    for (const name of ['old', 'young']) writeFileSync(join(blobs, name), 'x')
    utimesSync(join(blobs, 'old'), 1, 1)
    assert.is(cache.prune().removed, 1)
    assert.ok(existsSync(join(blobs, 'young')))
    assert.ok(cache.find(print.hash))
    await inFolder((empty) => assert.equal(open(empty).prune(), { bytes: 0, removed: 0 }))
  }),
)

for (const tests of [records, outputs, damage, pruning]) tests.run()
