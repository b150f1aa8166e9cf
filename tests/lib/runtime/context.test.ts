import { execFileSync } from 'node:child_process'
import { chmod, mkdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { contextFingerprint, dockerignore, packContext, readContext } from '../../../lib/runtime/context.ts'
import { refusal } from '../../support/refusal.ts'
import { temporaryFolder } from '../../support/temporary.ts'

const test = suite('build context')

/** Runs a body with a folder of these files. */
async function withFolder(
  files: Readonly<Record<string, string>>,
  body: (path: string) => Promise<void>,
): Promise<void> {
  const folder = await temporaryFolder('rt-context-')
  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(folder.path, name)), { recursive: true })
      await writeFile(join(folder.path, name), content)
    }
    await body(folder.path)
  } finally {
    await folder.remove()
  }
}

const paths = async (context: string, more: object = {}) =>
  (await readContext({ context, tags: [], ...more })).entries.map(({ path }) => path)

for (const [rules, ignored, kept] of [
  ['*.log', ['a.log'], ['a/b.log', 'a.txt']],
  ['**/*.log', ['a.log', 'a/b/c.log'], ['log']],
  ['/build', ['build', 'build/x/y'], ['a/build']],
  ['build/', ['build', 'build/x'], ['builds']],
  ['./a/../b', ['b', 'b/c'], ['a']],
  ['a/*/c', ['a/b/c', 'a/b/c/d'], ['a/c']],
  ['*\n!README.md', ['a', 'a/b'], ['README.md']],
  ['docs\n!docs/keep', ['docs/x', 'docs'], ['docs/keep', 'docs/keep/deep']],
  ['*.md\n!README*.md\nREADME-secret.md', ['x.md', 'README-secret.md'], ['README-a.md']],
  ['# comment\n\n  spaced  ', ['spaced'], ['# comment', 'comment']],
  ['secret?.txt', ['secret1.txt'], ['secret12.txt']],
  ['[ab].txt', ['a.txt'], ['c.txt']],
  ['\uFEFFfirst', ['first'], ['second']],
] as const)
  test(`.dockerignore ${JSON.stringify(rules)}`, async () => {
    const { ignores } = await dockerignore(rules)
    for (const path of ignored) assert.ok(ignores(path), `${path} is ignored`)
    for (const path of kept) assert.not.ok(ignores(path), `${path} is kept`)
  })

test('a file that was taken back in brings its folders, and nothing else of them', () =>
  withFolder(
    {
      Dockerfile: 'FROM x',
      '.dockerignore': '*\n!src/deep/file\n!Dockerfile',
      'src/deep/file': '',
      'src/other': '',
      'x/y': '',
    },
    async (path) => {
      assert.equal(await paths(path), ['Dockerfile', 'src', 'src/deep', 'src/deep/file'])
    },
  ))

test("the Dockerfile's own ignore file wins", () =>
  withFolder(
    { 'web.Dockerfile': 'FROM x', 'web.Dockerfile.dockerignore': 'b', '.dockerignore': 'a', a: '', b: '' },
    async (path) => {
      const kept = await paths(path, { dockerfile: 'web.Dockerfile' })
      assert.ok(kept.includes('a') && !kept.includes('b'), kept.join(' '))
    },
  ))

test('the fingerprint follows contents, modes, links, arguments and target, and not times', () =>
  withFolder({ Dockerfile: 'FROM x', a: 'one', 'd/b': 'two', '.dockerignore': 'ignored' }, async (context) => {
    const of = (more: object = {}) => contextFingerprint({ context, tags: ['t'], ...more })
    const first = await of()
    assert.match(first, /^[0-9a-f]{64}$/)
    await utimes(join(context, 'a'), 1, 1)
    await writeFile(join(context, 'ignored'), 'x')
    assert.is(await of(), first)
    assert.is(await of({ tags: ['other'], onOutput: () => undefined }), first)
    const seen = new Set([first])
    const changed = async (what: string, more: object = {}) => {
      const now = await of(more)
      assert.not.ok(seen.has(now), what)
      seen.add(now)
    }
    await changed('argument', { args: { A: '1' } })
    await changed('another argument', { args: { A: '2' } })
    await changed('target', { target: 'x' })
    await changed('platform', { platform: 'linux/arm64' })
    await changed('inline', { dockerfileInline: 'FROM y' })
    assert.is(await of({ args: { A: '1', B: '2' } }), await of({ args: { B: '2', A: '1' } }))
    await chmod(join(context, 'a'), 0o755)
    await changed('mode')
    await writeFile(join(context, 'a'), 'two')
    await changed('content')
    await symlink('a', join(context, 'link'))
    await changed('link')
    await rm(join(context, 'link'))
    await symlink('d/b', join(context, 'link'))
    await changed("link's target")
    await mkdir(join(context, 'empty'))
    await changed('empty folder')
  }))

test('packs what is kept, links as links, root as owner, a Dockerfile from outside added', () =>
  withFolder(
    { 'in/a': 'one', 'in/.dockerignore': 'b', 'in/b': 'x', 'outside.Dockerfile': 'FROM x\n' },
    async (path) => {
      await symlink('/nowhere', join(path, 'in/link'))
      const context = await readContext({
        context: join(path, 'in'),
        dockerfile: join(path, 'outside.Dockerfile'),
        tags: [],
      })
      assert.ok(context.dockerfileOutside)
      const chunks: Uint8Array[] = []
      for await (const chunk of await packContext(context)) chunks.push(chunk as Uint8Array)
      const tar = Buffer.concat(chunks)
      const listing = execFileSync('tar', ['--numeric-owner', '-tvf', '-'], { input: tar, encoding: 'utf8' })
      assert.match(listing, /-rw\S+ 0\/0 +3 .* a\n/)
      assert.match(listing, /link -> \/nowhere/)
      assert.not.match(listing, / b\n/)
      assert.ok(listing.includes(context.dockerfile))
      assert.is(execFileSync('tar', ['-xOf', '-', context.dockerfile], { input: tar, encoding: 'utf8' }), 'FROM x\n')
    },
  ))

test('says which file or folder is missing', () =>
  withFolder({ a: '' }, async (path) => {
    const missing = await refusal(() => readContext({ context: path, tags: [] }))
    assert.is(missing.code, 'RUNTIME_DOCKERFILE_MISSING')
    assert.is(missing.place?.file, join(path, 'Dockerfile'))
    assert.is(
      (await refusal(() => readContext({ context: join(path, 'a'), tags: [] }))).code,
      'RUNTIME_CONTEXT_MISSING',
    )
    assert.is(
      (await refusal(() => readContext({ context: join(path, 'b'), tags: [] }))).code,
      'RUNTIME_CONTEXT_MISSING',
    )
  }))

test('a packed context holds its Dockerfile', () =>
  withFolder({ Dockerfile: 'FROM x' }, async (context) => {
    const options = { context, tags: ['t:1'] }
    assert.is(await text(await packContext(await readContext(options))).then((all) => all.includes('FROM x')), true)
  }))

test.run()
