/** Graphs for the engine's tests: names, random DAGs, and a host that remembers what happened. */
import fc from 'fast-check'
import type { RunEvent } from '../../../lib/engine/events.ts'
import { buildGraph, type Graph, type Names } from '../../../lib/engine/graph.ts'
import { createTask, type Task } from '../../../lib/engine/task.ts'
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
}

/** A random DAG of 1 to `most` nodes. */
export function dag(most = 12): fc.Arbitrary<Shape> {
  return fc.integer({ min: 1, max: most }).chain((size) =>
    fc.record({
      needs: fc.tuple(
        ...Array.from({ length: size }, (_, index) =>
          index === 0
            ? fc.constant([] as number[])
            : fc.uniqueArray(fc.integer({ min: 0, max: index - 1 }), { maxLength: Math.min(index, 4) }),
        ),
      ),
      fails: fc.array(fc.boolean(), { minLength: size, maxLength: size }),
      locks: fc.array(fc.constantFrom(undefined, 'a', 'b'), { minLength: size, maxLength: size }),
      weights: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: size, maxLength: size }),
    }),
  )
}

/** The shape as tasks that call `run` with their index. */
export function tasksOf(
  shape: Shape,
  run: (index: number) => unknown,
  extra: (index: number) => object = () => ({}),
): Record<string, Task> {
  const tasks: Record<string, Task> = {}
  shape.needs.forEach((needs, index) => {
    tasks[`n${index}`] = createTask({
      needs: Object.fromEntries(needs.map((need) => [`n${need}`, tasks[`n${need}`]!])),
      run: () => run(index),
      ...extra(index),
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
