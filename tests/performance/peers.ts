/**
 * devstack and its peers on the same graphs: `npm run bench:peers`. Prints one table; asserts nothing.
 *
 *     node tests/performance/peers.ts --runs 10 --only start,true,fresh --sizes 1000,3270 --peers turbo,wireit --limit 300
 *
 * Peers are kept in a folder of the system's temporary one. Each round runs every runner once, so that all see the same
 * machine; the first round warms up and is not counted. Who takes longer than ten seconds is run only once.
 */
import { hash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { layered, noop, type WorkGraph, writeInputs } from './peers/graph.ts'
import { hereby, moon, nx, turbo, wireit } from './peers/npm-runners.ts'
import { npmPeers, packages } from './peers/programs.ts'
import { devstack, type Laid, loop, make, ninja, node, type Runner, type Surroundings } from './peers/runners.ts'
import { median, type Sample, sample } from './sample.ts'

const { values: given } = parseArgs({
  options: {
    runs: { type: 'string', default: '10' },
    only: { type: 'string', default: 'start,true,fresh' },
    sizes: { type: 'string', default: '1000,3270' },
    peers: { type: 'string' },
    limit: { type: 'string', default: '300' },
  },
})
const runs = Number(given.runs)
const limitMs = Number(given.limit) * 1000
const slowMs = 10_000
const repository = dirname(dirname(import.meta.dirname))
const programs = join(tmpdir(), `devstack-peers-${hash('sha256', JSON.stringify(packages)).slice(0, 8)}`)
const concurrency = availableParallelism()
// every Node program runs on this very Node
process.env['PATH'] = `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`

interface Section {
  readonly title: string
  readonly graph: WorkGraph
  readonly runners: readonly Runner[]
  /** Ratios are to this one. */
  readonly base: Runner
}

const all = [devstack, hereby, turbo, wireit, nx, moon, make, ninja]

function sections(): readonly Section[] {
  const wanted = given.only.split(',')
  const sizes = given.sizes.split(',').map(Number)
  return [
    ...(wanted.includes('start')
      ? [{ title: 'start of a no-op', graph: noop, runners: [node, ...all], base: node }]
      : []),
    ...(wanted.includes('true')
      ? [{ title: '1,000 x true', graph: layered(1000, 'true'), runners: [loop, ...all], base: loop }]
      : []),
    ...(wanted.includes('fresh')
      ? sizes.map((size) => ({
          title: `${size.toLocaleString('en')} fresh`,
          graph: layered(size, 'files'),
          runners: all,
          base: turbo,
        }))
      : []),
  ]
}

interface Contest {
  readonly runner: Runner
  readonly laid: Laid | string
  readonly samples: Sample[]
  problem?: string
}

async function contest(section: Section, folder: string, around: Surroundings): Promise<readonly Contest[]> {
  const chosen = given.peers?.split(',')
  const wanted = section.runners.filter(
    (runner) => !chosen || runner === devstack || runner === section.base || chosen.includes(runner.name),
  )
  const contests: Contest[] = wanted.map((runner, index) => {
    const own = join(folder, String(index))
    mkdirSync(own)
    writeInputs(own, section.graph)
    const laid = runner.lay(own, section.graph, around)
    return typeof laid === 'string' ? { runner, laid, samples: [], problem: laid } : { runner, laid, samples: [] }
  })
  for (let round = 0; round <= runs; round += 1) {
    for (const entry of contests) {
      const { laid, samples, runner } = entry
      if (entry.problem !== undefined || typeof laid === 'string') continue
      if (samples.some(({ wallMs }) => wallMs > slowMs)) continue
      process.stderr.write(`\r\u001b[K${section.title}: ${runner.name}, ${round} of ${runs}`)
      try {
        if (round === 0 && section.graph.kind !== 'true') await seed(laid, section.graph)
        const measured = await sample(laid, limitMs)
        if (round > 0 || measured.wallMs > slowMs) samples.push(measured)
      } catch (error) {
        entry.problem = (error as Error).message
      }
    }
  }
  process.stderr.write('\r\u001b[K')
  return contests
}

/** Fills the cache; everyone must have made every output by then. */
async function seed(laid: Laid, { kind, works }: WorkGraph): Promise<void> {
  await sample(laid.seed ?? laid, limitMs)
  if (kind !== 'files') return
  const made = readdirSync(join(laid.cwd, 'out')).length
  if (made !== works.length) throw new Error(`made ${made} of ${works.length} outputs`)
}

function rowsOf(section: Section, contests: readonly Contest[]): string[][] {
  const of = ({ samples }: Contest, key: keyof Sample): number => median(samples.map((one) => one[key]))
  const base = contests.find(({ runner }) => runner === section.base)
  const ratio = (entry: Contest, key: keyof Sample): string =>
    base && base.samples.length > 0 ? `${(of(entry, key) / of(base, key)).toFixed(2)} x` : ''
  return contests.map((entry) => {
    const { runner, samples, problem, laid } = entry
    if (samples.length === 0) return [section.title, runner.name, '', '', '', '', problem ?? '']
    const notes = [
      typeof laid === 'string' ? undefined : laid.note,
      samples.length < runs ? `${samples.length} run${samples.length === 1 ? '' : 's'}` : undefined,
      problem,
    ]
    const [wall, cpu] = [of(entry, 'wallMs').toFixed(0), of(entry, 'cpuMs').toFixed(0)]
    const told = notes.filter((note) => note !== undefined).join('; ')
    return [section.title, runner.name, wall, ratio(entry, 'wallMs'), cpu, ratio(entry, 'cpuMs'), told]
  })
}

const table = [
  ['what', 'by', 'wall ms', 'ratio', 'CPU ms', 'ratio', ''],
  ['---', '---', '---:', '---:', '---:', '---:', '---'],
]
const folder = mkdtempSync(join(tmpdir(), 'devstack-bench-'))
try {
  const around = { concurrency, repository, programs, modules: npmPeers(programs) }
  for (const [index, section] of sections().entries()) {
    const own = join(folder, String(index))
    mkdirSync(own)
    table.push(...rowsOf(section, await contest(section, own, around)))
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
for (const cells of table) console.log(`| ${cells.join(' | ')} |`)
const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
console.log(`
Ratios of a start are to \`node -e 0\`, of \`true\` to the bare loop, of fresh graphs to turbo. Median of ${runs}, warm file cache.
${cpus()[0]?.model ?? 'unknown processor'}, ${concurrency} of them, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)}.
${versions.join(', ')}.`)
