/**
 * The state of the environment, derived from what is there: nothing is remembered, so nothing can be out of date.
 *
 *     uninitialized ──▶ provisioning ──▶ healthy ◀──▶ degraded ◀──▶ failed
 *                            ▲              │  ▲          │            │
 *                            │              ▼  │          ▼            ▼
 *                         stopped ◀────── paused ◀────────┴────────────┘
 */

export type EnvironmentState =
  | 'uninitialized'
  | 'provisioning'
  | 'healthy'
  | 'degraded'
  | 'failed'
  | 'paused'
  | 'stopped'

/** One service as it was seen. */
export interface ObservedService {
  readonly service: string
  /** The container's state; `missing` without a container. */
  readonly state: string
  readonly healthy: boolean | undefined
  readonly detail: string
}

export interface Observation {
  readonly services: readonly ObservedService[]
  /** A living run holds the stack: what is not healthy yet may be on its way. */
  readonly working: boolean
  /** Credentials were made or volumes are there: the checkout was set up before. */
  readonly initialized: boolean
}

export interface DerivedState {
  readonly state: EnvironmentState
  /** Why, in words. */
  readonly cause: string
}

/** The state that an observation amounts to. */
export function deriveState({ services, working, initialized }: Observation): DerivedState {
  const present = services.filter(({ state }) => state !== 'missing')
  if (present.length === 0) {
    if (working) return { state: 'provisioning', cause: 'a run is at work, no container is there yet' }
    if (initialized) return { state: 'stopped', cause: 'no containers; credentials or data are kept' }
    return { state: 'uninitialized', cause: 'nothing was set up here yet' }
  }
  const sick = services.filter(({ healthy }) => healthy !== true)
  if (sick.length === 0) return { state: 'healthy', cause: `all ${services.length} services are healthy` }
  const frozen = present.filter(({ state }) => state === 'paused')
  if (frozen.length === present.length) return { state: 'paused', cause: `all ${present.length} containers are frozen` }
  const running = present.filter(({ state }) => state === 'running' || state === 'paused' || state === 'restarting')
  if (working) return { state: 'provisioning', cause: `a run is at work; waiting for ${named(sick)}` }
  if (running.length === 0) return { state: 'stopped', cause: `none of ${present.length} containers runs` }
  const lost = lostGroups(services)
  if (lost.length > 0) return { state: 'failed', cause: lost.join('; ') }
  return { state: 'degraded', cause: `${named(sick)} ${sick.length === 1 ? 'is' : 'are'} not healthy` }
}

/** Members of a cluster carry numbers: `etcd1` belongs to `etcd`. */
export function groupOf(service: string): string {
  return service.replace(/\d+$/, '')
}

/** Consensus needs a majority; of the others one that serves is enough. */
const consensual = new Set(['etcd', 'sentinel'])

/** A Sentinel calls the group it watches unhealthy when a replica is missing, and still does its work while it runs. */
function serves({ service, state, healthy }: ObservedService): boolean {
  return groupOf(service) === 'sentinel' ? state === 'running' : healthy === true
}

/** What can not be served any more, one line for each cluster. */
function lostGroups(services: readonly ObservedService[]): readonly string[] {
  const groups = Map.groupBy(services, ({ service }) => groupOf(service))
  return [...groups].flatMap(([group, members]) => {
    const well = members.filter(serves).length
    const needed = consensual.has(group) ? Math.floor(members.length / 2) + 1 : 1
    if (well >= needed) return []
    if (members.length === 1) return [`${group} is not healthy`]
    return [`${group} has ${well} of ${members.length} members, and needs ${needed}`]
  })
}

function named(services: readonly ObservedService[]): string {
  const names = services.map(({ service }) => service)
  return names.length > 4 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
}

/** What a change of state means, for the history. */
export function describeChange(from: EnvironmentState | undefined, to: EnvironmentState): string {
  if (from === undefined) return 'first seen'
  if (from === to) return ''
  return changes[`${from} ${to}`] ?? `was ${from}`
}

const changes: Readonly<Record<string, string>> = {
  'uninitialized provisioning': 'set-up began',
  'uninitialized healthy': 'set up',
  'provisioning healthy': 'came up',
  'provisioning degraded': 'came up in part',
  'provisioning failed': 'did not come up',
  'stopped provisioning': 'start began',
  'stopped healthy': 'came up',
  'stopped uninitialized': 'cleaned up',
  'healthy degraded': 'lost a member',
  'healthy failed': 'lost a service',
  'healthy paused': 'frozen',
  'healthy stopped': 'went down',
  'degraded healthy': 'recovered',
  'degraded failed': 'got worse',
  'degraded stopped': 'went down',
  'failed degraded': 'got better',
  'failed healthy': 'recovered',
  'failed stopped': 'went down',
  'paused healthy': 'thawed',
  'paused degraded': 'thawed in part',
  'paused failed': 'did not survive the freeze',
}
