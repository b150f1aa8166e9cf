/**
 * Times of the HA stack, in one run beside docker compose on the very same files and images. Prints a table with ratios.
 *
 *     npm run bench -- [--runs 5] [--only cold,ephemeral,warm,noop,health,start,compose,compose-1s]
 *
 * `start` is the engine's share: its calls to start the containers of the stack, once they are made, all at once and waiting for
 * nothing in between. "Really healthy" is the same for both: what `devstack run health` asks of every service, and a synchronous standby.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { cleanUp, engineCall, inventory, projectLabel, uniqueProject } from '../support/engine.ts'
import { composeProgram } from './compose-peer.ts'

const repository = dirname(dirname(import.meta.dirname))
const { values: flags } = parseArgs({
  options: { runs: { type: 'string', default: '5' }, only: { type: 'string' } },
})
const runs = Number(flags.runs)
const all = ['cold', 'ephemeral', 'warm', 'noop', 'health', 'start', 'compose', 'compose-1s'] as const
const wanted = new Set(flags.only?.split(',') ?? all)

const project = uniqueProject('bench')
const folder = mkdtempSync(join(tmpdir(), `${project}-`))
const times = new Map<string, number[]>()

function note(what: string, ms: number): void {
  times.set(what, [...(times.get(what) ?? []), ms])
  process.stdout.write(`${what}: ${(ms / 1000).toFixed(2)} s\n`)
}

interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

function timed({ file, args, env }: Command): Promise<number> {
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: folder, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0
        ? resolve(performance.now() - begun)
        : reject(new Error(`${file} ${args.join(' ')} ended with ${code}\n${output}`)),
    )
  })
}

const devstack = (...args: string[]): Promise<number> =>
  timed({ file: process.execPath, args: [join(repository, 'bin', 'devstack.cjs'), ...args] })

const down = (): Promise<number> => devstack('run', 'down', '--volumes', '--yes')

async function startContainers(): Promise<number> {
  const { containers } = await inventory(project)
  const each = async (action: 'kill' | 'start'): Promise<void> => {
    const answers = await Promise.all(
      containers.map((name) => engineCall(`/containers/${name}/${action}`, { method: 'POST' })),
    )
    const refused = answers.find(({ status }) => status !== 204)
    if (refused) throw new Error(`${action} answered ${refused.status}: ${refused.text}`)
  }
  await each('kill')
  while ((await running()) > 0) await delay(50)
  const begun = performance.now()
  await each('start')
  return performance.now() - begun
}

async function running(): Promise<number> {
  const filters = encodeURIComponent(JSON.stringify({ label: [`${projectLabel}=${project}`] }))
  return JSON.parse((await engineCall(`/containers/json?filters=${filters}`)).text).length
}

async function measureDevstack(): Promise<void> {
  for (let round = 0; round < runs; round += 1) {
    if (['cold', 'warm', 'noop', 'health', 'start'].some((what) => wanted.has(what))) {
      const cold = await devstack('run', 'up')
      if (wanted.has('cold')) note('cold', cold)
    }
    if (wanted.has('noop')) note('noop', await devstack('run', 'up'))
    if (wanted.has('health')) note('health', await devstack('run', 'health'))
    if (wanted.has('warm')) {
      await devstack('run', 'down', '--yes')
      note('warm', await devstack('run', 'up'))
    }
    if (wanted.has('start')) note('start', await startContainers())
    await down()
    if (wanted.has('ephemeral')) {
      note('ephemeral', await devstack('run', 'up', '--ephemeral'))
      await down()
    }
  }
}

/** The files as they are, with health checks at the usual interval or at a short one. */
async function measureCompose(kind: 'compose' | 'compose-1s'): Promise<void> {
  const program = composeProgram(mkdtempSync(join(tmpdir(), 'devstack-peer-')))
  const own = join(folder, `${kind}.yml`)
  const text = readFileSync(join(repository, 'compose', 'stack.yml'), 'utf8').replaceAll(
    'context: ../',
    `context: ${repository}/`,
  )
  writeFileSync(own, text)
  const env = { HEALTH_INTERVAL: kind === 'compose' ? '5s' : '1s' }
  const args = ['--project-name', project, '--env-file', join(folder, '.env.local'), '--file', own]
  for (let round = 0; round < runs; round += 1) {
    const begun = performance.now()
    await timed({ file: program, args: [...args, 'up', '--wait', '--no-build', '--quiet-pull'], env })
    note(`${kind} returns`, performance.now() - begun)
    await timed({ file: program, args: [...args, 'down', '--volumes', '--timeout', '5'], env })
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[sorted.length >> 1]!
}

function print(): void {
  const cold = times.get('cold') ? median(times.get('cold')!) : undefined
  process.stdout.write(`\n| what | median s | worst s | to cold |\n| --- | --- | --- | --- |\n`)
  for (const [what, measured] of times) {
    const ratio = cold === undefined ? '' : (median(measured) / cold).toFixed(2)
    process.stdout.write(
      `| ${what} | ${(median(measured) / 1000).toFixed(2)} | ${(Math.max(...measured) / 1000).toFixed(2)} | ${ratio} |\n`,
    )
  }
}

try {
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(repository, join(folder, 'node_modules', 'devstack'), 'dir')
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(
    join(folder, 'devstack.config.ts'),
    `import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false })] })
`,
  )
  const bare: number[] = []
  for (let round = 0; round < 10; round += 1) bare.push(await timed({ file: process.execPath, args: ['--eval', '0'] }))
  process.stdout.write(`node --eval 0: ${median(bare).toFixed(0)} ms\n`)
  // images and .env.local are made before anything is timed
  await devstack('run', 'up')
  await down()
  await measureDevstack()
  for (const kind of ['compose', 'compose-1s'] as const) if (wanted.has(kind)) await measureCompose(kind)
  print()
} finally {
  await cleanUp(project)
  rmSync(folder, { recursive: true, force: true })
}
