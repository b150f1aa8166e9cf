/** Refuses archives that would write outside the volumes they are for. Looks at every entry before one is unpacked. */
import { posix } from 'node:path'
import { DevstackError } from '../../lib/index.ts'

export interface ArchiveEntry {
  readonly name: string
  /** `file`, `directory`, `symlink`, `link` (a hard link), or the letter by which tar lists anything else it knows. */
  readonly type: string
  /** Of links. */
  readonly linkname?: string
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
      if (names >= 0 && parts.slice(names).includes('..')) throw refused(name, `points to ${target}`)
      if (target === '' || target.startsWith('/')) throw refused(name, `points to ${target || 'nothing'}`)
      this.#inside(posix.join(posix.dirname(path), ...parts), name, `points to ${target}`, path.split('/')[0])
      this.#symlinks.add(path)
    } else if (type === 'link') {
      this.#inside(linkname ?? '', name, `is a link to ${linkname}`, path.split('/')[0])
      this.#names.push(posix.normalize(linkname ?? ''))
    } else if (type !== 'file' && type !== 'directory') throw refused(name, `is of type ${type}`)
    this.#names.push(path)
  }

  end(): void {
    for (const name of this.#names) {
      for (let parent = posix.dirname(name); parent !== '.'; parent = posix.dirname(parent)) {
        if (this.#symlinks.has(parent)) throw refused(name, `lies behind the link ${parent}`)
      }
    }
  }

  /** The name without `.` and doubled slashes. `folder`: where a link must stay. */
  #inside(path: string, name: string, why = 'leads out of the volumes', folder?: string): string {
    if (path.startsWith('/') || path.includes('\0')) throw refused(name, why)
    const parts = path.split('/').filter((part) => part !== '' && part !== '.')
    const first = parts[0]
    if (parts.includes('..') || first === undefined || !this.#folders.has(first)) throw refused(name, why)
    if (folder !== undefined && first !== folder) throw refused(name, why)
    return parts.join('/')
  }
}

function refused(name: string, why: string): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'SNAPSHOT_ESCAPES',
    message: `The archive is refused: ${JSON.stringify(name)} ${why}.`,
    hint: 'devstack makes no such archives: do not use this one. Nothing was unpacked.',
  })
}

/**
 * Makes GNU tar list an archive one entry a line, names in quotes. The tool that unpacks is the one that lists, so both
 * read the archive alike.
 */
export const listing = ['--list', '--verbose', '--numeric-owner', '--quoting-style=c'] as const

const listed = /^(.)\S+ +\S+ +\S+ +\S+ +\S+ "((?:[^"\\]|\\.)*)"(?: (?:->|link to) "((?:[^"\\]|\\.)*)")?$/
const types: Readonly<Record<string, string>> = { '-': 'file', d: 'directory', l: 'symlink', h: 'link' }
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' }

/** The entry that a line of the listing tells of. A line that tells of none is refused. */
export function listedEntry(line: string): ArchiveEntry {
  const [, letter = '', name, linkname] = listed.exec(line) ?? []
  if (name === undefined) throw refused(line, 'can not be read')
  return {
    name: unquoted(name),
    type: types[letter] ?? letter,
    ...(linkname === undefined ? {} : { linkname: unquoted(linkname) }),
  }
}

function unquoted(text: string): string {
  return text.replaceAll(/\\([0-7]{3}|.)/g, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code),
  )
}
