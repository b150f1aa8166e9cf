/** Small files that prove their own content: the first line is the SHA-256 of the rest. Replaced in one step. */
import { hash } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** The content, or `undefined` when the file is missing, truncated or altered. */
export function readChecked(file: string): string | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
  const content = text.slice(65)
  return text[64] === '\n' && text.slice(0, 64) === digest(content) ? content : undefined
}

/**
 * Writes beside the file and renames over it. Throws what the file system throws. It is not synced: after a power failure
 * the file may be the old one or damaged, and damage is noticed.
 */
export function writeChecked(file: string, content: string): void {
  replaceFile(file, Buffer.from(`${digest(content)}\n${content}`))
}

let temporaries = 0

/** A name beside `file` that no other process uses. */
export function temporaryName(file: string): string {
  temporaries += 1
  return `${file}.${process.pid}-${Date.now().toString(36)}-${temporaries}.tmp`
}

/** The file has either its old content or all of the new, whatever happens meanwhile. */
export function replaceFile(file: string, bytes: Uint8Array, options: { readonly mode?: number } = {}): void {
  mkdirSync(dirname(file), { recursive: true })
  const temporary = temporaryName(file)
  try {
    const descriptor = openSync(temporary, 'wx', options.mode ?? 0o600)
    try {
      let offset = 0
      while (offset < bytes.length) offset += writeSync(descriptor, bytes, offset)
    } finally {
      closeSync(descriptor)
    }
    renameSync(temporary, file)
  } catch (error) {
    try {
      unlinkSync(temporary)
    } catch {
      // It was never made.
    }
    throw error
  }
}

function digest(text: string): string {
  return hash('sha256', text)
}
