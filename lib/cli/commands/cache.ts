import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { formatBytes } from '../../report/format.ts'
import { openCache } from '../../state/cache.ts'
import { openFiles } from '../../state/files.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack cache stats | prune`. */
export async function command({ options, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(options, io)
  const directory = join(loaded.directory, '.devstack')
  if (operands[0] === 'stats') {
    const stats = {
      directory: join(directory, 'cache'),
      entries: countIn(join(directory, 'cache', 'entries')),
      bytes: sizeOf(join(directory, 'cache')),
    }
    io.stdout.write(
      options.json
        ? `${JSON.stringify(stats)}\n`
        : `${stats.entries} entries, ${formatBytes(stats.bytes)} in ${stats.directory}\n`,
    )
    return 0
  }
  const maxBytes = options.maxSize ?? loaded.config.cacheBytes
  const cache = openCache({
    directory,
    files: openFiles({ directory }),
    ...(maxBytes === undefined ? {} : { maxBytes }),
  })
  const { olderThan, dryRun = false } = options
  const { bytes, removed } = cache.prune({ ...(olderThan === undefined ? {} : { olderThanMs: olderThan }), dryRun })
  io.stdout.write(
    options.json
      ? `${JSON.stringify({ bytes, removed })}\n`
      : dryRun
        ? `${removed} files would be removed; ${formatBytes(bytes)} would be left.\n`
        : `${removed} files removed; ${formatBytes(bytes)} are left.\n`,
  )
  return 0
}

function countIn(directory: string): number {
  try {
    return readdirSync(directory).length
  } catch {
    return 0
  }
}

function sizeOf(directory: string): number {
  try {
    return readdirSync(directory, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .reduce(
        (sum, entry) => sum + (statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })?.size ?? 0),
        0,
      )
  } catch {
    return 0
  }
}
