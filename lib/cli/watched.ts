/** What a watch looks at: the inputs of tasks and the config's files, by content; outputs are left out. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { checksum } from '../engine/checksum.ts'
import { workingDirectory } from '../session/task-context.ts'
import { type FileHashes, openFiles } from '../state/files.ts'
import type { Prepared } from './prepare.ts'

/** Hashes by absolute path: of the config's files, and of what each source reads. */
export interface Contents {
  readonly config: ReadonlyMap<string, string>
  readonly sources: readonly ReadonlyMap<string, string>[]
}

interface Source {
  readonly node: string
  readonly cwd: string
  readonly patterns: readonly string[]
}

export class Watched {
  /** Whether any task says what it reads; if none does, every file of the project counts. */
  readonly declared: boolean
  readonly #prepared: Prepared
  readonly #sources: readonly Source[]
  readonly #outputs: readonly Source[]
  readonly #files: FileHashes
  readonly #written: Set<string>

  /** `written`: absolute paths that tasks write themselves; outputs are added when they are seen. */
  constructor(prepared: Prepared, written: Set<string>) {
    const { graph, loaded } = prepared
    const declared = sourcesOf(prepared, 'inputs')
    this.declared = declared.length > 0
    this.#sources = this.declared
      ? declared
      : graph.targets.map((node) => ({ node, cwd: loaded.directory, patterns: ['**/*'] }))
    this.#outputs = sourcesOf(prepared, 'outputs')
    this.#prepared = prepared
    this.#written = written
    this.#files = openFiles({ directory: join(loaded.directory, '.devstack') })
  }

  get directories(): ReadonlySet<string> {
    return new Set([...this.#sources.map(({ cwd }) => cwd), this.#prepared.loaded.directory])
  }

  /** What is there now. */
  async contents(): Promise<Contents> {
    this.#files.forget()
    for (const { cwd, patterns } of this.#outputs) {
      for (const path of await this.#files.list(cwd, patterns)) this.#written.add(join(cwd, path))
    }
    const sources = await Promise.all(
      this.#sources.map(async ({ cwd, patterns }) => {
        const hashes = await this.#files.hash(cwd, patterns)
        return new Map([...hashes].map(([path, hash]) => [resolve(cwd, path), hash]))
      }),
    )
    return { config: this.#config(), sources }
  }

  configDiffers({ config }: Contents): boolean {
    return differences(config, this.#config()).length > 0
  }

  /** Paths that were changed, added or removed between the two, but for what tasks write themselves. */
  different(before: Contents, after: Contents): readonly string[] {
    const pairs = [
      [before.config, after.config] as const,
      ...this.#sources.map((_, index) => [before.sources[index]!, after.sources[index]!] as const),
    ]
    const paths = pairs.flatMap(([old, now]) => differences(old, now))
    return [...new Set(paths)].filter((path) => !this.#written.has(path))
  }

  #config(): Contents['config'] {
    return new Map(this.#prepared.loaded.files.map((path) => [path, hashOf(path)]))
  }

  /** The nodes that read one of these paths. */
  reading(paths: readonly string[], before: Contents, after: Contents): ReadonlySet<string> {
    const found = this.#sources.filter((_, index) => {
      const different = differences(before.sources[index]!, after.sources[index]!)
      return different.some((path) => paths.includes(path))
    })
    return new Set(found.map(({ node }) => node))
  }
}

function sourcesOf({ graph, loaded }: Prepared, kind: 'inputs' | 'outputs'): readonly Source[] {
  return [...graph.nodes.values()].flatMap((node) => {
    const patterns = node.definition[kind]
    if (!patterns) return []
    return [{ node: node.id, cwd: workingDirectory(node, loaded.registry, loaded.directory), patterns }]
  })
}

function differences(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path))
}

function hashOf(path: string): string {
  try {
    return checksum(readFileSync(path, 'utf8'))
  } catch {
    return 'missing'
  }
}
