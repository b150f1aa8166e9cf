/**
 * Backup, proof, restore and snapshots of a large database, beside the bare tools in the same run: `npm run bench:data`.
 * Prints a table with ratios and the largest memory of the devstack process; fails when that is 200 MiB or more.
 *
 *     npm run bench:data -- [--scale 70] [--rounds 1]      # scale of pgbench: 70 is 1 GB
 *
 * The bare tools do the same work: pg_dump to a file in the leader's container, pg_restore of it into an empty database of the
 * same cluster, tar and zstd over the same volumes of the frozen stack, and back. pg_dump and tar are measured as one types
 * them and, as a second line, with the flags that devstack gives them. Before each measurement the cluster comes to rest, so that
 * nobody pays for what another has written.
 */
import { readFileSync, rmSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { checkout } from '../support/checkout.ts'
import { engineCall, inventory } from '../support/engine.ts'
import { exec, leader, psql } from '../support/stack-data.ts'

const { values: flags } = parseArgs({
  options: { scale: { type: 'string', default: '70' }, rounds: { type: 'string', default: '1' } },
})
const patience = { timeoutMs: 3_600_000 }
const largestMemory = 200 * 1024 * 1024
const plain = { dump: 'pg_dump -Fc', archive: 'zstd' }
const same = { dump: 'pg_dump -Fc -Z1', archive: 'zstd -1 --threads=0' }

const place = checkout({
  name: 'bench-data',
  files: (project) => ({
    'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack()] })
`,
  }),
})

interface Sample {
  readonly seconds: number
  readonly memory: number
  readonly output: string
}

/** A devstack command, with the memory that the kernel saw it use at most. */
async function devstack(...args: readonly string[]): Promise<Sample> {
  const report = join(place.directory, 'memory.txt')
  const reporter = `import { appendFileSync } from 'node:fs'
process.on('exit', () => appendFileSync(${JSON.stringify(report)}, process.resourceUsage().maxRSS + '\\n'))`
  const begun = performance.now()
  const output = await place.succeed(['run', ...args], {
    timeout: patience.timeoutMs,
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(reporter)}` },
  })
  const seconds = (performance.now() - begun) / 1000
  const kilobytes = readFileSync(report, 'utf8').trim().split('\n').map(Number)
  rmSync(report)
  return { seconds, memory: Math.max(...kilobytes) * 1024, output }
}

/** A bare tool in a container. */
async function bare(service: string, command: string): Promise<number> {
  const begun = performance.now()
  await exec(place, service, ['bash', '-o', 'pipefail', '-ec', command], patience)
  return (performance.now() - begun) / 1000
}

const rows: (readonly string[])[] = []
function note(what: string, seconds: number, tool: readonly [name: string, seconds: number]): void {
  const row = [
    what,
    `${seconds.toFixed(1)} s`,
    `${tool[0]} ${tool[1].toFixed(1)} s`,
    `${(seconds / tool[1]).toFixed(2)} x`,
  ]
  rows.push(row)
  process.stdout.write(`${row.join(', ')}\n`)
}

let largest = 0
function remember({ memory }: Sample, what: string): void {
  largest = Math.max(largest, memory)
  process.stdout.write(`${what}: at most ${(memory / 1024 / 1024).toFixed(0)} MiB\n`)
}

/** The time that a line of the output gives: `… in 2 min 05 s`. */
function told({ output }: Sample, pattern: RegExp): number {
  const line = output.split('\n').find((one) => pattern.test(one))
  const [, minutes, seconds, unit] = /in (?:(\d+) min )?([\d.]+) (s|ms)\b/.exec(line ?? '') ?? []
  if (seconds === undefined) throw new Error(`no line ${pattern} with a time in:\n${output}`)
  return Number(minutes ?? 0) * 60 + Number(seconds) / (unit === 'ms' ? 1000 : 1)
}

/** Everything written is in the data files, here and on the replicas. */
async function rest(): Promise<void> {
  const at = await leader(place)
  const lag = 'SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()'
  await psql(place, 'CHECKPOINT')
  while ((await psql(place, lag)) !== '0') await delay(100)
  const replicas = ['postgres1', 'postgres2', 'postgres3'].filter((member) => member !== at)
  await Promise.all(replicas.map((member) => psql(place, 'CHECKPOINT', { member })))
}

async function measureBackups(): Promise<void> {
  const at = await leader(place)
  // the first reader of new rows marks them as committed, which is nobody's to pay for
  await bare(at, 'pg_dump app > /dev/null')
  await rest()
  const dump = await bare(at, `${plain.dump} app > /tmp/bare.dump`)
  const backup = await devstack('backup')
  const alike = await bare(at, `${same.dump} app > /tmp/bare.dump`)
  note('backup, with checksums of all rows', backup.seconds, [plain.dump, dump])
  note('the same', backup.seconds, [same.dump, alike])
  remember(backup, 'backup')
  const verify = await devstack('backup:verify')
  await bare(at, 'createdb bare')
  await rest()
  const restored = await bare(at, 'pg_restore -d bare /tmp/bare.dump')
  await bare(at, 'dropdb bare; rm /tmp/bare.dump')
  note('backup:verify, into a throwaway server', verify.seconds, ['pg_restore', restored])
  remember(verify, 'backup:verify')
  await rest()
  const restore = await devstack('restore', 'latest', '--yes')
  note('restore, its own step, compared and replicated', told(restore, / is restored, /), ['pg_restore', restored])
  note('restore, with a backup of what was there', restore.seconds, ['pg_dump and pg_restore', dump + restored])
  remember(restore, 'restore')
}

/** A container with all volumes, and an empty one to unpack into. */
async function helper(): Promise<{ remove(): Promise<void> }> {
  const { volumes } = await inventory(place.project)
  const name = `${place.project}-bare-1`
  const { text } = await engineCall(`/containers/${place.project}-postgres1-1/json`)
  const { Image: image } = JSON.parse(text) as { readonly Image: string }
  const created = await engineCall(`/containers/create?name=${name}`, {
    method: 'POST',
    body: {
      ...{
        Image: image,
        User: '0:0',
        Entrypoint: ['sleep'],
        Cmd: ['infinity'],
        Volumes: { '/target': {} },
      },
      HostConfig: { Binds: volumes.map((volume) => `${volume}:/volumes/${volume}:ro`), NetworkMode: 'none' },
    },
  })
  if (created.status !== 201) throw new Error(created.text)
  await engineCall(`/containers/${name}/start`, { method: 'POST' })
  return {
    async remove() {
      await engineCall(`/containers/${name}?force=true&v=true`, { method: 'DELETE' })
    },
  }
}

async function frozen<T>(use: () => Promise<T>): Promise<T> {
  const members = (await inventory(place.project)).containers
  await Promise.all(members.map((name) => engineCall(`/containers/${name}/pause`, { method: 'POST' })))
  try {
    return await use()
  } finally {
    await Promise.all(members.map((name) => engineCall(`/containers/${name}/unpause`, { method: 'POST' })))
  }
}

async function measureSnapshots(): Promise<void> {
  const container = await helper()
  try {
    const pack = (compressor: string): Promise<number> =>
      frozen(() => bare('bare', `cd /volumes && tar --create --numeric-owner --file=/archive -I '${compressor}' *`))
    await rest()
    const packed = await pack(plain.archive)
    const snapshot = await devstack('snapshot')
    const alike = await pack(same.archive)
    note('snapshot', snapshot.seconds, ['tar and zstd', packed])
    note('the same', snapshot.seconds, [`tar and ${same.archive}`, alike])
    remember(snapshot, 'snapshot')
    const unpacked = await bare(
      'bare',
      "tar --extract --numeric-owner --file=/archive -I 'zstd -d' --directory=/target && sync --file-system /target",
    )
    const restore = await devstack('restore-snapshot', 'latest', '--yes')
    note('restore-snapshot, its own step', told(restore, /unpacked in/), ['tar and zstd', unpacked])
    note('restore-snapshot, with check, snapshot of what was there, start of the stack', restore.seconds, [
      'tar and zstd, both ways',
      packed + unpacked,
    ])
    remember(restore, 'restore-snapshot')
  } finally {
    await container.remove()
  }
}

try {
  await place.succeed(['run', 'up'], { timeout: patience.timeoutMs })
  await exec(place, await leader(place), ['pgbench', '-q', '-i', '-s', flags.scale, 'app'], patience)
  const size = await psql(place, "SELECT pg_size_pretty(pg_database_size('app'))")
  for (let round = 0; round < Number(flags.rounds); round += 1) {
    await measureBackups()
    await measureSnapshots()
  }
  process.stdout.write(`\n| what | devstack | bare | ratio |\n| --- | --- | --- | --- |\n`)
  for (const row of rows) process.stdout.write(`| ${row.join(' | ')} |\n`)
  const memory = (largest / 1024 / 1024).toFixed(0)
  process.stdout.write(`\n${size}, at most ${memory} MiB of memory, load ${loadavg()[0]!.toFixed(1)} at the end\n`)
  if (largest >= largestMemory) throw new Error(`devstack took ${memory} MiB`)
} finally {
  await place.remove({ engine: true })
}
