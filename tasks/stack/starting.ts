/** Starting, stopping and waiting for containers that are there already, in the order of what depends on what. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Ambient,
  type ContainerGate,
  type ContainerSummary,
  DevstackError,
  handleOf,
  healthyGate,
  runningOrDoneGate,
  type ServiceHandle,
} from '../../lib/index.ts'
import { postgresReplicated } from './gates.ts'
import { projectContainers, serviceOf } from './handles.ts'
import { type HealthOptions, readHealth } from './health.ts'
import { groupOf } from './state.ts'

export type Around = Ambient & { readonly signal: AbortSignal }

/** What the lifecycle tasks know about the stack beside its containers. */
export interface LifecycleOptions extends HealthOptions {
  /** For each service the services it depends on; empty where the files no longer load. */
  readonly dependencies: (context: Around) => Promise<ReadonlyMap<string, readonly string[]>>
}

export type Direction = 'dependencies-first' | 'dependents-first'

/**
 * Calls `act` once for each service, at once where nothing is between them: a service waits for those of the same list that
 * it depends on, or, dependents first, for those that depend on it.
 */
export async function inOrder(
  services: readonly string[],
  dependencies: ReadonlyMap<string, readonly string[]>,
  direction: Direction,
  act: (service: string) => Promise<void>,
): Promise<void> {
  const begun = new Map<string, Promise<void>>()
  const neighbours = (service: string): readonly string[] =>
    direction === 'dependencies-first'
      ? (dependencies.get(service) ?? [])
      : [...dependencies].filter(([, needs]) => needs.includes(service)).map(([user]) => user)
  const visit = (service: string): Promise<void> => {
    const known = begun.get(service)
    if (known) return known
    const done = (async () => {
      await Promise.all(
        neighbours(service)
          .filter((one) => services.includes(one))
          .map(visit),
      )
      await act(service)
    })()
    begun.set(service, done)
    return done
  }
  // whoever fails first is told; the others are waited for, so that nothing goes on behind the caller's back
  const outcomes = await Promise.allSettled(services.map(visit))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

/**
 * The dependencies without those inside of a cluster. Its members start and stop together: whichever of them leads now, the
 * others, the first one of the files included, become ready only once that one runs.
 */
export function betweenClusters(dependencies: ReadonlyMap<string, readonly string[]>): Map<string, readonly string[]> {
  return new Map(
    [...dependencies].map(([service, needs]) => [service, needs.filter((one) => groupOf(one) !== groupOf(service))]),
  )
}

/** Stops the containers, dependents first; a frozen one is thawed so that it can end properly. */
export async function stopInOrder(
  containers: readonly ContainerSummary[],
  context: Around,
  options: LifecycleOptions,
): Promise<void> {
  const { runtime, signal } = context
  await inOrder(
    containers.map(serviceOf),
    betweenClusters(await options.dependencies(context)),
    'dependents-first',
    async (service) => {
      for (const { id, state } of containers.filter((one) => serviceOf(one) === service)) {
        if (state === 'paused') await runtime.unpause(id, { signal })
        await runtime.stop(id, { signal })
      }
    },
  )
}

/** Starts the containers and waits until each is healthy, dependencies first; then for the PostgreSQL cluster as a whole. */
export async function startInOrder(
  containers: readonly ContainerSummary[],
  context: Around,
  options: LifecycleOptions,
): Promise<void> {
  const { runtime, signal } = context
  await inOrder(
    containers.map(serviceOf),
    betweenClusters(await options.dependencies(context)),
    'dependencies-first',
    async (service) => {
      for (const { id } of containers.filter((one) => serviceOf(one) === service)) {
        const details = await runtime.inspect(id, { signal })
        if (details?.state === 'paused') await runtime.unpause(id, { signal })
        else if (details?.state !== 'running') await runtime.start(id, { signal })
      }
      await ready(service, context, options)
    },
  )
  if (containers.some((one) => isMember(serviceOf(one)))) await replicated(context)
}

/** Waits for the gate of a service whose container runs; rejects with the gate's autopsy. */
export async function ready(service: string, context: Around, options: LifecycleOptions): Promise<void> {
  const { runtime, signal } = context
  const container = (await projectContainers(context)).find((one) => serviceOf(one) === service)
  if (!container) return
  const given = (await options.gates(context))[service] ?? (await ownGate(container, context))
  const waiting = { runtime, signal, node: service, blocked: [], answer: () => undefined }
  for (const gate of [given].flat()) await gate.hold(handleOf(container, service), waiting)
}

async function ownGate(container: ContainerSummary, context: Around): Promise<ContainerGate<ServiceHandle>> {
  const details = await context.runtime.inspect(container.id, { signal: context.signal })
  const tested = details?.health !== undefined && details.health.status !== 'none'
  return tested ? healthyGate() : runningOrDoneGate()
}

/** Waits until PostgreSQL replicates as it should, when the whole cluster runs. */
export async function replicated(context: Around): Promise<void> {
  const { runtime, signal } = context
  const members = (await projectContainers(context)).filter((one) => isMember(serviceOf(one)))
  if (members.length < 2 || members.some(({ state }) => state !== 'running')) return
  await postgresReplicated.hold(
    members.map((one) => handleOf(one, serviceOf(one))),
    { runtime, signal, node: 'postgresql', blocked: [], answer: () => undefined },
  )
}

/** Whether a service is a member of the PostgreSQL cluster. */
export function isMember(service: string): boolean {
  return /^postgres\d+$/.test(service)
}

/** Milliseconds as a person reads them: `0.4 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`
}

/**
 * Waits until every service is healthy, as each is asked by itself: the Sentinels for instance miss a replica for some
 * seconds after it came back. Gives what still is not, one line each; throws STACK_NOT_SETTLED for it unless `throws` is false.
 */
export async function settled(
  context: Around,
  options: LifecycleOptions,
  { withinMs = 60_000, throws = true }: { readonly withinMs?: number; readonly throws?: boolean } = {},
): Promise<readonly string[]> {
  const until = performance.now() + withinMs
  for (;;) {
    const rows = await readHealth(context, options)
    const sick = rows.filter(({ healthy, state }) => healthy === false && state !== 'missing')
    const lines = sick.map(({ service, detail }) => `${service}: ${detail}`)
    if (sick.length === 0) return lines
    if (performance.now() > until) {
      if (!throws) return lines
      throw new DevstackError({
        kind: 'timeout',
        code: 'STACK_NOT_SETTLED',
        message: `${sick.map(({ service }) => service).join(', ')} did not become healthy within ${withinMs / 1000} s.`,
        details: lines,
        hint: `See why with: devstack run logs ${sick[0]!.service}`,
      })
    }
    await delay(50, undefined, { signal: context.signal })
  }
}
