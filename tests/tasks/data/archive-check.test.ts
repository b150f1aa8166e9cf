import { spawnSync } from 'node:child_process'
import { posix } from 'node:path'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { pack } from 'tar-stream'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ArchiveEntry, ArchiveJudge, listedEntry, listing } from '../../../tasks/data/archive-check.ts'
import { TextLines } from '../../../tasks/data/text-lines.ts'

const test = suite('archives of volumes')

const verdict = (entries: readonly ArchiveEntry[]): string => {
  try {
    const judge = new ArchiveJudge(['data', 'cache'])
    for (const entry of entries) judge.entry(entry)
    judge.end()
    return 'fine'
  } catch (thrown) {
    return (thrown as Error).message
  }
}
const file = (name: string): ArchiveEntry => ({ name, type: 'file' })
const link = (name: string, linkname: string, type = 'symlink'): ArchiveEntry => ({ name, type, linkname })

test('what devstack makes is fine', () => {
  const entries = [
    { name: 'data/', type: 'directory' },
    file('data/main/PG_VERSION'),
    file('./cache/dump.rdb'),
    link('data/current', 'main/base'),
    link('data/deep/er/up', '../../main'),
    link('data/copy', 'data/main/PG_VERSION', 'link'),
    file('data/..hidden..'),
  ]
  assert.is(verdict(entries), 'fine')
})

test('whatever leads out is refused', () => {
  const bad: readonly (readonly ArchiveEntry[])[] = [
    [file('../etc/passwd')],
    [file('data/../../etc/passwd')],
    [file('data/..')],
    [file('/etc/passwd')],
    [file('other/file')],
    [file('')],
    [file('data/a\0b')],
    [link('data/l', '/etc')],
    [link('data/l', '..')],
    [link('data/l', '../cache')],
    [link('data/l', 'a/../../x')],
    [link('data/a/b/l', '../../../cache/x')],
    [link('data/l', '')],
    [link('data/l', '/etc/passwd', 'link')],
    [link('data/l', '../x', 'link')],
    [link('data/l', 'cache/x', 'link')],
    // through a link, in whichever order they come
    [link('data/l', 'main'), file('data/l/file')],
    [file('data/l/file'), link('data/l', 'main')],
    [link('data/l', 'main'), link('data/h', 'data/l/file', 'link')],
    [{ name: 'data/null', type: 'character-device' }],
    [{ name: 'data/disk', type: 'block-device' }],
    [{ name: 'data/pipe', type: 'fifo' }],
  ]
  for (const entries of bad) assert.match(verdict(entries), /^The archive is refused/, JSON.stringify(entries))
})

test('no accepted name or link resolves outside its volume', () => {
  const part = fc.constantFrom('..', '.', 'data', 'cache', 'a', 'b', '')
  const path = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('/'))
  fc.assert(
    fc.property(path, path, (name, target) => {
      if (verdict([link(name, target)]) !== 'fine') return true
      const resolved = posix.resolve('/root', posix.dirname(posix.join('/root', name)), target)
      return (
        /^\/root\/(data|cache)(\/|$)/.test(posix.join('/root', name)) && /^\/root\/(data|cache)(\/|$)/.test(resolved)
      )
    }),
    { numRuns: 2000 },
  )
})

test('what tar lists is judged', async () => {
  const tar = pack()
  tar.entry({ name: 'data/fi"le\nwith é', uname: 'a b' }, 'x'.repeat(100_000))
  tar.entry({ name: 'data/copy', type: 'link', linkname: 'data/fi"le\nwith é' })
  tar.entry({ name: 'data/evil -> "x', type: 'symlink', linkname: '/e"t\tc' })
  tar.entry({ name: 'data/disk', type: 'block-device', devmajor: 8, devminor: 1 })
  tar.entry({ name: '../out' }, '')
  tar.finalize()
  const bytes = await buffer(tar)
  const { stdout } = spawnSync('tar', [...listing, '--file=-'], { input: bytes, env: { ...process.env, LC_ALL: 'C' } })
  const entries: ArchiveEntry[] = []
  const lines = new TextLines((line) => entries.push(listedEntry(line)))
  for (let at = 0; at < stdout.length; at += 7) lines.push(stdout.subarray(at, at + 7))
  lines.end()
  const name = Buffer.from('data/fi"le\nwith é').toString('latin1')
  assert.equal(entries, [
    { name, type: 'file' },
    { name: 'data/copy', type: 'link', linkname: name },
    { name: 'data/evil -> "x', type: 'symlink', linkname: '/e"t\tc' },
    { name: 'data/disk', type: 'b' },
    { name: '../out', type: 'file' },
  ])
  assert.throws(() => listedEntry('tar: something else'), /can not be read/)
})

test.run()
