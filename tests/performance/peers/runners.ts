/** How a graph is said to devstack and to those that are no npm packages. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Invocation } from '../sample.ts'
import type { WorkGraph } from './graph.ts'
import { debianProgram } from './programs.ts'

export interface Surroundings {
  readonly concurrency: number
  /** This checkout. */
  readonly repository: string
  /** `node_modules` with the npm peers. */
  readonly modules: string
  /** Where programs are kept. */
  readonly programs: string
}

export interface Laid extends Invocation {
  /** What fills the cache before an all-fresh run; default: the same. */
  readonly seed?: Invocation
  readonly note?: string
}

export interface Runner {
  readonly name: string
  /** Writes the graph into an empty folder; a string says why it can not be expressed. */
  lay(folder: string, graph: WorkGraph, around: Surroundings): Laid | string
}

export const node: Runner = {
  name: 'node -e 0',
  lay: (folder) => ({ command: process.execPath, args: ['-e', '0'], cwd: folder }),
}

export const devstack: Runner = {
  name: 'devstack',
  lay(folder, { kind, works }, { concurrency, repository }) {
    const programs = join(folder, 'node_modules', '.bin')
    mkdirSync(programs, { recursive: true })
    symlinkSync(repository, join(folder, 'node_modules', 'devstack'))
    symlinkSync('../devstack/bin/devstack.cjs', join(programs, 'devstack'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
    writeFileSync(join(folder, 'works.json'), JSON.stringify(kind === 'noop' ? [] : works))
    const config = `import { command, defineConfig, group, task } from 'devstack'
import works from './works.json' with { type: 'json' }

const made: Record<string, any> = {}
for (const { name, needs, command: line, files } of works as any[]) {
  const fresh = files ? { inputs: [files.input], outputs: [files.output] } : {}
  made[name] = task({ needs: Object.fromEntries(needs.map((need: string) => [need, made[need]])), ...fresh, ...command(line) })
}
const all = ${kind === 'noop' ? 'task({ run: () => {} })' : 'group(Object.values(made) as any)'}
export default defineConfig({ concurrency: ${concurrency}, tasks: { ...made, all } })
`
    writeFileSync(join(folder, 'devstack.config.ts'), config)
    return { command: join(programs, 'devstack'), args: ['run', 'all', '--quiet'], cwd: folder }
  },
}

export const loop: Runner = {
  name: 'bare Node spawn loop',
  lay(folder, { works }, { concurrency }) {
    const text = `import { spawn } from 'node:child_process'
let left = ${works.length}
const worker = async () => {
  while (left > 0) {
    left -= 1
    const child = spawn('/bin/sh', ['-c', 'true'], { stdio: ['ignore', 'pipe', 'pipe'] })
    await new Promise((resolve) => child.once('exit', resolve))
  }
}
await Promise.all(Array.from({ length: ${concurrency} }, worker))
`
    writeFileSync(join(folder, 'loop.mjs'), text)
    return { command: process.execPath, args: ['loop.mjs'], cwd: folder }
  },
}

export const make: Runner = {
  name: 'make',
  lay(folder, { works, kind }, around) {
    const command = debianProgram(around.programs, 'make', 'make')
    const target = ({ name, files }: { name: string; files?: { output: string } }): string => files?.output ?? name
    const byName = new Map(works.map((work) => [work.name, work]))
    const rules = works.map((work) => {
      const needs = work.needs.map((need) => target(byName.get(need)!))
      return `${target(work)}: ${[...(work.files ? [work.files.input] : []), ...needs].join(' ')}\n\t@${work.command}\n`
    })
    const phony = kind === 'files' ? [] : works.map(({ name }) => name)
    const head = `.PHONY: all ${phony.join(' ')}\nall: ${works.map(target).join(' ')}\n`
    writeFileSync(join(folder, 'Makefile'), head + rules.join(''))
    const note = kind === 'files' ? { note: 'compares times, not content' } : {}
    return { command, args: ['-s', `-j${around.concurrency}`], cwd: folder, ...note }
  },
}

export const ninja: Runner = {
  name: 'ninja',
  lay(folder, { works, kind }, around) {
    const command = debianProgram(around.programs, 'ninja-build', 'ninja')
    const builds = works.map(({ name, needs, command: line, files }) => {
      const after = needs.length > 0 ? ` || ${needs.join(' ')}` : ''
      const build = files ? `${files.output}: run ${files.input}${after}` : `${name}.never: run${after}`
      return `build ${build}\n  line = ${line}\nbuild ${name}: phony ${files?.output ?? `${name}.never`}\n`
    })
    const head = `rule run\n  command = $line\nbuild all: phony ${works.map(({ name }) => name).join(' ')}\n`
    writeFileSync(join(folder, 'build.ninja'), `${head}${builds.join('')}`)
    const note = kind === 'files' ? { note: 'compares times, not content' } : {}
    return { command, args: ['--quiet', `-j${around.concurrency}`, 'all'], cwd: folder, ...note }
  },
}
