/** Refuses archives that would write outside the volumes they are for. Looks at every entry before one is unpacked. */
import { posix } from 'node:path'
import { Readable } from 'node:stream'
import { DevstackError } from '../../lib/index.ts'

export interface ArchiveEntry {
  readonly name: string
  /** `file`, `directory`, `symlink`, `link` (a hard link), or anything else tar knows. */
  readonly type: string
  /** Of links. */
  readonly linkname?: string | null
}

/** Judges entries in the order of the archive; `end` judges what only all of them tell. */
export class ArchiveJudge {
  readonly #folders: ReadonlySet<string>
  readonly #symlinks = new Set<string>()
  readonly #names: string[] = []

  /** `folders`: the first parts of names, one for each volume. */
  constructor(folders: readonly string[]) {
    this.#folders = new Set(folders)
  }

  entry({ name, type, linkname }: ArchiveEntry): void {
    const path = this.#inside(name, name)
    if (type === 'symlink') {
      const target = linkname ?? ''
      const parts = target.split('/').filter((part) => part !== '' && part !== '.')
      const names = parts.findIndex((part) => part !== '..')
      // after a name, `..` leads wherever that name points to
      if (names >= 0 && parts.slice(names).includes('..')) throw escapes(name, `points to ${target}`)
      if (target === '' || target.startsWith('/')) throw escapes(name, `points to ${target || 'nothing'}`)
      this.#inside(posix.join(posix.dirname(path), ...parts), name, `points to ${target}`, path.split('/')[0])
      this.#symlinks.add(path)
    } else if (type === 'link') {
      this.#inside(linkname ?? '', name, `is a link to ${linkname}`, path.split('/')[0])
      this.#names.push(posix.normalize(linkname ?? ''))
    } else if (type !== 'file' && type !== 'directory') throw escapes(name, `is a ${type}`)
    this.#names.push(path)
  }

  end(): void {
    for (const name of this.#names) {
      for (let parent = posix.dirname(name); parent !== '.'; parent = posix.dirname(parent)) {
        if (this.#symlinks.has(parent)) throw escapes(name, `lies behind the link ${parent}`)
      }
    }
  }

  /** The name without `.` and doubled slashes. `folder`: where a link must stay. */
  #inside(path: string, name: string, why = 'leads out of the volumes', folder?: string): string {
    if (path.startsWith('/') || path.includes('\0')) throw escapes(name, why)
    const parts = path.split('/').filter((part) => part !== '' && part !== '.')
    const first = parts[0]
    if (parts.includes('..') || first === undefined || !this.#folders.has(first)) throw escapes(name, why)
    if (folder !== undefined && first !== folder) throw escapes(name, why)
    return parts.join('/')
  }
}

function escapes(name: string, why: string): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'SNAPSHOT_ESCAPES',
    message: `The archive is refused: ${JSON.stringify(name)} ${why}.`,
    hint: 'devstack makes no such archives: do not use this one. Nothing was unpacked.',
  })
}

/** Reads a whole tar and throws at the first entry that must not be unpacked. Gives how many there are. */
export async function checkArchive(tar: AsyncIterable<Uint8Array>, folders: readonly string[]): Promise<number> {
  const { extract } = await import('tar-stream')
  const judge = new ArchiveJudge(folders)
  const reader = extract()
  const source = Readable.from(tar, { objectMode: false })
  let entries = 0
  source.on('error', (thrown) => reader.destroy(thrown))
  source.pipe(reader)
  try {
    for await (const entry of reader) {
      const { name, type, linkname } = entry.header
      judge.entry({ name, type: type ?? 'entry without a type', linkname: linkname ?? null })
      entries += 1
      entry.resume()
    }
  } finally {
    source.destroy()
  }
  judge.end()
  return entries
}
