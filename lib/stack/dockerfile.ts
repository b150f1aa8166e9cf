/** What a Dockerfile builds on, so that images build in the right order. */
import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import type { BuildOptions } from '../runtime/runtime.ts'

/**
 * The images named by FROM (and `COPY --from=`), stages of the same file left out, with the build's ARGs put in. Empty when
 * the file can not be read: the build itself says so better. Syntax: Docker's "Dockerfile reference", FROM and ARG.
 */
export async function baseImages(build: BuildOptions): Promise<readonly string[]> {
  const file = build.dockerfile ?? 'Dockerfile'
  const path = isAbsolute(file) ? file : join(build.context, file)
  let text: string
  try {
    text = build.dockerfileInline ?? (await readFile(path, 'utf8'))
  } catch {
    return []
  }
  const args = new Map<string, string>()
  const stages = new Set<string>()
  const images = new Set<string>()
  const expand = (word: string): string =>
    word.replaceAll(/\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)/g, (_, braced, fallback, plain) => {
      const value = args.get(braced ?? plain)
      return value === undefined || value === '' ? (fallback ?? '') : value
    })
  for (const line of text.replaceAll(/\\\r?\n/g, ' ').split('\n')) {
    const arg = /^\s*ARG\s+(\w+)(?:=["']?([^"'\s]*)["']?)?/i.exec(line)
    if (arg && stages.size === 0 && images.size === 0) args.set(arg[1]!, build.args?.[arg[1]!] ?? arg[2] ?? '')
    const from = /^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?/i.exec(line)
    if (from) {
      const image = expand(from[1]!)
      if (image !== '' && image !== 'scratch' && !stages.has(image.toLowerCase())) images.add(image)
      if (from[2]) stages.add(from[2].toLowerCase())
    }
    const copied = /^\s*COPY\s+(?:--\S+\s+)*--from=(\S+)/i.exec(line)?.[1]
    if (copied && !/^\d+$/.test(copied) && !stages.has(copied.toLowerCase())) images.add(expand(copied))
  }
  return [...images]
}
