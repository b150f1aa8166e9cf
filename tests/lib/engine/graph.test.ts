import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { buildGraph } from '../../../lib/engine/graph.ts'
import { after, createTask, type Needs, named, type Task } from '../../../lib/engine/task.ts'
import { DevstackError } from '../../../lib/errors.ts'
import { graphOf, namesOf } from './graphs.ts'

const test = suite('graph')

const leaf = (): Task => createTask({ run: () => 1 }) as Task
const gate = (description: string) => ({ description, hold: async () => undefined })

async function failure(work: Promise<unknown>): Promise<DevstackError> {
  try {
    await work
  } catch (thrown) {
    assert.instance(thrown, DevstackError)
    return thrown as DevstackError
  }
  throw new Error('it did not fail')
}

test('orders every node after its needs and keeps targets', async () => {
  const a = leaf()
  const b = createTask({ needs: { a }, run: () => 2 }) as Task
  const c = createTask({ needs: { b, a }, run: () => 3 }) as Task
  const graph = await graphOf({ c, b, a }, ['c'])
  assert.equal(graph.order, ['a', 'b', 'c'])
  assert.equal(graph.targets, ['c'])
  assert.equal(graph.dependents.get('a'), ['b', 'c'])
})

test('follows only what the targets need', async () => {
  const a = leaf()
  const b = leaf()
  const graph = await graphOf({ a, b }, ['b'])
  assert.equal([...graph.nodes.keys()], ['b'])
})

test('names a self-cycle', async () => {
  const error = await failure(graphOf({ a: createTask({ needs: { a: named('a') }, run: () => 0 }) as Task }))
  assert.is(error.code, 'GRAPH_CYCLE')
  assert.is(error.message, 'Task "a" needs itself.')
})

test('prints the whole path of a cycle, the same from wherever it is entered', async () => {
  const tasks: Record<string, Task> = {
    a: createTask({ needs: { x: named('b') }, run: () => 0 }) as Task,
    b: createTask({ needs: { x: named('c') }, run: () => 0 }) as Task,
    c: createTask({ needs: { x: named('a') }, run: () => 0 }) as Task,
  }
  for (const target of ['a', 'b', 'c']) {
    const error = await failure(graphOf(tasks, [target]))
    assert.is(error.message, 'These tasks need each other: a → b → c → a.')
    assert.is(error.exitCode, 2)
  }
})

test('reports the first of two disjoint cycles in the order of the targets', async () => {
  const pair = (one: string, two: string) => ({
    [one]: createTask({ needs: { x: named(two) }, run: () => 0 }) as Task,
    [two]: createTask({ needs: { x: named(one) }, run: () => 0 }) as Task,
  })
  const tasks = { ...pair('a', 'b'), ...pair('c', 'd') }
  assert.match((await failure(graphOf(tasks))).message, 'a → b → a')
  assert.match((await failure(graphOf(tasks, ['d']))).message, 'c → d → c')
})

test('names a need that is undefined, and a name that is not there', async () => {
  const broken = createTask({ needs: { image: undefined as unknown as Task }, run: () => 0 }) as Task
  assert.match(
    (await failure(graphOf({ migrate: broken }))).message,
    'Task "migrate" needs "image", which is undefined.',
  )
  const far = createTask({ needs: { x: named('biuld') }, run: () => 0 }) as Task
  const error = await failure(graphOf({ build: leaf(), far }, ['far']))
  assert.is(error.code, 'GRAPH_UNKNOWN_TASK')
  assert.match(error.message, 'Did you mean "build"?')
})

test('turns a gate on an edge into a node between the two', async () => {
  const db = leaf()
  const migrate = createTask({
    needs: { db: after(db, { until: gate('leader elected'), within: '1s' }) },
    run: () => 0,
  }) as Task
  const graph = await graphOf({ db, migrate }, ['migrate'])
  assert.equal(graph.order, ['db', 'db until leader elected', 'migrate'])
  assert.is(graph.nodes.get('migrate')!.needs[0]!.node, 'db until leader elected')
})

test('shares equal gates and keeps different gates of the same words apart', async () => {
  const db = leaf()
  const until = gate('ready')
  const one = createTask({ needs: { db: after(db, { until }) }, run: () => 0 }) as Task
  const two = createTask({ needs: { db: after(db, { until }) }, run: () => 0 }) as Task
  const three = createTask({ needs: { db: after(db, { until: gate('ready') }) }, run: () => 0 }) as Task
  const graph = await graphOf({ db, one, two, three })
  assert.equal(
    [...graph.nodes.keys()].filter((id) => id.includes('until')),
    ['db until ready', 'db until ready (three)'],
  )
})

test('makes one node of a task with equal params, and checks and defaults them', async () => {
  const params = z.object({ keep: z.number().default(10), from: z.string().optional() })
  const backup = createTask({ params, run: () => 0 }) as Task
  const a = createTask({ needs: { backup }, run: () => 0 }) as Task
  const b = createTask({ needs: { backup: after(backup, { params: { keep: 10 } }) }, run: () => 0 }) as Task
  const c = createTask({ needs: { backup: after(backup, { params: { keep: 3 } }) }, run: () => 0 }) as Task
  const graph = await graphOf({ backup, a, b, c }, ['a', 'b', 'c'])
  assert.equal(
    [...graph.nodes.keys()].filter((id) => id.startsWith('backup')),
    ['backup', 'backup(keep=3)'],
  )
  assert.equal(graph.nodes.get('backup')!.params, { keep: 10 })
  const wrong = createTask({ needs: { backup: after(backup, { params: { keep: 'x' } }) }, run: () => 0 }) as Task
  assert.is((await failure(graphOf({ backup, wrong }, ['wrong']))).code, 'CONFIG_BAD_PARAMS')
})

test('refuses a param on an edge that the needed task does not know, also beside ones it has', async () => {
  const backup = createTask({ params: z.object({ keep: z.number().default(10) }), run: () => 0 })
  const params: Record<string, unknown> = { keep: 3, keeep: 4 }
  const wrong = createTask({ needs: { backup: after(backup as Task, { params }) }, run: () => 0 }) as Task
  const refused = await failure(graphOf({ backup: backup as Task, wrong }, ['wrong']))
  assert.is(refused.code, 'CONFIG_BAD_PARAMS')
  assert.match(refused.message, /"backup" .*no param "keeep".*"keep"/)

  // a schema may give a param another name
  const renamed = createTask({
    params: z.object({ to: z.string() }).transform(({ to }) => ({ until: to })),
    run: () => 0,
  })
  const right = createTask({
    needs: { renamed: after(renamed as Task, { params: { to: '7' } }) },
    run: () => 0,
  }) as Task
  const graph = await graphOf({ renamed: renamed as Task, right }, ['right'])
  assert.equal([...graph.nodes.values()].find(({ name }) => name === 'renamed')!.params, { until: '7' })
})

test('names a node by the params that are not at their defaults, also beside required ones', async () => {
  const params = z.object({ keep: z.number().default(10), service: z.string(), verbose: z.boolean().default(false) })
  const logs = createTask({ params, run: () => 0 }) as Task
  const ids = async (given: object) =>
    (await buildGraph([{ task: logs, params: params.parse(given) }], namesOf({ logs }))).order
  assert.equal(await ids({ service: 'web' }), ['logs(service="web")'])
  assert.equal(await ids({ service: 'web', keep: 10, verbose: true }), ['logs(service="web", verbose=true)'])
})

test('shows params as they may be shown, and still tells nodes apart', async () => {
  const params = z.object({ token: z.string() })
  const login = createTask({ params, run: () => 0 }) as Task
  const needs = Object.fromEntries(
    ['one', 'two', 'one', '***'].map((token, index) => [`n${index}`, after(login, { params: { token } })]),
  )
  const all = createTask({ needs, run: () => 0 }) as Task
  const conceal = (param: string, text: string) => (param === 'token' ? '"***"' : text)
  const graph = await buildGraph([{ task: all }], namesOf({ login, all }), conceal)
  assert.equal(graph.order, ['login(token="***")', 'login(token="***") #2', 'login(token="***") #3', 'all'])
  assert.equal(
    graph.nodes.get('all')!.needs.map(({ node }) => graph.nodes.get(node)!.params),
    ['one', 'two', 'one', '***'].map((token) => ({ token })),
  )
})

test('lets params decide on needs, which all stand in the graph', async () => {
  const small = leaf()
  const large = leaf()
  const params = z.object({ fast: z.boolean().default(false) })
  const up = createTask({
    params,
    needs: ({ fast }: { fast: boolean }): Needs => (fast ? { small } : { large }),
    run: () => 0,
  }) as Task
  const names = namesOf({ up, small, large })
  assert.equal((await buildGraph([{ task: up, params: { fast: true } }], names)).order, ['small', 'up(fast=true)'])
  assert.equal((await buildGraph([{ task: up, params: { fast: false } }], names)).order, ['large', 'up'])
})

test('refuses two different tasks under one label', async () => {
  const one = createTask({ label: 'same', run: () => 0 }) as Task
  const two = createTask({ label: 'same', run: () => 0 }) as Task
  const both = createTask({ needs: { one, two }, run: () => 0 }) as Task
  assert.is((await failure(graphOf({ both }))).code, 'GRAPH_SAME_NAME')
})

test('asks a reference for its task once', async () => {
  let asked = 0
  const made = {
    kind: 'reference' as const,
    name: 'service',
    resolve: async () => {
      asked += 1
      return createTask({ label: 'service', run: () => asked }) as Task
    },
  }
  const user = createTask({ needs: { made }, run: () => 0 }) as Task
  const graph = await graphOf({ user })
  assert.equal(graph.order, ['service', 'user'])
  assert.is(asked, 1)
})

test('builds a chain far deeper than the call stack', async () => {
  let last = leaf()
  const tasks: Record<string, Task> = { t0: last }
  for (let index = 1; index < 30_000; index += 1) {
    last = createTask({ needs: { before: last }, run: () => 0 }) as Task
    tasks[`t${index}`] = last
  }
  const graph = await graphOf(tasks, ['t29999'])
  assert.is(graph.order.length, 30_000)
  assert.is(graph.order[0], 't0')
})

test('a task named __proto__ is a task like any other', async () => {
  const odd = leaf()
  const names = {
    nameOf: (task: Task) => (task === odd ? '__proto__' : 'user'),
    taskNamed: () => undefined,
    all: () => [],
    current: (task: Task) => task,
  }
  const user = createTask({ needs: JSON.parse('{}'), run: () => 0 }) as Task
  const graph = await buildGraph([{ task: odd }, { task: user }], names)
  assert.equal(graph.order, ['__proto__', 'user'])
})

test.run()
