import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
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
import type { Json } from '../../../lib/engine/schema.ts'
import { openFiles } from '../../../lib/state/files.ts'
import { explainDifference, type FingerprintSources, fingerprint, stable } from '../../../lib/state/fingerprint.ts'
import { inFolder } from './folder.ts'

const minuteAgo = () => Date.now() / 1000 - 60

function write(folder: string, path: string, text: string): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  return file
}

/** As a fresh process would see it, with what earlier ones saved. */
async function look(folder: string, sources: Partial<FingerprintSources> = {}) {
  const files = openFiles({ directory: join(folder, '.devstack') })
  const result = await fingerprint({ cwd: folder, inputs: ['src/**'], ...sources }, files)
  files.save()
  return result
}

async function differences(folder: string, change: () => void, sources: Partial<FingerprintSources> = {}) {
  const before = await look(folder, sources)
  change()
  const now = await look(folder, sources)
  const lines = explainDifference(before.parts, now.parts)
  assert.is(before.hash === now.hash, lines.length === 0, 'hash and explanation agree')
  return lines
}

const files = suite('fingerprint of files')

files('changes with content and names, not with times', () =>
  inFolder(async (folder) => {
    const a = write(folder, 'src/a.ts', 'one')
    write(folder, 'src/deep/b.ts', 'two')
    write(folder, 'other.ts', 'three')
    assert.equal(await differences(folder, () => utimesSync(a, 1, 1)), [])
    assert.equal(await differences(folder, () => write(folder, 'other.ts', 'four')), [])
    assert.equal(await differences(folder, () => write(folder, 'src/a.ts', 'One')), ['src/a.ts changed'])
    assert.equal(await differences(folder, () => write(folder, 'src/c.ts', '')), ['src/c.ts is new'])
    assert.equal(await differences(folder, () => rmSync(join(folder, 'src/deep'), { recursive: true })), [
      'src/deep/b.ts is gone',
    ])
    if (process.platform !== 'win32') {
      assert.equal(await differences(folder, () => chmodSync(a, 0o755)), ['src/a.ts is executable now'])
      assert.equal(await differences(folder, () => chmodSync(a, 0o600)), ['src/a.ts is not executable any more'])
    }
  }),
)

files('reads each file once, as long as nothing about it changes', () =>
  inFolder(async (folder) => {
    const a = write(folder, 'src/a.ts', 'one')
    const old = minuteAgo()
    utimesSync(a, old, old)
    const store = join(folder, '.devstack/cache/files.json')
    await look(folder)
    // The change time of the file is of just now, which no call can set back: it is not believed yet.
    assert.not(existsSync(store))
    const files = openFiles({ directory: join(folder, '.devstack') })
    assert.is((await files.hash(folder, ['src/a.ts'])).get('src/a.ts')?.length, 64)
  }),
)

files('notices an edit of equal size within the same timestamp', () =>
  inFolder(async (folder) => {
    const a = write(folder, 'src/a.ts', 'one')
    const { atime, mtime } = statSync(a)
    const change = () => {
      writeFileSync(a, 'eno')
      utimesSync(a, atime, mtime)
    }
    assert.equal(await differences(folder, change), ['src/a.ts changed'])
  }),
)

files('uses what an earlier process learnt, and nothing that was tampered with', () =>
  inFolder(async (folder) => {
    const a = write(folder, 'src/a.ts', 'one')
    const settled = openFiles({ directory: join(folder, '.devstack'), settledMs: -1_000_000 })
    const truth = await settled.hash(folder, ['src/**'])
    settled.save()
    const store = join(folder, '.devstack/cache/files.json')
    const saved = readFileSync(store, 'utf8')
    const lie = 'f'.repeat(64)
    const hash = truth.get('src/a.ts')!
    const { digest, forge } = forger()
    // A store with a good checksum is believed ...
    writeFileSync(store, forge(saved, hash, lie))
    assert.is((await openFiles({ directory: join(folder, '.devstack') }).hash(folder, ['src/**'])).get('src/a.ts'), lie)
    // ... as long as the file is the very same,
    writeFileSync(a, 'two')
    const fresh = (await openFiles({ directory: join(folder, '.devstack') }).hash(folder, ['src/**'])).get('src/a.ts')
    assert.is(fresh, digest('two'))
    // and one without is not.
    writeFileSync(a, 'one')
    writeFileSync(store, saved.replace(hash, lie))
    assert.is(
      (await openFiles({ directory: join(folder, '.devstack') }).hash(folder, ['src/**'])).get('src/a.ts'),
      hash,
    )
  }),
)

files('survives a store that is anything at all', () =>
  inFolder(async (folder) => {
    write(folder, 'src/a.ts', 'one')
    const { forgeContent } = forger()
    const { hash } = await look(folder)
    const store = join(folder, '.devstack/cache/files.json')
    mkdirSync(dirname(store), { recursive: true })
    for (const text of [
      '',
      '{',
      'null',
      forgeContent('null'),
      forgeContent('[]'),
      forgeContent('{"format":1,"files":{}}'),
      forgeContent('{"format":2,"files":7}'),
    ]) {
      writeFileSync(store, text)
      assert.is((await look(folder)).hash, hash)
    }
    rmSync(store)
    mkdirSync(store)
    assert.is((await look(folder)).hash, hash)
  }),
)

files('knows plain names that are missing, folders, links and exclusions', () =>
  inFolder(async (folder) => {
    write(folder, 'src/a.ts', 'one')
    write(folder, 'src/a.test.ts', 'test')
    write(folder, 'node_modules/x/index.js', '')
    write(folder, '.git/HEAD', '')
    write(folder, '.env', 'A=1')
    const files = openFiles({ directory: join(folder, '.devstack') })
    const keys = async (...patterns: string[]) => [...(await files.hash(folder, patterns)).keys()].sort()
    assert.equal(await keys('src', '!**/*.test.ts'), ['src/a.ts'])
    assert.equal(await keys('**'), ['.env', 'src/a.test.ts', 'src/a.ts'])
    assert.equal(await keys('node_modules/**'), ['node_modules/x/index.js'])
    assert.is((await files.hash(folder, ['./gone.json'])).get('gone.json'), 'missing')
    assert.equal(await keys(), [])
    if (process.platform === 'win32') return
    symlinkSync('a.ts', join(folder, 'src/link'))
    symlinkSync('nowhere', join(folder, 'src/broken'))
    files.forget()
    const hashes = await files.hash(folder, ['src/*'])
    assert.is(hashes.get('src/link'), hashes.get('src/a.ts'), 'what a link leads to counts')
    assert.equal(explainDifference((await look(folder, { inputs: ['gone'] })).parts, {}).slice(-1), ['gone is missing'])
    assert.equal(await differences(folder, () => write(folder, 'gone', 'x'), { inputs: ['gone'] }), ['gone is new'])
  }),
)

files('are found alike by name and by pattern', () =>
  inFolder(async (folder) => {
    for (const path of ['a.ts', 'deep/b.ts', 'deep/.hidden', '.git', 'node_modules/x.js', '.devstack/y'])
      write(folder, `src/${path}`, path)
    if (process.platform !== 'win32') symlinkSync('deep', join(folder, 'src/linked'))
    const keys = async (...patterns: string[]) => [
      ...(await openFiles({ directory: join(folder, '.devstack') }).hash(folder, patterns)).keys(),
    ]
    // the last of each is followed by a pattern that only a matcher understands
    for (const [plain, matched] of [
      ['src', '{src,src}/**'],
      ['src/**', '{src,src}/**'],
      ['src/**/*', '{src,src}/**/*'],
      ['src/deep', 'src/{deep,deep}/**'],
      ['src/a.ts', 'src/{a,a}.ts'],
      ['src/a.ts/**', 'src/{a,a}.ts/**'],
      ['src/deep/../a.ts', 'src/{a,a}.ts'],
      ['src/node_modules/**', 'src/{node_modules,node_modules}/**'],
    ] as const)
      assert.equal(await keys(plain), await keys(matched), plain)
    assert.equal(await keys('src/deep/**', 'src/*.ts', 'src/a.ts'), ['src/a.ts', 'src/deep/.hidden', 'src/deep/b.ts'])
  }),
)

files('are looked for once in a run, until told to forget', () =>
  inFolder(async (folder) => {
    write(folder, 'src/a.ts', 'one')
    const files = openFiles({ directory: join(folder, '.devstack') })
    const first = await files.hash(folder, ['src/**'])
    write(folder, 'src/a.ts', 'two')
    write(folder, 'src/b.ts', 'new')
    assert.equal(await files.hash(folder, ['src/**']), first)
    files.forget()
    assert.is((await files.hash(folder, ['src/**'])).size, 2)
  }),
)

files('random edits are seen, random touches are not', () =>
  fc.assert(
    fc.asyncProperty(
      fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.string({ maxLength: 8 }), { minKeys: 1, maxKeys: 6 }),
      fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.string({ maxLength: 8 }), { minKeys: 1, maxKeys: 6 }),
      (before, after) =>
        inFolder(async (folder) => {
          for (const [name, text] of Object.entries(before)) write(folder, `src/${name}`, text)
          const lines = await differences(folder, () => {
            rmSync(join(folder, 'src'), { recursive: true })
            for (const [name, text] of Object.entries(after)) write(folder, `src/${name}`, text)
          })
          const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()
          const expected = names.flatMap((name) => {
            if (!Object.hasOwn(after, name)) return [`src/${name} is gone`]
            if (!Object.hasOwn(before, name)) return [`src/${name} is new`]
            return before[name] === after[name] ? [] : [`src/${name} changed`]
          })
          assert.equal(lines, expected)
        }),
    ),
    { numRuns: 40 },
  ),
)

const parts = suite('fingerprint of the rest')

parts('names what differs and keeps no value', () =>
  inFolder(async (folder) => {
    const sources = {
      inputs: undefined,
      source: 'cc -o a a.c',
      params: { to: '0007', level: 1 },
      env: { TARGET: 'prod', TOKEN: 'hunter2', EMPTY: undefined },
      needs: { image: { id: 'sha256:1', tags: ['a'] } },
      outputs: ['dist/**'],
      more: { 'version of node': '24' },
    }
    const before = await look(folder, sources)
    assert.not.match(JSON.stringify(before), 'hunter2')
    const explain = async (change: Partial<FingerprintSources>) =>
      explainDifference(before.parts, (await look(folder, { ...sources, ...change })).parts)
    assert.equal(await explain({}), [])
    assert.equal(await explain({ source: 'cc -O2' }), ['what it runs changed'])
    assert.equal(await explain({ params: { to: '0008', level: 1, dry: true } }), [
      'param dry is new',
      'param to changed',
    ])
    assert.equal(await explain({ env: { TARGET: 'dev', TOKEN: undefined, EMPTY: '' } }), [
      'environment variable EMPTY is set now',
      'environment variable TARGET changed',
      'environment variable TOKEN is not set any more',
    ])
    assert.equal(await explain({ env: { NEW: 'x', TARGET: 'prod', TOKEN: 'hunter2' } }), [
      'environment variable EMPTY does not count any more',
      'environment variable NEW counts now',
    ])
    assert.equal(await explain({ needs: { image: { id: 'sha256:2', tags: ['a'] } } }), ['the value of image changed'])
    assert.equal(await explain({ needs: { image: { tags: ['a'], id: 'sha256:1' } } }), [], 'order of keys')
    assert.equal(await explain({ outputs: ['build/**'] }), ['the list of outputs changed'])
    assert.equal(await explain({ more: {} }), ['version of node is gone'])
  }),
)

parts('a number is not its text, and names can be anything', () =>
  inFolder(async (folder) => {
    const hash = async (params: Record<string, Json>) => (await look(folder, { params })).hash
    assert.is.not(await hash({ a: 1 }), await hash({ a: '1' }))
    assert.is.not(await hash(JSON.parse('{"__proto__":1}')), await hash(JSON.parse('{"__proto__":2}')))
    assert.equal(explainDifference({}, { 'param __proto__': 'x' }), ['param __proto__ is new'])
  }),
)

parts('equal JSON has equal text, different JSON different text', () =>
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const [one, two] = [a as Json, b as Json]
      assert.is(stable(JSON.parse(JSON.stringify(one))), stable(one))
      const same = stable(one) === stable(two)
      if (same) assert.equal(JSON.parse(stable(one)), JSON.parse(stable(two)))
      else assert.is.not(JSON.stringify(one), JSON.stringify(two))
    }),
  ),
)

parts('the hash depends on every part and on where one ends', () =>
  inFolder(async (folder) => {
    const hashOf = async (more: Record<string, Json>) => (await look(folder, { inputs: undefined, more })).hash
    const dictionary = fc.dictionary(fc.string(), fc.string(), { minKeys: 1 })
    await fc.assert(
      fc.asyncProperty(dictionary, fc.nat(), fc.string(), async (some, index, text) => {
        const keys = Object.keys(some)
        const key = keys[index % keys.length]!
        const shuffled = Object.fromEntries(Object.entries(some).reverse())
        const hash = await hashOf(some)
        assert.is(await hashOf(shuffled), hash)
        assert.is((await hashOf({ ...some, [key]: some[key] + text })) === hash, text === '')
        const { [key]: _, ...less } = some
        assert.is.not(await hashOf(less), hash)
      }),
    )
  }),
)

function forger() {
  const { createHash } = process.getBuiltinModule('node:crypto')
  const digest = (text: string) => createHash('sha256').update(text).digest('hex')
  const forgeContent = (content: string) => `${digest(content)}\n${content}`
  return {
    digest,
    forgeContent,
    forge: (saved: string, from: string, to: string) => forgeContent(saved.slice(65).replace(from, to)),
  }
}

for (const tests of [files, parts]) tests.run()
