/** A task's output files: what they were, whether they still are, and how to put them back. */
import { hash } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  symlinkSync,
} from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { DevstackError, messageOf } from '../errors.ts'
import { replaceFile, temporaryName } from './checked.ts'
import type { FileHashes } from './files.ts'

/** An output as it was; `path` is relative to the task's directory, `hash` is SHA-256 as hex. */
export type Output =
  | {
      readonly type: 'file'
      readonly path: string
      readonly mode: number
      readonly size: number
      readonly hash: string
    }
  | { readonly type: 'link'; readonly path: string; readonly target: string }

export interface CapturedOutput {
  readonly output: Output
  /** The content as it was when it was hashed. */
  read(): Uint8Array
}

/**
 * What the patterns match now. Throws OUTPUT_OUTSIDE for what lies outside `cwd`, OUTPUT_MISSING for a pattern without
 * wildcards that matches nothing: the task promised it.
 */
export async function capture(options: {
  readonly task: string
  readonly cwd: string
  readonly patterns: readonly string[]
  readonly files: FileHashes
}): Promise<readonly CapturedOutput[]> {
  const { task, cwd, patterns, files } = options
  if (patterns.length === 0) return []
  // What was seen before the task ran is of no use now.
  files.forget()
  const paths = await files.list(cwd, patterns)
  const captured: CapturedOutput[] = []
  for (const path of paths) {
    if (!isInside(path)) {
      throw new DevstackError({
        kind: 'config',
        code: 'OUTPUT_OUTSIDE',
        message: `The output ${path} of task "${task}" lies outside its directory ${cwd}.`,
        hint: 'Outputs must lie below the task’s directory: set `cwd`, or leave it out of `outputs`.',
      })
    }
    const file = join(cwd, path)
    const stat = lstatSync(file, { throwIfNoEntry: false })
    if (stat?.isSymbolicLink()) {
      const target = readlinkSync(file)
      captured.push({ output: { type: 'link', path, target }, read: () => new Uint8Array() })
    } else if (stat?.isFile()) {
      const hash = sha256(readFileSync(file))
      const described = { type: 'file' as const, path, mode: stat.mode & 0o7777, size: stat.size, hash }
      captured.push({ output: described, read: () => readAgain(file, hash, task) })
    }
  }
  for (const pattern of patterns) {
    if (/[*?[\]{}()!|+@\\]/.test(pattern)) continue
    if (lstatSync(join(cwd, pattern), { throwIfNoEntry: false })) continue
    throw new DevstackError({
      kind: 'task',
      code: 'OUTPUT_MISSING',
      message: `Task "${task}" succeeded but did not make its output ${pattern}.`,
      hint: 'Correct `outputs`, or the task.',
    })
  }
  return captured
}

function readAgain(file: string, hash: string, task: string): Uint8Array {
  const bytes = readFileSync(file)
  if (sha256(bytes) === hash) return bytes
  throw new Error(`output ${file} of task "${task}" is still being written`)
}

/** How the outputs on disk differ from what they were; mode and content count, times do not. */
export function outputDifferences(options: {
  readonly outputs: readonly Output[]
  readonly cwd: string
  readonly files: FileHashes
}): string[] {
  const { outputs, cwd, files } = options
  return outputs.flatMap((item) => {
    const difference = differenceOf(item, join(cwd, item.path), files)
    return difference === undefined ? [] : [`output ${item.path} ${difference}`]
  })
}

function differenceOf(item: Output, file: string, files: FileHashes): string | undefined {
  const stat = lstatSync(file, { throwIfNoEntry: false })
  if (!stat) return 'is missing'
  if (item.type === 'link') {
    if (!stat.isSymbolicLink()) return 'is no symbolic link any more'
    return readlinkSync(file) === item.target ? undefined : 'leads elsewhere'
  }
  if (!stat.isFile()) return 'is no file any more'
  if (stat.size !== item.size || files.content(file, stat) !== item.hash) return 'was changed since'
  const isSameMode = process.platform === 'win32' || (stat.mode & 0o7777) === item.mode
  return isSameMode ? undefined : 'has other permissions'
}

/**
 * Puts outputs back and gives the paths that were written; what is as it was stays untouched. Each file is replaced in one
 * step. Throws CACHE_RESTORE_FAILED, also for a path that would leave `cwd`, by its name or through a symbolic link.
 */
export function putBack(options: {
  readonly outputs: readonly Output[]
  readonly cwd: string
  readonly files: FileHashes
  readonly content: (hash: string) => Uint8Array | undefined
}): readonly string[] {
  const { outputs, cwd, files, content } = options
  const written: string[] = []
  // Links last, so that none made here is written through.
  const ordered = [...outputs].sort((a, b) => Number(a.type === 'link') - Number(b.type === 'link'))
  for (const item of ordered) {
    const file = join(cwd, item.path)
    try {
      if (!isInside(item.path)) throw new Error('it would leave the task’s directory')
      if (differenceOf(item, file, files) === undefined) continue
      makeParent(cwd, file)
      if (item.type === 'link') {
        const temporary = temporaryName(file)
        symlinkSync(item.target, temporary)
        renameSync(temporary, file)
      } else {
        const bytes = content(item.hash)
        if (!bytes) throw new Error('its content is not in the store any more')
        replaceFile(file, bytes, { mode: item.mode })
        // Creation is subject to the umask; this is not.
        chmodSync(file, item.mode)
      }
      written.push(item.path)
    } catch (error) {
      throw new DevstackError({
        kind: 'state',
        code: 'CACHE_RESTORE_FAILED',
        message: `The output ${item.path} can not be restored below ${cwd}: ${messageOf(error)}.`,
        hint: 'Run the task with --force to make its outputs anew.',
        cause: error,
      })
    }
  }
  return written
}

/** Makes the folder of a file, refusing to pass through a link that leads out of `cwd`. */
function makeParent(cwd: string, file: string): void {
  mkdirSync(cwd, { recursive: true })
  const root = realpathSync(cwd)
  let existing = dirname(file)
  while (!lstatSync(existing, { throwIfNoEntry: false })) existing = dirname(existing)
  const real = realpathSync(existing)
  if (real !== root && !real.startsWith(root + sep))
    throw new Error('a symbolic link leads out of the task’s directory')
  mkdirSync(dirname(file), { recursive: true })
}

function isInside(path: string): boolean {
  if (path === '' || isAbsolute(path) || path.includes('\0')) return false
  const way = relative('/base', resolve('/base', path))
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes)
}
