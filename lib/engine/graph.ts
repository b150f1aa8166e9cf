/**
 * Task values -> an immutable, validated graph. Needs of the targets are followed; every gate on an edge becomes a node of
 * its own between the two tasks, so that scheduler and reporters know one kind of waiting only.
 */
import { DevstackError, suggest } from '../errors.ts'
import type { AnyDefinition, Edge, Need, Task, TaskReference } from './task.ts'
import { describeIssue } from './value.ts'

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
  /** Checked and defaulted already. */
  readonly params?: Readonly<Record<string, unknown>>
}

interface Frame {
  readonly node: GraphNode
  pending: { readonly key: string; readonly need: Need; target?: Target }[] | undefined
  readonly found: NodeNeed[]
}

/**
 * Builds the graph of everything the targets need. Throws a DevstackError of kind `graph` for a cycle (GRAPH_CYCLE, whole
 * path), an undefined need (GRAPH_UNDEFINED_NEED), an unknown name (GRAPH_UNKNOWN_TASK), and CONFIG_BAD_PARAMS for params that
 * a needed task does not take. Depth is bounded by memory alone.
 */
export async function buildGraph(targets: readonly Target[], names: Names): Promise<Graph> {
  const nodes = new Map<string, GraphNode>()
  const order: string[] = []
  const open = new Map<string, Frame>()
  const stack: Frame[] = []
  const anonymous = new Map<Task, string>()

  const place = (task: Task, name: string, params: GraphNode['params'], defaults: GraphNode['params']): string => {
    const id = nodeId(name, params, defaults)
    const known = nodes.get(id) ?? open.get(id)?.node
    if (known && known.task !== task) throw sameName(id)
    if (nodes.has(id)) return id
    if (open.has(id)) throw cycle(stack, id)
    const node: GraphNode = { id, name, task, definition: task.definition, params, needs: [] }
    const frame: Frame = { node, pending: undefined, found: [] }
    open.set(id, frame)
    stack.push(frame)
    return id
  }
  const enter = ({ task, params = {} }: Target, fallback: string, checked: boolean): string | Promise<string> => {
    const { definition } = task
    const known = names.nameOf(task)
    const name = known ?? anonymous.get(task) ?? definition.label ?? fallback
    if (known === undefined) anonymous.set(task, name)
    // most tasks take no params: nothing to wait for
    if (!definition.params) return place(task, name, params, {})
    const enterChecked = async (): Promise<string> => {
      const valid = checked ? params : await validParams(name, definition, params)
      return place(task, name, valid, await defaultsOf(definition))
    }
    return enterChecked()
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
    roots.push(await enter({ ...target, task: names.current(target.task) }, 'task', true))
    while (stack.length > 0) {
      const frame = stack.at(-1)!
      if (!frame.pending) {
        const declared = frame.node.definition.needs
        const needs = typeof declared === 'function' ? await declared(frame.node.params) : declared
        frame.pending = needsOf(frame.node, needs ?? {}).reverse()
      }
      const next = frame.pending.at(-1)
      if (next === undefined) {
        stack.pop()
        close(frame)
        continue
      }
      // most needs are plain tasks: nothing to wait for
      const found = next.target ?? resolveNeed(next.need, names, frame.node.id)
      const target = found instanceof Promise ? await found : found
      // a need is looked at again once its task is in the graph, and must then be the same task
      next.target = target
      const plain = nodes.get(names.nameOf(target.task) ?? '')
      const entered =
        plain?.task === target.task && !target.task.definition.params
          ? // without params of its own it can only be this one
            plain.id
          : enter(target, `${frame.node.name}.${next.key}`, false)
      const id = typeof entered === 'string' ? entered : await entered
      if (nodes.has(id)) {
        frame.pending.pop()
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

/** The name, with the params that are not at their defaults: the same task with the same params is one node. */
function nodeId(
  name: string,
  params: Readonly<Record<string, unknown>>,
  defaults: Readonly<Record<string, unknown>>,
): string {
  const given = Object.entries(params).filter(
    ([key, value]) => value !== undefined && JSON.stringify(value) !== JSON.stringify(defaults[key]),
  )
  if (given.length === 0) return name
  return `${name}(${given.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(', ')})`
}

/** What the schema makes of nothing; empty when something is required. */
async function defaultsOf(definition: AnyDefinition): Promise<Readonly<Record<string, unknown>>> {
  const result = await definition.params!['~standard'].validate({})
  return result.issues ? {} : (result.value as Readonly<Record<string, unknown>>)
}

function needsOf(node: GraphNode, needs: Readonly<Record<string, Need | undefined>>): { key: string; need: Need }[] {
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

function resolveNeed(need: Need, names: Names, from: string): Target | Promise<Target> {
  const target = need.kind === 'edge' ? need.need : need
  const params = need.kind === 'edge' ? need.params : undefined
  const make = (task: Task): Target => ({ task: names.current(task), ...(params ? { params } : {}) })
  if (target.kind === 'task') return make(target)
  const found = resolveReference(target, names, from)
  return found instanceof Promise ? found.then(make) : make(found)
}

function resolveReference(reference: TaskReference, names: Names, from: string): Task | Promise<Task> {
  const task = reference.resolve ? reference.resolve() : names.taskNamed(reference.name)
  if (task) return task
  throw new DevstackError({
    kind: 'graph',
    code: 'GRAPH_UNKNOWN_TASK',
    message: `Task "${from}" needs "${reference.name}", which is not defined.${suggest(reference.name, names.all())}`,
    hint: 'devstack list --all shows every task.',
  })
}

async function validParams(
  name: string,
  definition: AnyDefinition,
  params: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const result = await definition.params!['~standard'].validate(params)
  if (!result.issues) return result.value as Readonly<Record<string, unknown>>
  throw new DevstackError({
    kind: 'config',
    code: 'CONFIG_BAD_PARAMS',
    message: `The params given to the needed task "${name}" do not fit: ${result.issues.map(describeIssue).join('; ')}.`,
    hint: 'Give them with after(task, { params: { ... } }), or give the param a default.',
  })
}

function sameName(id: string): DevstackError {
  return new DevstackError({
    kind: 'graph',
    code: 'GRAPH_SAME_NAME',
    message: `Two different tasks would be called "${id}".`,
    hint: 'Name them in the config, or give them different labels.',
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
