/** What `health` asks a service that has no probe of devstack's own. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type ContainerGate, gate, labels, type ServiceHandle } from '../../../lib/index.ts'
import { type HealthOptions, readHealth } from '../../../tasks/stack/health.ts'

const test = suite('health')

interface Seen {
  readonly state?: string
  readonly exitCode?: number
  readonly restart?: string
  /** Exit code of its healthcheck; left out without one. */
  readonly check?: number
}

/** Healthy by service, of containers like these. */
async function healthOf(
  seen: Readonly<Record<string, Seen>>,
  gates: Awaited<ReturnType<HealthOptions['gates']>> = {},
): Promise<Record<string, boolean | undefined>> {
  const summary = (service: string) => ({
    id: service,
    name: `p-${service}-1`,
    state: seen[service]!.state ?? 'running',
    status: 'the status',
    labels: { [labels.project]: 'p', [labels.service]: service },
    addresses: {},
    ports: [],
  })
  const runtime = {
    containers: async () => Object.keys(seen).map(summary),
    inspect: async (service: string) => {
      const { exitCode = 0, restart = 'no', check } = seen[service]!
      const healthcheck = { test: ['CMD', 'check'] }
      return {
        ...summary(service),
        exitCode,
        restartPolicy: { name: restart },
        ...(check === undefined ? {} : { health: { status: 'starting', lastOutput: '' }, healthcheck }),
      }
    },
    exec: async (name: string) => ({ exitCode: seen[name.split('-')[1]!]!.check ?? 1, stdout: '', stderr: '' }),
  }
  const context = { runtime, project: { name: 'p' }, signal: new AbortController().signal } as never
  const rows = await readHealth(context, { gates: async () => gates, expected: async () => [] })
  return Object.fromEntries(rows.map(({ service, healthy }) => [service, healthy]))
}

test('a job that ended well is done; what should run, or ended badly, is not healthy', async () => {
  const ended = { state: 'exited' }
  assert.equal(
    await healthOf({
      job: ended,
      failed: { ...ended, exitCode: 3 },
      stopped: { ...ended, restart: 'unless-stopped' },
      retried: { ...ended, restart: 'on-failure' },
      server: { ...ended, check: 0 },
      made: { state: 'created' },
      runs: {},
    }),
    { failed: false, job: true, made: false, retried: true, runs: true, server: false, stopped: false },
  )
})

test('a healthcheck is asked here and now, whatever the engine found at its own interval', async () => {
  assert.equal(await healthOf({ a: { check: 0 }, b: { check: 1 } }), { a: true, b: false })
})

test('gates of the config are asked in place of it, all of them', async () => {
  const said = (healthy: boolean): ContainerGate<ServiceHandle> =>
    gate({ description: 'said', probe: () => ({ healthy, detail: 'said' }) })
  const seen = { a: { check: 1 }, b: { check: 0 }, c: {}, d: { state: 'exited' } }
  const gates = { a: said(true), b: said(false), c: [said(false), said(true)], d: said(true) }
  assert.equal(await healthOf(seen, gates), { a: true, b: false, c: false, d: false })
})

test.run()
