/** `test-fault`: any fault on any service for some seconds, under load. */
import { isIP } from 'node:net'
import { DevstackError, type Task, z } from '../../lib/index.ts'
import { longestSeconds, pause, recoveryAfter } from './clock.ts'
import type { ExperimentContext } from './context.ts'
import { type ExperimentOutcome, experiment } from './experiment.ts'
import { postgresRoles } from './patroni-admin.ts'
import { peersOf } from './peers.ts'
import { postgresLoad } from './postgres-load.ts'
import { redisMasterName } from './redis-failover.ts'
import { redisLoad } from './redis-load.ts'

/** Kinds that a person may name; `patroni-config` and `restart` belong to experiments of their own. */
const kinds = [
  'kill',
  'stop',
  'pause',
  'crash',
  'crash-loop',
  'oom',
  'postgres-kill',
  'disconnect',
  'partition',
  'loss',
  'bandwidth',
  'latency',
  'disk-full',
  'read-only',
  'clock-skew',
] as const

const dataFolders: readonly (readonly [RegExp, string])[] = [
  [/^postgres/, '/var/lib/postgresql/data'],
  [/^etcd/, '/var/lib/etcd'],
  [/./, '/var/lib/redis'],
]

/** The task. */
export function simulateTask(): Task<ExperimentOutcome> {
  return experiment({
    description: 'Inject any fault into any service for some seconds, under load, and heal it',
    params: {
      fault: z.enum(kinds).describe('what happens'),
      service: z
        .string()
        .refine((text) => namesOf(text).length > 0, 'must name a service')
        .default('leader')
        .describe('to whom: services separated by commas; "leader" (PostgreSQL), "master" (Redis)'),
      for: z.coerce.number().positive().max(longestSeconds).default(10).describe('seconds until it is healed'),
      with: z
        .array(z.string().refine((word) => /^\w+=./.test(word), 'each must be name=value'))
        .optional()
        .describe('details of the fault, as name=value: percent=30'),
    },
    load: [postgresLoad(), redisLoad()],
    inject: async (context) => {
      const { fault, service: asked } = context.params
      const targets: string[] = []
      for (const name of namesOf(asked)) targets.push(await targetOf(name, context))
      const given = parseDetails(context.params.with ?? [])
      const peers = given['peers'] === undefined ? {} : { peers: addressesOf(given['peers'], context) }
      for (const service of new Set(targets)) {
        await context.fault(fault, service, { ...usual(fault, service, targets, context), ...given, ...peers })
      }
    },
    observe: async (context) => {
      await pause(context.params.for * 1000, context.signal)
      await context.heal()
      await context.writesFlow()
    },
    limits: ({ for: seconds }) => ({ promise: '60s', redundancy: '15s', recovery: recoveryAfter(seconds) }),
  })
}

/** Names between commas. */
export function namesOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** A service by name or by role. */
export async function targetOf(target: string, context: ExperimentContext<unknown>): Promise<string> {
  if (target === 'leader') return (await postgresRoles(context)).leader
  return target === 'master' ? redisMasterName(context) : context.service(target).service
}

/** Details that need not be said. */
function usual(
  fault: (typeof kinds)[number],
  service: string,
  /** All that the fault befalls: these still talk to each other. */
  together: readonly string[],
  context: ExperimentContext<unknown>,
): Readonly<Record<string, unknown>> {
  const path = dataFolders.find(([pattern]) => pattern.test(service))![1]
  const [network, ipv4Address] = Object.entries(context.service(service).addresses)[0] ?? ['', '']
  const details: Partial<Record<(typeof kinds)[number], Readonly<Record<string, unknown>>>> = {
    'crash-loop': { times: 3 },
    disconnect: { network, ipv4Address },
    partition: { peers: peersOf(service, context.services, (name) => !together.includes(name)), direction: 'both' },
    loss: { percent: 20 },
    bandwidth: { kilobitPerSecond: 500 },
    latency: { delayMs: 100, jitterMs: 20 },
    'disk-full': { path },
    'read-only': { path },
    'clock-skew': { offsetMs: 60_000 },
  }
  return details[fault] ?? {}
}

/** Peers that are services have the addresses of these; others are addresses already. Throws STACK_UNKNOWN_SERVICE. */
function addressesOf(peers: Detail, context: ExperimentContext<unknown>): readonly string[] {
  return [peers].flat().flatMap((peer) => {
    const text = String(peer)
    if (isIP(text) !== 0) return [text]
    return Object.values(context.service(text).addresses).filter((address) => address !== '')
  })
}

type Detail = string | number | readonly (string | number)[]

/** `name=value` words; what looks like a number is one, and a name that is repeated has a list. Throws FAULT_BAD_DETAILS. */
export function parseDetails(words: readonly string[]): Readonly<Record<string, Detail>> {
  const details = new Map<string, Detail>()
  for (const word of words) {
    const match = /^(\w+)=(.+)$/.exec(word)
    if (!match) {
      throw new DevstackError({
        kind: 'usage',
        code: 'FAULT_BAD_DETAILS',
        message: `"${word}" is no detail of a fault.`,
        hint: 'Write name=value, for instance: --with percent=30',
      })
    }
    const [, name, text] = match as unknown as [string, string, string]
    const value = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
    const before = details.get(name)
    details.set(name, before === undefined ? value : [...[before].flat(), value])
  }
  return Object.fromEntries(details)
}
