import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ComposeModel, LoadOptions } from '../../../lib/compose/index.ts'
import { loadCompose } from '../../../lib/compose/index.ts'

type Files = Readonly<Record<string, string | Uint8Array>>

/** Calls `use` with a temporary folder that holds these files, and removes it. */
export async function withFolder<T>(files: Files, use: (directory: string) => Promise<T>): Promise<T> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'devstack-compose-')))
  try {
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true })
      writeFileSync(join(directory, path), content)
    }
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The model of `compose.yaml` among these files (or of `options.files`), with no environment unless given. */
export function load(files: Files | string, options: Partial<LoadOptions> = {}): Promise<ComposeModel> {
  const all = typeof files === 'string' ? { 'compose.yaml': files } : files
  return withFolder(all, (directory) =>
    loadCompose({ files: ['compose.yaml'], directory, environment: {}, ...options }),
  )
}
