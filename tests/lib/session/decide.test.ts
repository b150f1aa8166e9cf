import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { z } from 'zod'
import { after, createTask, type Task } from '../../../lib/engine/task.ts'
import { type DecideOptions, decideNode } from '../../../lib/session/decide.ts'
import { formatPlan, planGraph } from '../../../lib/session/plan.ts'
import { graphOf, memoryHost } from '../engine/graphs.ts'

const decide = suite('decide and plan')
const defaults: DecideOptions = { force: false, platform: 'linux', memory: undefined }

async function verdict(definition: object, options: Partial<DecideOptions> = {}, needs: object = {}) {
  const graph = await graphOf({ a: createTask({ run: () => 1, ...definition }) as Task })
  return decideNode(graph.nodes.get('a')!, { needs, params: {} } as never, { ...defaults, ...options })
}

decide('another platform skips, a look of its own decides, --force runs', async () => {
  assert.equal(await verdict({ platforms: ['darwin'] }), { decision: 'skip', cause: 'only for darwin; this is linux' })
  const observe = () => ({ state: 'fresh', cause: 'is there', value: 7 })
  assert.equal(await verdict({ observe }), { decision: 'reuse', cause: 'is there', value: 7 })
  assert.is((await verdict({ observe }, { force: true })).cause, '--force')
  const stale = () => ({ state: 'stale', cause: 'differs', differences: ['x'] })
  assert.equal(await verdict({ observe: stale }), { decision: 'run', cause: 'differs', differences: ['x'] })
})

decide('a recorded value is taken over while code and needs are the same', async () => {
  const first = await verdict({}, {}, { db: { port: 1 } })
  assert.is(first.decision, 'run')
  const fingerprint = (first as { fingerprint?: string }).fingerprint!
  const recorded = new Map([['a', { value: 5, fingerprint }]])
  assert.equal(await verdict({}, { recorded }, { db: { port: 1 } }), {
    decision: 'reuse',
    cause: 'done in the run that is continued',
    value: 5,
  })
  assert.match((await verdict({}, { recorded }, { db: { port: 2 } })).cause, 'changed since')
  assert.match((await verdict({ run: () => 2 }, { recorded }, { db: { port: 1 } })).cause, 'changed since')
  assert.is((await verdict({}, { recorded, force: true }, { db: { port: 1 } })).decision, 'run')
  const texts = { returns: z.object({ text: z.string() }) }
  assert.match((await verdict(texts, { recorded }, { db: { port: 1 } })).cause, 'does not fit any more')
})

decide('a plan decides as far as it can be known without acting', async () => {
  const built = createTask({ run: () => 1 }) as Task
  const seen = createTask({
    needs: { built },
    observe: () => ({ state: 'fresh' as const, cause: 'is up', value: 1 }),
    run: () => 1,
  }) as Task
  const blind = createTask({ needs: { built }, run: () => 1 }) as Task
  const fragile = createTask({
    needs: { built },
    observe: ({ needs }) => (needs.built as { id: string }).id as never,
    run: () => 1,
  }) as Task
  const elsewhere = createTask({ needs: { built }, platforms: ['other'], run: () => 1 }) as Task
  const all = createTask({ needs: { seen, blind, fragile, elsewhere }, effect: 'read' }) as Task
  const graph = await graphOf({ built, seen, blind, fragile, elsewhere, all })
  const { host } = memoryHost({ decide: (node, context) => decideNode(node, context as never, defaults) })
  const steps = await planGraph(graph, host, 'plan', new AbortController().signal)
  const found = Object.fromEntries(steps.map(({ node, decision }) => [node, decision]))
  assert.equal(found, {
    built: 'run',
    seen: 'reuse',
    blind: 'run',
    fragile: 'run',
    elsewhere: 'skip',
    all: 'run',
  })
  assert.match(steps.find(({ node }) => node === 'blind')!.cause, 'needs "built", which would run')
})

decide('a plan looks through gates and groups to what would run', async () => {
  const gate = { description: 'it holds', hold: async () => ({ asked: 1 }) }
  const built = createTask({ run: () => 1 }) as Task
  const all = createTask({ needs: { built }, effect: 'read' }) as Task
  const grouped = createTask({ needs: { all }, run: () => 1 }) as Task
  const gated = createTask({ needs: { built: after(built, { until: gate }) }, run: () => 1 }) as Task
  const kept = createTask({ observe: () => ({ state: 'fresh', cause: 'is there', value: 1 }), run: () => 1 }) as Task
  const quiet = createTask({ needs: { kept: after(kept, { until: gate }) }, effect: 'read', run: () => 1 }) as Task
  const graph = await graphOf({ built, all, grouped, gated, kept, quiet })
  const { host } = memoryHost({ decide: (node, context) => decideNode(node, context as never, defaults) })
  const steps = await planGraph(graph, host, 'plan', new AbortController().signal)
  const causes = Object.fromEntries(steps.map(({ node, cause }) => [node, cause]))
  for (const node of ['grouped', 'gated']) assert.is(causes[node], 'needs "built", which would run')
  assert.is(causes['quiet'], 'reads anew each time')
})

decide('a plan says what each task would destroy', async () => {
  const none = createTask({ effect: 'destroy', destroys: () => [], run: () => 1 }) as Task
  const some = createTask({ effect: 'destroy', destroys: async () => ['volume a', 'volume b'], run: () => 1 }) as Task
  const plain = createTask({ effect: 'destroy', description: 'all there is', run: () => 1 }) as Task
  const graph = await graphOf({ none, some, plain, all: createTask({ needs: { none, some, plain } }) as Task })
  const { host } = memoryHost({ decide: (node, context) => decideNode(node, context as never, defaults) })
  const steps = await planGraph(graph, host, 'plan', new AbortController().signal)
  const found = Object.fromEntries(steps.map(({ node, destroys }) => [node, destroys]))
  assert.equal(found, { none: undefined, some: ['volume a', 'volume b'], plain: ['all there is'], all: undefined })
  const text = formatPlan(steps)
  for (const what of ['volume a', 'volume b', 'all there is']) assert.match(text, `DESTROYS ${what}\n`)
})

decide.run()
