/**
 * How fast the engine is, as ratios within one run: `npm run bench:engine`. Prints a table; asserts nothing.
 *
 * Besides wall time it tells processor time (user and system, of all threads), which a loaded machine distorts less.
 */
import { type SpawnOptions, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { buildGraph } from '../../lib/engine/graph.ts'
import type { Host } from '../../lib/engine/host.ts'
import { run } from '../../lib/engine/runner.ts'
import { createTask, type Task } from '../../lib/engine/task.ts'
import { toDevstackError } from '../../lib/errors.ts'

const repository = dirname(dirname(import.meta.dirname))
const devstack = join(repository, 'bin', 'devstack.cjs')
const rounds = Number(process.argv[2] ?? 10)
const concurrency = availableParallelism()

interface Sample {
  readonly wallMs: number
  readonly cpuMs: number
}

/** Clock ticks (10 ms) of this process's ended children. */
function childTicks(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ')
  return Number(fields[13]) + Number(fields[14])
}

function ended(command: string, args: readonly string[], options: SpawnOptions): Promise<number | null> {
  const { promise, resolve } = Promise.withResolvers<number | null>()
  spawn(command, args, { stdio: 'ignore', ...options }).once('exit', resolve)
  return promise
}

async function measure(args: readonly string[], cwd: string): Promise<Sample> {
  const walls: number[] = []
  await ended(process.execPath, args, { cwd })
  const before = childTicks()
  for (let round = 0; round < rounds; round += 1) {
    const begun = performance.now()
    const code = await ended(process.execPath, args, { cwd })
    if (code !== 0) throw new Error(`node ${args.join(' ')} ended with ${code}`)
    walls.push(performance.now() - begun)
  }
  return { wallMs: median(walls), cpuMs: ((childTicks() - before) * 10) / rounds }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

const rows: string[][] = [['what', 'wall ms', 'ratio', 'CPU ms', 'ratio']]
function row(what: string, sample: Sample, base: Sample): void {
  const ratio = (value: number, of: number) => `${(value / of).toFixed(2)} x`
  const { wallMs, cpuMs } = sample
  rows.push([what, wallMs.toFixed(0), ratio(wallMs, base.wallMs), cpuMs.toFixed(0), ratio(cpuMs, base.cpuMs)])
}

const folder = mkdtempSync(join(tmpdir(), 'devstack-bench-'))
function project(name: string, tasks: string): string {
  const directory = join(folder, name)
  mkdirSync(join(directory, 'node_modules'), { recursive: true })
  symlinkSync(repository, join(directory, 'node_modules', 'devstack'), 'dir')
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }\n')
  const head = "import { command, defineConfig, group, task } from 'devstack'\n"
  writeFileSync(
    join(directory, 'devstack.config.ts'),
    `${head}const tasks: any = {}\n${tasks}\nexport default defineConfig({ concurrency: ${concurrency}, tasks })\n`,
  )
  return directory
}

/** Layers of 100; each task needs three of the layer before. */
const layered = (body: string) => `
for (let i = 0; i < 1000; i += 1) {
  const needs = Object.fromEntries((i < 100 ? [] : [100, 99, 57]).filter((d) => i >= d).map((d) => ['n' + (i - d), tasks['t' + (i - d)]]))
  tasks['t' + i] = task({ description: 'Task ' + i, needs, ${body} })
}
tasks.all = group(Object.values(tasks) as any)`

async function spawnLoop(): Promise<Sample> {
  const before = childTicks()
  const begun = performance.now()
  const own = process.cpuUsage()
  let left = 1000
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await ended('/bin/sh', ['-c', 'true'], { stdio: ['ignore', 'pipe', 'pipe'] })
    }
  }
  await Promise.all(Array.from({ length: concurrency }, worker))
  const used = process.cpuUsage(own)
  return {
    wallMs: performance.now() - begun,
    cpuMs: (childTicks() - before) * 10 + (used.user + used.system) / 1000,
  }
}

async function inProcess(size: number): Promise<string> {
  const tasks: Record<string, Task> = {}
  for (let index = 0; index < size; index += 1) {
    const needs: Record<string, Task> = {}
    for (const distance of index < 100 ? [] : [100, 99, 57])
      needs[`n${index - distance}`] = tasks[`n${index - distance}`]!
    tasks[`n${index}`] = createTask({ needs, run: () => {} }) as Task
  }
  const byTask = new Map(Object.entries(tasks).map(([name, task]) => [task, name]))
  const host: Host = {
    now: Date.now,
    emitNode: () => {},
    context: (_, base) => base,
    decide: () => ({ decision: 'run', cause: 'bench' }),
    value: (_, returned) => returned,
    commit: () => undefined,
    release: () => undefined,
    failure: (_, thrown) => toDevstackError(thrown),
  }
  const begun = performance.now()
  const own = process.cpuUsage()
  const graph = await buildGraph(
    Object.values(tasks).map((task) => ({ task })),
    { nameOf: (task) => byTask.get(task), taskNamed: (name) => tasks[name], all: () => [], current: (task) => task },
  )
  const signal = new AbortController().signal
  await run(graph, { runId: 'bench', concurrency, mode: 'fail-fast', signal }, host)
  const used = process.cpuUsage(own)
  const wall = performance.now() - begun
  const cpu = (used.user + used.system) / 1000
  const heap = process.memoryUsage().heapUsed / 1e6
  return `${String(size).padStart(7)} tasks  wall ${wall.toFixed(0)} ms  CPU ${cpu.toFixed(0)} ms  ${((wall * 1000) / size).toFixed(1)} us a task  heap ${heap.toFixed(0)} MB`
}

try {
  const noop = project('noop', 'tasks.noop = task({ run: () => {} })')
  const many = project('many', layered('run: () => {}'))
  const truth = project('true', layered("...command('true')"))
  const node = await measure(['-e', '0'], folder)
  row('node -e 0', node, node)
  row('devstack run noop', await measure([devstack, 'run', 'noop'], noop), node)
  row('devstack list, 1,000 tasks', await measure([devstack, 'list'], many), node)
  row("devstack __complete run ''", await measure([devstack, '__complete', 'run', ''], many), node)
  const loop = await spawnLoop()
  row('1,000 x sh -c true, bare spawn loop', loop, loop)
  const before = childTicks()
  const begun = performance.now()
  await ended(process.execPath, [devstack, 'run', 'all', '--quiet'], { cwd: truth })
  const truths = { wallMs: performance.now() - begun, cpuMs: (childTicks() - before) * 10 }
  row('1,000 tasks sh -c true, layered', truths, loop)
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)))
  for (const cells of rows)
    console.log(
      cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  '),
    )
  console.log(`\nIn process, graph and run, no-op tasks with three needs each:`)
  await inProcess(1000)
  for (const size of [1000, 10_000, 30_000, 100_000]) console.log(await inProcess(size))
  console.log(
    `\nNode ${process.version}, ${concurrency} processors, load ${loadavg()[0]!.toFixed(1)}, ${rounds} rounds`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
