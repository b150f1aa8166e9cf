/** The HA stack and the fast mode: which of them is there is told by its services, and the other one is refused. */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { labels, type Task } from '../../../lib/index.ts'
import { haStack } from '../../../tasks/stack/pack.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('forms of the stack')
let folder: string
let tasks: Record<string, Task>

test.before(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'forms-')))
  const pack = haStack({ applications: false })
  if (typeof pack.tasks !== 'function') throw new Error('the pack has no tasks')
  tasks = (await pack.tasks({ directory: folder, environment: {}, project: 'p' })) as Record<string, Task>
})
test.after(() => rmSync(folder, { recursive: true }))

let runs = 0

interface Container {
  /** Labels beside those of the project. */
  readonly spec?: object
  readonly state?: string
}

/** A context of a checkout in which these services have running containers. */
function contextOf(services: readonly string[], more: object = {}, container: Container = {}): never {
  const { spec = {}, state = 'running' } = container
  runs += 1
  return {
    runId: `forms-${runs}`,
    signal: new AbortController().signal,
    log: () => {},
    params: {},
    project: { name: 'p', directory: folder, stateDirectory: join(folder, '.devstack'), environment: {} },
    runtime: {
      containers: async () =>
        services.map((service) => ({
          id: service,
          name: `p-${service}-1`,
          state,
          labels: { [labels.project]: 'p', [labels.service]: service, [labels.directory]: folder, ...spec },
        })),
      volumes: async () => [],
      networks: async () => [],
    },
    ...more,
  } as never
}

/** What `up` looks at before the first network or volume. */
async function enter(
  service: string,
  params: object,
  present: readonly string[],
  container: Container = {},
): Promise<unknown> {
  const { needs } = tasks['up']!.definition as { needs(params: object): Promise<Record<string, Task>> }
  const needOf = (task: Task, key: string): Task => (task.definition.needs as Record<string, Task>)[key]!
  const ready = (await needs(params))[service]!
  const ground = needOf(needOf(needOf(ready, 'container'), 'container'), 'ground')
  return ground.definition.observe!(contextOf(present, {}, container))
}

test('neither form is brought up beside the other', async () => {
  const fast = await refusal(() => enter('redis', { fast: true }, ['etcd1', 'redis1']))
  assert.is(fast.code, 'STACK_OTHER_FORM')
  assert.match(fast.message, 'The HA stack is up here (etcd1, redis1)')
  const whole = await refusal(() => enter('redis1', {}, ['postgres', 'redis']))
  assert.is(whole.code, 'STACK_OTHER_FORM')
  await enter('redis1', {}, ['redis2', 'sentinel1', 'mine'])
  await enter('redis', { fast: true }, ['postgres', 'mine'])
})

test('a stack with its data in memory is not made anew as one with volumes, unless its data is gone anyway', async () => {
  const tmpfs = { mounts: [{ type: 'tmpfs', target: '/var/lib/postgresql/data' }] }
  const spec = { [labels.spec]: JSON.stringify(tmpfs) }
  const services = ['etcd1', 'postgres1', 'postgres2']
  const refused = await refusal(() => enter('redis1', {}, services, { spec }))
  assert.is(refused.code, 'STACK_IN_MEMORY')
  assert.match(refused.message, 'data in memory (etcd1, postgres1, postgres2)')
  assert.match(refused.hint ?? '', 'devstack run up --ephemeral')
  await enter('redis1', { ephemeral: true }, services, { spec })
  await enter('redis1', {}, services, { spec, state: 'exited' })
  const own = { [labels.spec]: JSON.stringify({ mounts: [{ type: 'tmpfs', target: '/tmp' }] }) }
  await enter('redis1', {}, services, { spec: own })
})

test('a part of the HA stack is no fast mode, also without etcd', async () => {
  const found = async (services: readonly string[]): Promise<readonly { readonly name: string }[]> => {
    const shown: string[] = []
    const terminal = { write: (text: string) => void shown.push(text) }
    await tasks['stale']!.definition.run!(contextOf(services, { terminal, params: { json: true } }))
    return JSON.parse(shown.join(''))
  }
  assert.equal(await found(['redis1', 'redis2']), [])
  assert.equal(await found(['postgres', 'redis']), [])
  assert.equal(
    (await found(['redis1', 'other'])).map(({ name }) => name),
    ['p-other-1'],
  )
})

test.run()
