/**
 * Task values -> an immutable, validated graph. Needs of the targets are followed; every gate on an edge becomes a node of
 * its own between the two tasks, so that scheduler and reporters know one kind of waiting only.
 */
import { DevstackError, suggest } from '../errors.ts'
import type { AnyDefinition, Edge, Need, Task, TaskReference } from './task.ts'

export interface NodeNeed {
  /** The name under which the value flows. */
  readonly key: string
  readonly node: string
  /** Releases, with `undefined`, also when the needed node fails. */
  readonly optional: boolean
}

export interface GraphNode {
  readonly id: string
  /** The name under which the task stands in the config. */
  readonly name: string
  readonly task: Task
  readonly definition: AnyDefinition
  readonly params: Readonly<Record<string, unknown>>
  readonly needs: readonly NodeNeed[]
  /** Set on a node that only holds an edge back until its gates hold. */
  readonly edge?: Edge
}

export interface Graph {
  readonly nodes: ReadonlyMap<string, GraphNode>
  /** Every node after all it needs; ties in the order of the config. */
  readonly order: readonly string[]
  readonly dependents: ReadonlyMap<string, readonly string[]>
  readonly targets: readonly string[]
}

/** Where names of tasks come from. */
export interface Names {
  nameOf(task: Task): string | undefined
  taskNamed(name: string): Task | undefined
  all(): readonly string[]
  /** The task that stands in for this one: an override, or the task itself. */
  current(task: Task): Task
}

export interface Target {
  readonly task: Task
  readonly params?: Readonly<Record<string, unknown>>
}

interface Frame {
  readonly node: GraphNode
  readonly pending: { key: string; need: Need }[]
  readonly found: NodeNeed[]
}

/**
 * Builds the graph of everything the targets need. Throws a DevstackError of kind `graph` for a cycle (GRAPH_CYCLE, whole
 * path), an undefined need (GRAPH_UNDEFINED_NEED) and an unknown name (GRAPH_UNKNOWN_TASK). Depth is bounded by memory alone.
 */
export function buildGraph(targets: readonly Target[], names: Names): Graph {
  const nodes = new Map<string, GraphNode>()
  const order: string[] = []
  const open = new Map<string, Frame>()
  const stack: Frame[] = []
  const anonymous = new Map<Task, string>()

  const idOf = (
    task: Task,
    params: Readonly<Record<string, unknown>>,
    fallback: string,
  ): { id: string; name: string } => {
    const name = names.nameOf(task) ?? anonymous.get(task) ?? fallback
    if (names.nameOf(task) === undefined) anonymous.set(task, name)
    return { id: nodeId(name, params), name }
  }
  const enter = (task: Task, params: Readonly<Record<string, unknown>>, fallback: string): string => {
    const { id, name } = idOf(task, params, fallback)
    if (nodes.has(id)) return id
    if (open.has(id)) throw cycle(stack, id)
    const node: GraphNode = { id, name, task, definition: task.definition, params, needs: [] }
    const frame: Frame = { node, pending: needsOf(node), found: [] }
    open.set(id, frame)
    stack.push(frame)
    return id
  }
  const close = (frame: Frame): void => {
    nodes.set(frame.node.id, { ...frame.node, needs: frame.found })
    order.push(frame.node.id)
    open.delete(frame.node.id)
  }
  const connect = (frame: Frame, key: string, need: Need, dependency: string): void => {
    const edge = need.kind === 'edge' ? need : undefined
    let node = dependency
    if (edge && edge.until.length > 0) {
      node = `${dependency} until ${edge.until.map((gate) => gate.description).join(' and ')}`
      const taken = nodes.get(node)
      // the same words may stand for another gate: such an edge gets a node of its own
      if (taken?.edge?.until.some((gate, index) => gate !== edge.until[index])) node += ` (${frame.node.id})`
      if (!nodes.has(node)) {
        nodes.set(node, gateNode(node, nodes.get(dependency)!, edge))
        order.push(node)
      }
    }
    frame.found.push({ key, node, optional: edge?.optional ?? false })
  }

  const roots: string[] = []
  for (const target of targets) {
    roots.push(enter(target.task, target.params ?? {}, 'task'))
    while (stack.length > 0) {
      const frame = stack.at(-1)!
      const next = frame.pending[0]
      if (next === undefined) {
        stack.pop()
        close(frame)
        continue
      }
      const { task, params } = resolveNeed(next.need, names, frame.node.id)
      const id = enter(task, params, `${frame.node.name}.${next.key}`)
      if (nodes.has(id)) {
        frame.pending.shift()
        connect(frame, next.key, next.need, id)
      }
    }
  }
  return { nodes, order, dependents: reverse(nodes), targets: roots }
}

/** Needs -> dependents, for every node; the edges turned round. */
function reverse(nodes: ReadonlyMap<string, GraphNode>): ReadonlyMap<string, readonly string[]> {
  const dependents = new Map<string, string[]>()
  for (const id of nodes.keys()) dependents.set(id, [])
  for (const node of nodes.values()) {
    for (const need of node.needs) {
      const list = dependents.get(need.node)!
      if (list.at(-1) !== node.id) list.push(node.id)
    }
  }
  return dependents
}

function nodeId(name: string, params: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(params).filter(([, value]) => value !== undefined)
  if (given.length === 0) return name
  return `${name}(${given.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(', ')})`
}

function needsOf(node: GraphNode): { key: string; need: Need }[] {
  const needs: Record<string, Need | undefined> = node.definition.needs ?? {}
  return Object.keys(needs).map((key) => {
    const need = needs[key]
    if (need === undefined || need === null || !['task', 'edge', 'reference'].includes(need.kind)) {
      throw new DevstackError({
        kind: 'graph',
        code: 'GRAPH_UNDEFINED_NEED',
        message: `Task "${node.id}" needs "${key}", which is ${need === undefined ? 'undefined' : 'no task'}.`,
        hint: 'Check the import; two files that import each other see undefined: use named("...") on one side.',
      })
    }
    return { key, need }
  })
}

function resolveNeed(
  need: Need,
  names: Names,
  from: string,
): { task: Task; params: Readonly<Record<string, unknown>> } {
  const target = need.kind === 'edge' ? need.need : need
  const params = need.kind === 'edge' ? (need.params ?? {}) : {}
  return { task: names.current(target.kind === 'reference' ? resolveReference(target, names, from) : target), params }
}

function resolveReference(reference: TaskReference, names: Names, from: string): Task {
  const task = reference.resolve ? reference.resolve() : names.taskNamed(reference.name)
  if (task) return task
  throw new DevstackError({
    kind: 'graph',
    code: 'GRAPH_UNKNOWN_TASK',
    message: `Task "${from}" needs "${reference.name}", which is not defined.${suggest(reference.name, names.all())}`,
    hint: 'devstack list --all shows every task.',
  })
}

function gateNode(id: string, guarded: GraphNode, edge: Edge): GraphNode {
  const definition: AnyDefinition = {
    description: `Waits until ${edge.until.map((gate) => gate.description).join(' and ')}`,
    effect: 'read',
    weight: 0,
    private: true,
  }
  return {
    id,
    name: id,
    task: { kind: 'task', definition },
    definition,
    params: {},
    needs: [{ key: 'value', node: guarded.id, optional: false }],
    edge,
  }
}

function cycle(stack: readonly Frame[], id: string): DevstackError {
  const start = stack.findIndex((frame) => frame.node.id === id)
  const path = stack.slice(start).map((frame) => frame.node.id)
  // the same cycle reads the same whichever of its tasks was asked for
  const first = path.indexOf([...path].sort()[0]!)
  const turned = [...path.slice(first), ...path.slice(0, first)]
  return new DevstackError({
    kind: 'graph',
    code: 'GRAPH_CYCLE',
    message:
      turned.length === 1
        ? `Task "${id}" needs itself.`
        : `These tasks need each other: ${[...turned, turned[0]!].join(' → ')}.`,
    hint: 'Remove one of these needs.',
  })
}
