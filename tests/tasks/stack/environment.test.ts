/** `.env.local`: made once, never made anew over what was made with its passwords, and taken back from containers. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { labels } from '../../../lib/index.ts'
import {
  environmentTask,
  isEnvironmentLost,
  secretNames,
  takeBackEnvironment,
} from '../../../tasks/stack/environment.ts'
import { checkout } from '../../support/checkout.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('environment of a checkout')
const folders: string[] = []
test.after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true })
})

interface Present {
  readonly volumes?: readonly string[]
  /** State by service. */
  readonly containers?: Readonly<Record<string, string>>
}

const inside: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  postgres1: {
    PATRONI_SUPERUSER_PASSWORD: 'one',
    PATRONI_REPLICATION_PASSWORD: 'two',
    PATRONI_RESTAPI_PASSWORD: 'three',
    APP_PASSWORD: 'four=4',
  },
  redis1: { REDIS_PASSWORD: 'five' },
  postgres: { POSTGRES_PASSWORD: 'one', APP_PASSWORD: 'four' },
}
const portOf: Readonly<Record<string, number>> = { postgres1: 5432, postgres: 5432, redis1: 6379 }

/** A checkout of project `p` in a new folder, with this on its engine. */
function place({ volumes = [], containers = {} }: Present) {
  const directory = mkdtempSync(join(tmpdir(), 'environment-'))
  folders.push(directory)
  const project = { name: 'p', directory, stateDirectory: join(directory, '.devstack'), environment: {} }
  const notes: string[] = []
  const made = { [labels.project]: 'p', [labels.directory]: directory }
  const context = {
    project,
    signal: new AbortController().signal,
    log: () => {},
    note: (text: string) => void notes.push(text),
    secret: () => {},
    runtime: {
      volumes: async () => volumes.map((name) => ({ name: `p_${name}`, labels: made })),
      containers: async () =>
        Object.entries(containers).map(([service, state]) => ({
          id: service,
          name: `p-${service}-1`,
          state,
          labels: { ...made, [labels.service]: service },
          addresses: { p_stack: '10.70.1.21' },
          ports: [{ hostIp: '127.0.0.1', hostPort: portOf[service]! + 20_000, containerPort: portOf[service]! }],
        })),
      exec: async (service: string) => ({
        exitCode: 0,
        stdout: Object.entries(inside[service]!)
          .map(([name, value]) => `${name}=${value}\0`)
          .join(''),
        stderr: '',
      }),
    },
  } as never
  const { definition } = environmentTask({ directory, environment: {}, project: 'p' })
  const file = join(directory, '.env.local')
  return {
    file,
    notes,
    project,
    context,
    observe: () => definition.observe!(context),
    run: () => definition.run!(context),
    variables: () => parseEnv(readFileSync(file, 'utf8')),
  }
}

test('a new checkout gets passwords of its own, readable by nobody else', async () => {
  const { observe, run, file, variables } = place({})
  assert.equal(await observe(), { state: 'stale', cause: 'there is no .env.local' })
  await run()
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.is(new Set(secretNames.map((name) => variables()[name])).size, secretNames.length)
  assert.is((await observe()).state, 'fresh')
})

test('volumes whose passwords are lost are named, and no new ones are made', async () => {
  for (const step of ['observe', 'run'] as const) {
    const lost = place({ volumes: ['postgres1', 'redis1'] })
    const error = await refusal(() => lost[step]())
    assert.is(error.code, 'ENV_FILE_LOST')
    assert.match(error.message, 'volume p_postgres1')
    assert.not.match(error.message, 'redis1', 'Redis takes its password at each start')
    assert.match(error.hint ?? '', 'down --volumes')
    assert.not.ok(existsSync(lost.file))
  }
  const partly = place({ volumes: ['postgres1'] })
  writeFileSync(partly.file, 'APP_PASSWORD=kept\n')
  assert.is((await refusal(() => partly.observe())).code, 'ENV_FILE_LOST')
})

test('containers that do not run can be started for what they know', async () => {
  const stopped = place({ volumes: ['postgres1'], containers: { postgres1: 'exited' } })
  assert.match((await refusal(() => stopped.observe())).hint ?? '', 'docker start')
})

test('running containers give passwords, ports and subnet back', async () => {
  const { observe, run, variables } = place({
    volumes: ['postgres1'],
    containers: { postgres1: 'running', redis1: 'running' },
  })
  assert.match((await observe()).cause, 'the running containers tell')
  assert.is((await refusal(() => run())).code, 'ENV_FILE_TAKEN_BACK')
  const found = variables()
  assert.equal(
    secretNames.map((name) => found[name]),
    ['one', 'two', 'three', 'four=4', 'five'],
  )
  assert.is(found['POSTGRES1_PORT'], '25432')
  assert.is(found['REDIS1_PORT'], '26379')
  assert.is(found['DEVSTACK_SUBNET_PREFIX'], '10.70.1')
  await run()
  assert.is(variables()['ETCD1_PORT'], '22379', 'the others join their block')
})

test('the fast mode needs fewer, unless the data of the other is kept beside it', async () => {
  const fast = place({ volumes: ['fast-postgres'], containers: { postgres: 'running' } })
  assert.is((await refusal(() => fast.run())).code, 'ENV_FILE_TAKEN_BACK')
  assert.is(fast.variables()['POSTGRES_PASSWORD'], 'one')
  const both = place({ volumes: ['fast-postgres', 'postgres1'], containers: { postgres: 'running' } })
  assert.is((await refusal(() => both.run())).code, 'ENV_FILE_LOST')
})

test('where the stack was seen before, any command takes the file back and says so', async () => {
  const seen = place({ containers: { postgres1: 'running', redis1: 'running' } })
  assert.not.ok(isEnvironmentLost(seen.project))
  mkdirSync(seen.project.stateDirectory)
  writeFileSync(join(seen.project.stateDirectory, 'history.jsonl'), '')
  assert.ok(isEnvironmentLost(seen.project))
  await takeBackEnvironment(seen.context)
  assert.is(seen.variables()['REDIS_PASSWORD'], 'five')
  assert.match(seen.notes.join(), '.env.local was gone')
  assert.not.ok(isEnvironmentLost(seen.project))
})

test('setup brings an engine along before passwords are made', async () => {
  const place = checkout({
    name: 'setup',
    files: (project) => ({
      'devstack.config.ts': `import { defineConfig } from 'devstack'
import { haStack } from 'devstack/packs'
export default defineConfig({ name: '${project}', use: [haStack({ applications: false })] })
`,
    }),
  })
  try {
    const { edges } = JSON.parse(await place.succeed(['graph', 'setup', '--format', 'json'])) as {
      readonly edges: readonly { readonly from: string; readonly to: string }[]
    }
    assert.ok(edges.some(({ from, to }) => from === 'engine' && to === 'environment'))
  } finally {
    await place.remove()
  }
})

test.run()
