/**
 * Task values -> an immutable, validated graph. Needs of the targets are followed; every gate on an edge becomes a node of
 * its own between the two tasks, so that scheduler and reporters know one kind of waiting only.
 */
import { DevstackError, suggest } from '../errors.ts'
import { defaultsOf, givenParams, type Params, validParams } from './params.ts'
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
  readonly params: Params
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
  /** The task of that name, as the task `from` means it. */
  taskNamed(name: string, from?: Task): Task | undefined
  all(): readonly string[]
  /** The task that stands in for this one: an override, or the task itself. */
  current(task: Task): Task
}

export interface Target {
  readonly task: Task
  /** Checked and defaulted already. */
  readonly params?: Params
}

/** The text of a param as ids may show it: the text itself, or one without what is secret in it. */
export type Conceal = (param: string, text: string) => string

/** A node whose needs are being followed. */
interface Frame {
  readonly node: GraphNode & { readonly needs: NodeNeed[] }
  /** What it declares; known once the frame first comes to the top. */
  pending: readonly (readonly [key: string, need: Need])[] | undefined
  /** How many of them are connected. */
  at: number
  /** The node of the next one, from the moment it is entered. */
  entered: GraphNode | undefined
}

/**
 * Builds the graph of everything the targets need. Throws a DevstackError of kind `graph` for a cycle (GRAPH_CYCLE, whole
 * path), an undefined need (GRAPH_UNDEFINED_NEED), an unknown name (GRAPH_UNKNOWN_TASK), and CONFIG_BAD_PARAMS for params that
 * a needed task does not take. Depth is bounded by memory alone. Ids show params as `conceal` gives them (default: as they
 * are); nodes that it leaves alike are numbered.
 */
export async function buildGraph(
  targets: readonly Target[],
  names: Names,
  conceal: Conceal = (_, text) => text,
): Promise<Graph> {
  const building = new Building(names, conceal)
  const ids: string[] = []
  for (const { task, params = {} } of targets) ids.push(await building.add(names.current(task), params))
  const { nodes, order, dependents } = building
  return { nodes, order, dependents, targets: ids }
}

/** A graph in the making: needs are followed depth first, and waited for only where they have to be. */
class Building {
  readonly nodes = new Map<string, GraphNode>()
  readonly order: string[] = []
  readonly dependents = new Map<string, string[]>()
  readonly #names: Names
  readonly #conceal: Conceal
  /** Ids by what stands in them when nothing is concealed. */
  readonly #ids = new Map<string, string>()
  readonly #anonymous = new Map<Task, string>()
  readonly #open = new Map<string, GraphNode>()
  readonly #stack: Frame[] = []

  constructor(names: Names, conceal: Conceal) {
    this.#names = names
    this.#conceal = conceal
  }

  /** Adds a target, its params checked already, and everything it needs. Gives its id. */
  async add(target: Task, params: Params): Promise<string> {
    const root = this.#enter(target, this.#nameOf(target, 'task'), params, await defaultsOf(target.definition, params))
    for (let frame = this.#stack.at(-1); frame; frame = this.#stack.at(-1)) {
      if (!frame.pending) {
        const declared = frame.node.definition.needs
        const needs = typeof declared === 'function' ? await declared(frame.node.params) : declared
        frame.pending = needsOf(frame.node, needs ?? {})
      }
      const next = frame.pending[frame.at]
      if (!next) {
        this.#close(frame.node)
        continue
      }
      const [key, need] = next
      if (!frame.entered) {
        const found = resolveNeed(need, this.#names, this.#stack)
        const { task, params = {} } = found instanceof Promise ? await found : found
        const { definition } = task
        const name = this.#nameOf(task, `${frame.node.name}.${key}`)
        const valid = definition.params ? await validParams(name, definition, params) : params
        frame.entered = this.#enter(task, name, valid, definition.params ? await defaultsOf(definition, valid) : {})
        // a new node has its needs followed first
        if (this.#open.has(frame.entered.id)) continue
      }
      frame.node.needs.push(this.#connect(frame.node, key, need, frame.entered))
      frame.entered = undefined
      frame.at += 1
    }
    return root.id
  }

  #nameOf(task: Task, fallback: string): string {
    const known = this.#names.nameOf(task) ?? this.#anonymous.get(task)
    if (known !== undefined) return known
    const name = task.definition.label ?? fallback
    this.#anonymous.set(task, name)
    return name
  }

  /** The node of this task with these params; a new one comes to the top of the stack. */
  #enter(task: Task, name: string, params: Params, defaults: Params): GraphNode {
    const id = this.#idOf(name, params, defaults)
    const known = this.nodes.get(id) ?? this.#open.get(id)
    if (known && known.task !== task) throw sameName(id)
    if (this.#open.has(id)) throw cycle(this.#stack, id)
    if (known) return known
    const node = { id, name, task, definition: task.definition, params, needs: [] }
    this.#open.set(id, node)
    this.#stack.push({ node, pending: undefined, at: 0, entered: undefined })
    return node
  }

  #idOf(name: string, params: Params, defaults: Params): string {
    const given = givenParams(params, defaults)
    if (given.length === 0) return name
    const exact = nodeId(name, given)
    const known = this.#ids.get(exact)
    if (known !== undefined) return known
    const shown = nodeId(
      name,
      given.map(([key, text]) => [key, this.#conceal(key, text)]),
    )
    let id = shown
    for (let count = 2; this.nodes.has(id) || this.#open.has(id); count += 1) id = `${shown} #${count}`
    this.#ids.set(exact, id)
    return id
  }

  #close(node: GraphNode): void {
    this.#stack.pop()
    this.#open.delete(node.id)
    this.#append(node)
  }

  #append(node: GraphNode): void {
    this.nodes.set(node.id, node)
    this.order.push(node.id)
    this.dependents.set(node.id, [])
    for (const need of node.needs) {
      const dependents = this.dependents.get(need.node)!
      if (dependents.at(-1) !== node.id) dependents.push(node.id)
    }
  }

  /** The need as an edge of the graph, with a node for its gates in between. */
  #connect(node: GraphNode, key: string, need: Need, found: GraphNode): NodeNeed {
    const optional = need.kind === 'edge' && need.optional
    if (need.kind !== 'edge' || need.until.length === 0) return { key, node: found.id, optional }
    const words = `${found.id} until ${describeGates(need)}`
    // the same words may stand for another gate or deadline: such an edge gets a node of its own
    for (const id of [words, `${words} (${node.id})`, `${words} (${node.id}.${key})`]) {
      const taken = this.nodes.get(id)
      if (!taken) this.#append(gateNode(id, found, need))
      else if (!taken.edge || !waitsAlike(taken.edge, need)) continue
      return { key, node: id, optional }
    }
    throw sameName(words)
  }
}

function waitsAlike(a: Edge, b: Edge): boolean {
  return (
    a.within === b.within &&
    JSON.stringify(a.retry) === JSON.stringify(b.retry) &&
    a.until.length === b.until.length &&
    a.until.every((gate, index) => gate === b.until[index])
  )
}

function nodeId(name: string, given: readonly (readonly [key: string, text: string])[]): string {
  return `${name}(${given.map(([key, text]) => `${key}=${text}`).join(', ')})`
}

function needsOf(node: GraphNode, needs: Readonly<Record<string, Need | undefined>>): [string, Need][] {
  return Object.entries(needs).map(([key, need]) => {
    if (need?.kind === 'task' || need?.kind === 'edge' || need?.kind === 'reference') return [key, need]
    throw new DevstackError({
      kind: 'graph',
      code: 'GRAPH_UNDEFINED_NEED',
      message: `Task "${node.id}" needs "${key}", which is ${need === undefined ? 'undefined' : 'no task'}.`,
      hint: 'Check the import; two files that import each other see undefined: use named("...") on one side.',
    })
  })
}

function resolveNeed(need: Need, names: Names, stack: readonly Frame[]): Target | Promise<Target> {
  const target = need.kind === 'edge' ? need.need : need
  const params = need.kind === 'edge' ? need.params : undefined
  const make = (task: Task): Target => ({ task: names.current(task), ...(params ? { params } : {}) })
  if (target.kind === 'task') return make(target)
  const found = resolveReference(target, names, stack)
  return found instanceof Promise ? found.then(make) : make(found)
}

function resolveReference(reference: TaskReference, names: Names, stack: readonly Frame[]): Task | Promise<Task> {
  // a task that was made on the way means names as the one that made it does
  const owner = stack.findLast(({ node }) => names.nameOf(node.task) !== undefined)
  const task = reference.resolve ? reference.resolve() : names.taskNamed(reference.name, owner?.node.task)
  if (task) return task
  throw new DevstackError({
    kind: 'graph',
    code: 'GRAPH_UNKNOWN_TASK',
    message: `Task "${stack.at(-1)?.node.id}" needs "${reference.name}", which is not defined.${suggest(reference.name, names.all())}`,
    hint: 'devstack list --all shows every task.',
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

/** A node that passes the value of `guarded` on once the gates hold on it. */
function gateNode(id: string, guarded: GraphNode, edge: Edge): GraphNode {
  const definition: AnyDefinition = {
    description: `Waits until ${describeGates(edge)}`,
    effect: 'read',
    weight: 0,
    private: true,
    gate: edge.until.map((gate) => (edge.within === undefined ? gate : (gate.bounded?.(edge.within) ?? gate))),
    ...(edge.retry ? { retry: edge.retry } : {}),
    // the gate's own deadline comes first, as it can tell more
    ...(edge.within === undefined ? {} : { timeout: edge.within + 1000 }),
  }
  const needs = [{ key: 'value', node: guarded.id, optional: false }]
  return { id, name: id, task: { kind: 'task', definition }, definition, params: {}, needs, edge }
}

function describeGates({ until }: Edge): string {
  return until.map(({ description }) => description).join(' and ')
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
