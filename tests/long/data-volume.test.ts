// needs: stack
/**
 * A database of 1 GB (pgbench, scale 70): backup, proof, restore and snapshot work, in little memory. Times are printed
 * beside those of the bare tools in the same run, and not asserted.
 *
 *     DEVSTACK_SCALE=70 node tests/long/data-volume.test.ts
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Checkout, checkout } from '../support/checkout.ts'
import { engineCall, scenarioEngine } from '../support/engine.ts'
import { psql } from '../support/stack-data.ts'

const test = suite('a large database')
const engine = await scenarioEngine()
const scale = process.env['DEVSTACK_SCALE'] ?? '70'
const patience = { timeout: 3_600_000 }
const largestMemory = 200 * 1024 * 1024

let place: Checkout

test.before(() => {
  place = checkout({
    name: 'volume',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { dataPack, haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false }), dataPack()] })
`,
    }),
  })
})
test.after(() => place.remove({ engine: true }))

/** Runs a command; prints its time and asserts its largest memory (VmHWM of proc(5)). */
async function measured(args: readonly string[]): Promise<number> {
  const started = Date.now()
  const command = place.start(['run', ...args], patience)
  let peak = 0
  const look = (): void => {
    try {
      const status = readFileSync(`/proc/${command.child.pid}/status`, 'utf8')
      peak = Math.max(peak, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024)
    } catch {
      // it has just ended
    }
  }
  const ended = command.ended.then((result) => ({ result }))
  for (;;) {
    const done = await Promise.race([ended, delay(100)])
    if (done) {
      assert.is(done.result.exitCode, 0, done.result.stdout + done.result.stderr)
      break
    }
    look()
  }
  const took = (Date.now() - started) / 1000
  process.stdout.write(`${args.join(' ')}: ${took.toFixed(1)} s, ${(peak / 1024 / 1024).toFixed(0)} MiB\n`)
  assert.ok(peak < largestMemory, `${args.join(' ')} took ${peak} bytes of memory`)
  return took
}

/** A command in a container, with no time limit of its own. */
async function timed(member: string, command: string): Promise<number> {
  const started = Date.now()
  const created = await engineCall(`/containers/${place.project}-${member}-1/exec`, {
    method: 'POST',
    body: { AttachStdout: true, AttachStderr: true, Cmd: ['sh', '-ec', command] },
  })
  const { Id } = JSON.parse(created.text) as { Id: string }
  const { text } = await engineCall(`/exec/${Id}/start`, {
    method: 'POST',
    body: { Detach: false },
    timeoutMs: patience.timeout,
  })
  const { ExitCode } = JSON.parse((await engineCall(`/exec/${Id}/json`)).text) as { ExitCode: number | null }
  assert.is(ExitCode, 0, text)
  return (Date.now() - started) / 1000
}

async function leader(): Promise<string> {
  for (const member of ['postgres1', 'postgres2', 'postgres3'])
    if ((await psql(place, 'SELECT pg_is_in_recovery()', { member })) === 'f') return member
  throw new Error('no PostgreSQL leads')
}

if (engine.state === 'missing') {
  test.skip(`not run: ${engine.reason}`, () => {})
} else {
  test('backup, proof, restore, snapshot', async () => {
    await place.succeed(['run', 'up'], patience)
    const at = await leader()
    await timed(at, `pgbench -q -i -s ${scale} app`)
    const size = await psql(place, "SELECT pg_size_pretty(pg_database_size('app'))")
    const rows = await psql(place, 'SELECT count(*) FROM pgbench_accounts')
    process.stdout.write(`${size}, ${rows} accounts\n`)

    const dumped = await timed(at, 'pg_dump -Fc -Z1 app > /var/lib/postgresql/data/bare.dump')
    const backup = await measured(['backup'])
    const restored = await timed(
      at,
      'createdb bare && pg_restore -d bare /var/lib/postgresql/data/bare.dump && dropdb bare && rm /var/lib/postgresql/data/bare.dump',
    )
    const verify = await measured(['backup:verify'])
    await psql(place, 'TRUNCATE pgbench_accounts')
    const restore = await measured(['restore', 'latest'])
    assert.is(await psql(place, 'SELECT count(*) FROM pgbench_accounts'), rows)
    const snapshot = await measured(['snapshot'])
    const lines = [
      ['pg_dump', dumped, 'backup', backup],
      ['pg_restore', restored, 'verify', verify],
      ['pg_restore', restored, 'restore', restore],
    ] as const
    for (const [bare, bareTime, own, ownTime] of lines)
      process.stdout.write(
        `${own} ${ownTime.toFixed(1)} s, ${bare} ${bareTime.toFixed(1)} s: ${(ownTime / bareTime).toFixed(2)} x\n`,
      )
    const folder = join(place.directory, 'snapshots')
    const [name] = readdirSync(folder).filter((one) => !one.startsWith('.'))
    const bytes = statSync(join(folder, name!, 'volumes.tar.zst')).size
    process.stdout.write(`snapshot of ${bytes} bytes in ${snapshot.toFixed(1)} s\n`)
  })
}

test.run()
