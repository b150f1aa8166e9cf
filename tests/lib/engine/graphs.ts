/** Graphs for the engine's tests: names, random DAGs, and a host that remembers what happened. */
import fc from 'fast-check'
import type { RunEvent } from '../../../lib/engine/events.ts'
import { buildGraph, type Graph, type Names } from '../../../lib/engine/graph.ts'
import { after, createTask, type Gate, type Task } from '../../../lib/engine/task.ts'
import { toDevstackError } from '../../../lib/errors.ts'
import type { SessionHost } from '../../../lib/session/host.ts'

/** Names of tasks as a config would give them. */
export function namesOf(tasks: Readonly<Record<string, Task>>): Names {
  const byTask = new Map(Object.entries(tasks).map(([name, task]) => [task, name]))
  return {
    nameOf: (task) => byTask.get(task),
    taskNamed: (name) => (Object.hasOwn(tasks, name) ? tasks[name] : undefined),
    all: () => Object.keys(tasks),
    current: (task) => task,
  }
}

/** The graph of some or all of the tasks. */
export function graphOf(tasks: Readonly<Record<string, Task>>, targets = Object.keys(tasks)): Promise<Graph> {
  return buildGraph(
    targets.map((name) => ({ task: tasks[name]! })),
    namesOf(tasks),
  )
}

export interface Shape {
  /** For each node the earlier nodes it needs, by index. */
  readonly needs: readonly (readonly number[])[]
  readonly fails: readonly boolean[]
  readonly locks: readonly (string | undefined)[]
  readonly weights: readonly number[]
  /** Holders at a time of each lock. */
  readonly sizes: Readonly<Record<string, number>>
  /** For each node, by the position of its needs: does without, and waits at a gate. */
  readonly optional: readonly (readonly boolean[])[]
  readonly gated: readonly (readonly boolean[])[]
  /** Whether the node has a gate of its own. */
  readonly gates: readonly boolean[]
}

const mostNeeds = 4

/** A random DAG of 1 to `most` nodes, each with up to `needs` needs. */
export function dag(most = 12, needs = mostNeeds): fc.Arbitrary<Shape> {
  const seldom = fc.nat({ max: 3 }).map((number) => number === 0)
  return fc.integer({ min: 1, max: most }).chain((size) => {
    const each = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(value, { minLength: size, maxLength: size })
    const eachNeed = each(fc.array(seldom, { minLength: mostNeeds, maxLength: mostNeeds }))
    return fc.record({
      needs: fc.tuple(
        ...Array.from({ length: size }, (_, index) =>
          index === 0
            ? fc.constant([] as number[])
            : fc.uniqueArray(fc.integer({ min: 0, max: index - 1 }), { maxLength: Math.min(index, needs) }),
        ),
      ),
      fails: each(fc.boolean()),
      locks: each(fc.constantFrom(undefined, 'a', 'b')),
      weights: each(fc.integer({ min: 0, max: 3 })),
      sizes: fc.record({ a: fc.integer({ min: 1, max: 3 }), b: fc.constant(1) }),
      optional: eachNeed,
      gated: eachNeed,
      gates: each(seldom),
    })
  })
}

/**
 * The shape as tasks that call `run` with their index, with its weights, locks and gates. A gate holds after some turns of the
 * event loop, and tells `held` its description: `n1` of the node, `n1 for n2` of an edge.
 */
export function tasksOf(
  shape: Shape,
  run: (index: number) => unknown,
  held: (description: string) => void = () => {},
): Record<string, Task> {
  const tasks: Record<string, Task> = {}
  const gate = (description: string): Gate<unknown> => ({
    description,
    async hold(_, { signal }) {
      for (let turn = 0; turn < 3; turn += 1) {
        signal.throwIfAborted()
        await new Promise((resolve) => setImmediate(resolve))
      }
      held(description)
    },
  })
  shape.needs.forEach((needs, index) => {
    const edges = needs.map((need, at) => {
      const until = shape.gated[index]![at] ? [gate(`n${need} for n${index}`)] : []
      return [`n${need}`, after(tasks[`n${need}`]!, { until, optional: shape.optional[index]![at]! })] as const
    })
    const lock = shape.locks[index]
    tasks[`n${index}`] = createTask({
      needs: Object.fromEntries(edges),
      run: () => run(index),
      weight: shape.weights[index]!,
      locks: lock === undefined ? [] : [{ name: lock, size: shape.sizes[lock]! }],
      ...(shape.gates[index] ? { gate: gate(`n${index}`) } : {}),
    }) as Task
  })
  return tasks
}

/** A host without a world: events are kept, contexts are as the engine makes them. */
export function memoryHost(overrides: Partial<SessionHost> = {}): {
  readonly host: SessionHost
  readonly events: RunEvent[]
} {
  const events: RunEvent[] = []
  let now = 0
  const host: SessionHost = {
    now: () => (now += 1),
    emit: (event) => events.push({ at: now, runId: 'r', ...event }),
    emitNode: (node, event) => events.push({ at: now, runId: 'r', node, ...event } as RunEvent),
    context: (_, base) => base,
    decide: () => ({ decision: 'run', cause: 'test' }),
    value: (_, returned) => returned,
    commit: () => undefined,
    release: () => undefined,
    failure: (_, thrown) => toDevstackError(thrown, 'task', 'TASK_FAILED'),
    ...overrides,
  }
  return { host, events }
}

/** Final states by node. */
export function finals(events: readonly RunEvent[]): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const event of events) {
    if (event.node === undefined) continue
    if (!/^node-(done|ready|reused|skipped|failed|cancelled)$/.test(event.type)) continue
    found.set(event.node, [...(found.get(event.node) ?? []), event.type.slice(5)])
  }
  return found
}
