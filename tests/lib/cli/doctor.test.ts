import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type DoctorInput,
  diagnose,
  exitCodeOf,
  type Finding,
  formatFindings,
  machine,
} from '../../../lib/cli/doctor.ts'
import { DevstackError } from '../../../lib/errors.ts'
import { type ContainerSummary, type EngineInfo, labels, type RuntimeReader } from '../../../lib/runtime/runtime.ts'

const info: EngineInfo = {
  kind: 'docker',
  version: '20.10.24',
  apiVersion: '1.41',
  source: 'default socket',
  address: '/var/run/docker.sock',
  rootless: false,
  cpus: 2,
  memoryBytes: 1,
  operatingSystem: 'Debian',
  architecture: 'x86_64',
  rootDirectory: '/var/lib/docker',
  warnings: [],
}

function container(name: string, own: Readonly<Record<string, string>>, port?: number): ContainerSummary {
  const ports =
    port === undefined ? [] : [{ hostIp: '127.0.0.1', hostPort: port, containerPort: 1, protocol: 'tcp' as const }]
  return {
    id: name,
    name,
    image: 'x',
    imageId: 'x',
    state: 'running',
    status: 'Up',
    labels: own,
    addresses: {},
    ports,
    createdAt: 0,
  }
}

/** Only what doctor may ask; anything else fails the test. */
function engine(containers: readonly ContainerSummary[] = [], over: Partial<EngineInfo> = {}): RuntimeReader {
  return { info: async () => ({ ...info, ...over }), containers: async () => containers } as unknown as RuntimeReader
}

const GiB = 1024 ** 3
const sound: DoctorInput = {
  nodeVersion: 'v24.1.0',
  project: { name: 'shop', directory: '/shop', stateDirectory: '/shop/.devstack' },
  runtime: () => engine(),
  config: async () => ({ file: '/shop/devstack.config.ts', tasks: 3, ports: [5432] }),
  locks: async () => [],
  disk: async () => ({ free: 50 * GiB, total: 100 * GiB }),
  memory: () => ({ free: 4 * GiB, total: 8 * GiB }),
  portHolder: async () => undefined,
  exists: async () => true,
  isRunning: async () => false,
  now: () => 1_000_000,
}

async function of(check: Finding['check'], over: Partial<DoctorInput>): Promise<Finding> {
  const found = (await diagnose({ ...sound, ...over })).filter((finding) => finding.check === check)
  assert.is(found.length, 1, JSON.stringify(found))
  return found[0]!
}

const doctor = suite('doctor')

doctor('a sound machine: every check in order, and exit code 0', async () => {
  const findings = await diagnose(sound)
  assert.equal(
    findings.map(({ check, level }) => `${check} ${level}`),
    ['node', 'engine', 'disk', 'memory', 'config', 'ports', 'locks', 'containers'].map((check) => `${check} ok`),
  )
  assert.is(exitCodeOf(findings), 0)
  assert.match(formatFindings(findings), /✓ engine +Docker 20.10.24, API 1.41/)
  assert.match(formatFindings(findings), '0 problems, 0 warnings.')
})

doctor('Node: too old, just enough', async () => {
  assert.is((await of('node', { nodeVersion: 'v20.20.2' })).level, 'problem')
  assert.is((await of('node', { nodeVersion: 'v22.17.1' })).level, 'problem')
  assert.is((await of('node', { nodeVersion: 'v22.18.0' })).level, 'ok')
})

doctor('engine: not reachable costs one finding, with its own remedy', async () => {
  const unreachable = new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_UNREACHABLE',
    message: 'No container engine answers.',
    hint: 'sudo systemctl start docker',
  })
  const findings = await diagnose({
    ...sound,
    runtime: () => {
      throw unreachable
    },
  })
  const problems = findings.filter(({ level }) => level !== 'ok')
  assert.equal(problems, [
    {
      check: 'engine',
      level: 'problem',
      message: 'No container engine answers.',
      remedy: 'sudo systemctl start docker',
    },
  ])
  assert.is(exitCodeOf(findings), 1)
})

doctor('engine: too old, and one that never answers', async () => {
  const old = await of('engine', { runtime: () => engine([], { apiVersion: '1.40' }) })
  assert.is(old.level, 'problem')
  const hanging = { info: () => new Promise(() => {}), containers: async () => [] } as unknown as RuntimeReader
  const stuck = (await diagnose({ ...sound, runtime: () => hanging, deadlineMs: 20 })).find(
    ({ check }) => check === 'engine',
  )!
  assert.is(stuck.level, 'problem')
  assert.match(stuck.message, 'no answer within')
})

doctor('disk and memory that run short', async () => {
  const disk = (free: number) => of('disk', { disk: async () => ({ free, total: 100 * GiB }) })
  assert.is((await disk(3 * GiB)).level, 'warning')
  assert.is((await disk(GiB / 2)).level, 'problem')
  assert.is((await of('memory', { memory: () => ({ free: 1, total: GiB }) })).level, 'warning')
})

doctor('config: missing is a warning, broken a problem with its place', async () => {
  const failing = (code: string) =>
    of('config', {
      config: async () => {
        const place = { file: '/shop/devstack.config.ts', line: 3, column: 7 }
        throw new DevstackError({ kind: 'config', code, message: 'It does not load.', hint: 'Mend it.', place })
      },
    })
  assert.is((await failing('CONFIG_NOT_FOUND')).level, 'warning')
  const broken = await failing('CONFIG_FAILED')
  assert.is(broken.level, 'problem')
  assert.match(formatFindings([broken]), 'at /shop/devstack.config.ts:3:7')
  assert.match(formatFindings([broken]), '→ Mend it.')
  assert.is((await of('config', { config: async () => ({ file: 'x', tasks: 0 }) })).level, 'warning')
})

doctor('ports: ours are fine, others are named', async () => {
  const ours = container(
    'shop-db-1',
    { [labels.project]: 'shop', [labels.directory]: '/shop', [labels.service]: 'db' },
    5432,
  )
  assert.is((await of('ports', { runtime: () => engine([ours]) })).level, 'ok')
  const theirs = container(
    'blog-db-1',
    { [labels.project]: 'blog', [labels.directory]: '/blog', [labels.service]: 'db' },
    5432,
  )
  const held = await of('ports', { runtime: () => engine([theirs]) })
  assert.match(held.message, 'Port 5432 is held by the container blog-db-1.')
  const process = await of('ports', { portHolder: async () => 'postgres (process 12)' })
  assert.match(process.message, 'Port 5432 is held by postgres (process 12).')
})

doctor('locks: held ones are named, those of the dead are stale', async () => {
  const lock = { name: 'postgres', pid: 12, since: 1_000_000 - 30_000 }
  const held = await of('locks', { locks: async () => [{ ...lock, alive: true }] })
  assert.is(held.level, 'ok')
  assert.match(held.message, 'postgres by process 12 for 30 s')
  const stale = await of('locks', { locks: async () => [{ ...lock, alive: false }] })
  assert.is(stale.level, 'warning')
  assert.match(stale.message, 'process 12, which is dead')
})

doctor('containers: of a folder that is gone, and of a run that has ended', async () => {
  const gone = { [labels.project]: 'old', [labels.directory]: '/gone', [labels.service]: 'db' }
  const orphaned = await of('containers', {
    runtime: () => engine([container('old-db-1', gone), container('old-db-2', gone)], { kind: 'podman' }),
    exists: async (path) => path !== '/gone',
  })
  assert.is(orphaned.level, 'warning')
  assert.match(orphaned.message, '/gone does not exist any more')
  assert.match(formatFindings([orphaned]), 'podman rm --force --volumes old-db-1 old-db-2')

  const helper = container('shop-helper', { [labels.project]: 'shop', [labels.directory]: '/shop', [labels.run]: 'r1' })
  const runtime = () => engine([helper])
  assert.match((await of('containers', { runtime })).message, 'the run r1 has ended')
  assert.is((await of('containers', { runtime, isRunning: async () => true })).level, 'ok')
  const service = container('shop-db-1', { ...helper.labels, [labels.service]: 'db' })
  assert.is((await of('containers', { runtime: () => engine([service]) })).level, 'ok')
})

doctor('a reader that throws costs its own finding alone', async () => {
  const findings = await diagnose({
    ...sound,
    disk: async () => {
      throw new Error('EIO')
    },
    locks: () => {
      throw new Error('EACCES')
    },
  })
  assert.equal(
    findings.filter(({ level }) => level === 'problem').map(({ check, message }) => `${check} ${message}`),
    ['disk EIO', 'locks EACCES'],
  )
  for (const finding of findings) assert.ok(finding.level === 'ok' || finding.remedy !== '')
})

doctor('an aborted diagnosis rejects', async () => {
  try {
    await diagnose({ ...sound, signal: AbortSignal.abort(new Error('stopped')) })
    assert.unreachable()
  } catch (thrown) {
    assert.match((thrown as Error).message, 'stopped')
  }
})

doctor('this machine can be read', async () => {
  const { free, total } = await machine.disk('.')
  assert.ok(free >= 0 && total >= free)
  assert.ok(machine.memory().total > 0)
})

doctor.run()
