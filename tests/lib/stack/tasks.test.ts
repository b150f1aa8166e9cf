/** Services of a compose file as tasks: which node waits for which, and what is adopted, recreated or started. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { buildGraph, type Graph } from '../../../lib/engine/graph.ts'
import type { Task } from '../../../lib/engine/task.ts'
import { type ContainerSummary, labels } from '../../../lib/runtime/runtime.ts'
import { composeDependenciesOf, type LoadedStack, loadStack, numberOf } from '../../../lib/stack/compose.ts'
import { handleOf } from '../../../lib/stack/container.ts'
import { refusal } from '../../support/refusal.ts'

const test = suite('stack tasks')
let folder: string

test.before(() => {
  folder = mkdtempSync(join(tmpdir(), 'stack-tasks-'))
})
test.after(() => rmSync(folder, { recursive: true }))

function load(yaml: string): Promise<LoadedStack> {
  writeFileSync(join(folder, 'compose.yaml'), yaml)
  return loadStack({ files: ['compose.yaml'] }, { directory: folder, project: 'p', environment: {} })
}

const nobody = { nameOf: () => undefined, taskNamed: () => undefined, all: () => [], current: (task: Task) => task }

function graphOf(stack: LoadedStack): Promise<Graph> {
  return buildGraph(
    Object.values(stack.ready()).map((task) => ({ task: task as Task })),
    nobody,
  )
}

const needsOf = (graph: Graph, node: string): string[] => graph.nodes.get(node)!.needs.map((need) => need.node)

test('each condition of depends_on waits for another node', async () => {
  const graph = await graphOf(
    await load(`services:
  job: { image: x }
  db: { image: x }
  cache: { image: x }
  web:
    image: x
    depends_on:
      job: { condition: service_completed_successfully }
      db: { condition: service_healthy }
      cache: { condition: service_started, required: false }
`),
  )
  assert.equal(needsOf(graph, 'web start').sort(), ['cache start', 'db', 'job completed', 'web create'])
  assert.ok(graph.nodes.get('web start')!.needs.find(({ key }) => key === 'cache')!.optional)
  assert.equal(needsOf(graph, 'db'), ['db start'])
  assert.not.ok(graph.nodes.has('job'), 'a job is waited for until it ends')
})

test('one image is got once, for all services that use it', async () => {
  const graph = await graphOf(await load('services:\n  a: { image: x }\n  b: { image: x }\n  c: { build: . }\n'))
  const images = [...graph.nodes.keys()].filter((id) => id.startsWith('image '))
  assert.equal(images.sort(), ['image p-c', 'image x'])
})

test('a service that is not there is named with its neighbour', async () => {
  const stack = await load('services:\n  web: { image: x }\n')
  const error = await refusal(() => stack.ready(['wbe']))
  assert.is(error.code, 'STACK_UNKNOWN_SERVICE')
  assert.match(error.message, 'Did you mean "web"?')
})

test('says who depends on whom', async () => {
  const { model } = await load('services:\n  a: { image: x, depends_on: [b] }\n  b: { image: x }\n')
  assert.equal(Object.fromEntries(composeDependenciesOf(model)), { a: ['b'], b: [] })
})

function summary(more: Partial<ContainerSummary> = {}): ContainerSummary {
  return {
    id: 'c1',
    name: 'p-web-1',
    image: 'x',
    imageId: 'sha256:1',
    state: 'running',
    status: 'Up',
    labels: { [labels.project]: 'p', [labels.service]: 'web' },
    addresses: { net: '10.0.0.2' },
    ports: [],
    createdAt: 0,
    ...more,
  }
}

let runs = 0

/** A context as far as `observe` looks, with these containers in the engine. */
function contextOf(containers: readonly ContainerSummary[], needs: object): never {
  runs += 1
  return {
    runId: `r${runs}`,
    needs,
    signal: new AbortController().signal,
    project: { name: 'p', directory: folder, stateDirectory: join(folder, '.devstack'), environment: {} },
    runtime: { containers: async () => containers },
  } as never
}

test('a container is adopted when it is as described, and recreated when not, saying why', async () => {
  const stack = await load('services:\n  web: { image: x, environment: { A: one } }\n')
  const { create } = stack.services.get('web')!
  const needs = { image: { id: 'sha256:1', tag: 'x' } }
  const observe = (containers: readonly ContainerSummary[]) => create.definition.observe!(contextOf(containers, needs))
  assert.equal(await observe([]), { state: 'stale', cause: 'there is no container yet' })
  const other = await observe([summary()])
  assert.is(other.state, 'stale')
  assert.match(other.cause, 'image x is another one now')
  const labelled = { ...summary().labels, 'devstack.image': 'sha256:1' }
  const given = await observe([summary({ labels: labelled, imageId: 'sha256:2' })])
  assert.match(given.cause, 'image x is another one now')
  const dead = await observe([summary({ state: 'dead' })])
  assert.match(dead.cause, 'dead')
})

test('what runs is left alone, what is stopped is started', async () => {
  const stack = await load('services:\n  web: { image: x }\n')
  const { start } = stack.services.get('web')!
  const container = handleOf(summary(), 'web')
  const running = await start.definition.observe!(contextOf([summary()], { container }))
  assert.is(running.state, 'fresh')
  const stopped = await start.definition.observe!(contextOf([summary({ state: 'exited' })], { container }))
  assert.equal(stopped, { state: 'stale', cause: 'its container is exited' })
})

test('what is not known in a plan, since it would be made first, is told as such', async () => {
  const stack = await load('services:\n  web: { image: x }\n')
  const { create, start } = stack.services.get('web')!
  assert.equal(await start.definition.observe!(contextOf([], {})), {
    state: 'stale',
    cause: 'its container would be made first',
  })
  const { cause } = await create.definition.observe!(contextOf([summary()], {}))
  assert.match(cause, 'when its image turns out to be another one')
})

test('a number of a project is the same every time and below its limit', () => {
  assert.is(numberOf('a', 100), numberOf('a', 100))
  assert.not.equal(numberOf('a', 1e9), numberOf('b', 1e9))
  for (const name of ['x', 'y', 'z']) assert.ok(numberOf(name, 7) < 7)
})

test.run()
