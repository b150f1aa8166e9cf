/** The dry plan: what a run would do and why. It is made with a runtime that can not write. */
import type { Step } from '../engine/events.ts'
import type { Graph, GraphNode } from '../engine/graph.ts'
import { contextOf, type Host } from '../engine/host.ts'
import { messageOf } from '../errors.ts'
import { unknownValue } from './value.ts'

/**
 * Decides for every node, in order, as far as it can be known without acting: a node whose needs would run has values
 * nobody knows yet, so it runs too unless it turns out unchanged.
 */
export async function planGraph(
  graph: Graph,
  host: Host,
  runId: string,
  signal: AbortSignal,
): Promise<readonly Step[]> {
  const steps: Step[] = []
  const values = new Map<string, unknown>()
  /** Tasks that would run, by the node that acts or stands between. */
  const acting = new Map<string, readonly string[]>()
  for (const id of graph.order) {
    const node = graph.nodes.get(id)!
    const active = [...new Set(node.needs.flatMap((need) => acting.get(need.node) ?? []))]
    const unknown = node.needs.filter((need) => acting.has(need.node)).map(({ key }) => key)
    const decided = await planNode(node, { host, runId, signal, values, active, unknown })
    const destroys = decided.decision === 'run' ? await destroyedBy(node, host, signal) : []
    const { confirm } = node.definition
    const step = {
      ...decided,
      ...(destroys.length > 0 ? { destroys } : {}),
      ...(decided.decision === 'run' && confirm !== undefined ? { asks: confirm } : {}),
    }
    if (isPassive(node) && active.length > 0) acting.set(id, active)
    else if (step.decision === 'run' && !isPassive(node)) acting.set(id, [id])
    steps.push(step)
  }
  return steps
}

/** Waiting and grouping changes nothing that a dependent could notice, but what stands before it may. */
export function isPassive(node: GraphNode): boolean {
  return node.edge !== undefined || (node.definition.run === undefined && node.definition.effect === 'read')
}

interface Planning {
  readonly host: Host
  readonly runId: string
  readonly signal: AbortSignal
  readonly values: Map<string, unknown>
  /** Tasks that would run before. */
  readonly active: readonly string[]
  /** Needs whose values that leaves open. */
  readonly unknown: readonly string[]
}

async function planNode(node: GraphNode, planning: Planning): Promise<Step> {
  const base = stepOf(node)
  if (node.edge || !node.definition.run) {
    const passed = node.edge ? planning.values.get(node.needs[0]!.node) : undefined
    planning.values.set(node.id, passed)
    return { ...base, decision: 'run', cause: node.edge ? 'a condition that is waited for' : 'gathers what it needs' }
  }
  const context = contextOf(node, planning.host, planning)
  const isOpen = planning.active.length > 0 && !node.definition.observe
  if (isOpen) {
    const unknown = Object.fromEntries(planning.unknown.map((key) => [key, unknownValue]))
    Object.assign(context, { needs: { ...context.needs, ...unknown } })
  }
  try {
    const verdict = await planning.host.decide(node, context)
    const differences =
      'differences' in verdict ? (verdict as { differences?: readonly string[] }).differences : undefined
    if (isOpen && verdict.decision !== 'skip') {
      const found = { cause: verdict.cause, differences }
      return { ...base, decision: 'run', ...openStep(planning.active, found) }
    }
    if (verdict.decision === 'reuse') planning.values.set(node.id, verdict.value)
    return {
      ...base,
      decision: verdict.decision,
      cause: verdict.cause,
      ...(differences?.length ? { differences } : {}),
    }
  } catch (thrown) {
    if (planning.active.length === 0) throw thrown
    // what it looks at is made by a task that would run first
    return {
      ...base,
      decision: 'run',
      cause: `needs ${quoted(planning.active)}, which would run (${messageOf(thrown)})`,
    }
  }
}

/** Why a node runs whose needs would: what differs already, or whether it may turn out unchanged where that can be told. */
function openStep(
  active: readonly string[],
  { cause, differences }: { readonly cause: string; readonly differences: readonly string[] | undefined },
): Pick<Step, 'cause' | 'differences'> {
  const needs = `needs ${quoted(active)}, which would run`
  if (differences === undefined) return { cause: needs }
  if (differences.length === 0) return { cause: `may be reused, if what it needs stays the same: ${needs}` }
  return { cause: `${cause}; ${needs}`, ...(differences.length > 1 ? { differences } : {}) }
}

/** What a node would destroy, a line each; nothing when it has another effect. Looks, and changes nothing. */
export async function destroyedBy(node: GraphNode, host: Host, signal: AbortSignal): Promise<readonly string[]> {
  const { definition } = node
  if (definition.effect !== 'destroy') return []
  if (!definition.destroys) return [definition.description ?? 'something']
  return definition.destroys(contextOf(node, host, { runId: '', signal, values: new Map() }) as never)
}

/** The node as a step of a plan, undecided. */
export function stepOf(node: GraphNode): Step {
  const { definition } = node
  return {
    node: node.id,
    needs: [...new Set(node.needs.map((need) => need.node))],
    decision: 'run',
    cause: '',
    effect: definition.effect ?? 'change',
    ...(definition.partOf === undefined ? {} : { partOf: definition.partOf }),
    ...(definition.service ? { service: true } : {}),
    ...(definition.description === undefined ? {} : { description: definition.description }),
  }
}

function quoted(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => `"${name}"`)
  return names.length > 3 ? `${shown.join(', ')} and ${names.length - 3} more` : shown.join(' and ')
}

/** The plan as text: one step a line, the cause behind it; below it what differs, and what would be destroyed. */
export function formatPlan(steps: readonly Step[]): string {
  const shown = steps.filter(
    (step) => step.cause !== 'gathers what it needs' && step.cause !== 'a condition that is waited for',
  )
  const width = Math.min(40, Math.max(0, ...shown.map((step) => step.node.length)))
  const lines = shown.flatMap((step) => [
    `${step.decision.padEnd(5)}  ${step.node.padEnd(width)}  ${step.cause}`,
    ...(step.differences ?? []).map((difference) => `       ${difference}`),
    ...(step.destroys ?? []).map((what) => `       DESTROYS ${what}`),
    ...(step.asks === undefined ? [] : [`       ASKS ${step.asks}`]),
  ])
  const count = (decision: Step['decision']): number => shown.filter((step) => step.decision === decision).length
  const parts = (['run', 'reuse', 'skip', 'stop'] as const).filter((decision) => count(decision) > 0)
  return [
    ...lines,
    '',
    `Plan: ${parts.map((decision) => `${count(decision)} to ${decision}`).join(', ') || 'nothing to do'}. Nothing was changed.`,
    '',
  ].join('\n')
}
