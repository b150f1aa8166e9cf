/** The graph that every runner gets: layers of 100 tasks, each needing three of the layer before. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Work {
  readonly name: string
  readonly needs: readonly string[]
  readonly command: string
  /** Relative to the folder; both are there or neither is. */
  readonly files?: { readonly input: string; readonly output: string }
}

export interface WorkGraph {
  readonly kind: 'noop' | 'true' | 'files'
  readonly works: readonly Work[]
}

/** One task that does nothing. */
export const noop: WorkGraph = { kind: 'noop', works: [{ name: 't0', needs: [], command: 'true' }] }

/** `size` tasks that run `true`, or (`files`) each copy one file of their own. */
export function layered(size: number, kind: 'true' | 'files'): WorkGraph {
  const works = Array.from({ length: size }, (_, index): Work => {
    const name = `t${index}`
    const needs = index < 100 ? [] : [100, 99, 57].filter((by) => by <= index).map((by) => `t${index - by}`)
    if (kind === 'true') return { name, needs, command: 'true' }
    const files = { input: `src/${name}.txt`, output: `out/${name}.txt` }
    return { name, needs, command: `cp ${files.input} ${files.output}`, files }
  })
  return { kind, works }
}

/** Writes the input files (some 2 KB each) and makes the folder for the outputs. */
export function writeInputs(folder: string, { works, kind }: WorkGraph): void {
  if (kind !== 'files') return
  mkdirSync(join(folder, 'src'))
  mkdirSync(join(folder, 'out'))
  for (const { name, files } of works) writeFileSync(join(folder, files!.input), `line of ${name}\n`.repeat(150))
}
