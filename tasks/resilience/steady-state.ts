/** What must hold before an experiment starts and after it ended. */
import {
  type Ambient,
  type ContainerGate,
  DevstackError,
  gate,
  handleOf,
  messageOf,
  type Probe,
  type ServiceHandle,
} from '../../lib/index.ts'
import { etcdCluster } from '../stack/etcd.ts'
import { notUp, projectContainers, serviceOf } from '../stack/handles.ts'
import { postgresCluster } from '../stack/patroni.ts'
import { redisReplication } from '../stack/redis.ts'
import { sentinelQuorum } from '../stack/sentinel.ts'

type Around = Pick<Ambient, 'runtime' | 'project'> & { readonly signal: AbortSignal }

/** A gate on several services of the stack: those whose names match. */
export interface SteadyState {
  readonly services: RegExp | readonly string[]
  readonly gate: ContainerGate<readonly ServiceHandle[]>
}

/** The whole HA stack: etcd, PostgreSQL, Redis and Sentinel, all with all their members. */
export function stackSteadyState(environment: Readonly<Record<string, string | undefined>>): readonly SteadyState[] {
  const password = environment['REDIS_PASSWORD']
  const credentials = password === undefined ? {} : { password }
  const all = (description: string, services: RegExp, probe: Probe<readonly ServiceHandle[]>): SteadyState => ({
    services,
    gate: gate({ description, probe, within: '60s', every: '250ms', attemptTimeout: 3000 }),
  })
  return [
    all('every etcd member, one leader', /^etcd\d+$/, etcdCluster()),
    all('PostgreSQL leader, replicas streaming, synchronous standby', /^postgres\d+$/, postgresCluster()),
    all('one Redis master, replicas online', /^redis\d+$/, redisReplication(credentials)),
    all('Sentinels agree, quorum reached', /^sentinel\d+$/, sentinelQuorum(credentials)),
  ]
}

/** Handles of the stack's services, running or not. Throws STACK_NOT_UP. */
export async function stackServices(around: Around): Promise<readonly ServiceHandle[]> {
  const containers = await projectContainers(around)
  if (containers.length === 0) throw notUp()
  return containers.map((one) => handleOf(one, serviceOf(one)))
}

/** The services a condition is about. */
export function servicesOf({ services }: SteadyState, all: readonly ServiceHandle[]): readonly ServiceHandle[] {
  return all.filter(({ service }) =>
    services instanceof RegExp ? services.test(service) : (services as readonly string[]).includes(service),
  )
}

const noServices = 'there are no such services'

/** Waits until all of them hold, each for at most `ms`; gives the words of those that do not. */
export async function holdsWithin(
  states: readonly SteadyState[],
  services: readonly ServiceHandle[],
  options: {
    readonly around: Around
    readonly ms: number
    /** Told of each that holds. */
    readonly onHold?: (description: string) => void
  },
): Promise<readonly string[]> {
  const { runtime, signal } = options.around
  const failures = await Promise.all(
    states.map(async (state): Promise<string | undefined> => {
      const handles = servicesOf(state, services)
      if (handles.length === 0) return `${state.gate.description}: ${noServices}`
      const bounded = state.gate.bounded?.(options.ms) ?? state.gate
      try {
        await bounded.hold(handles, { runtime, signal, node: 'steady state', blocked: [], answer: () => undefined })
        options.onHold?.(state.gate.description)
        return undefined
      } catch (thrown) {
        signal.throwIfAborted()
        return messageOf(thrown)
      }
    }),
  )
  return failures.flatMap((failure) => (failure === undefined ? [] : [failure]))
}

/** The stack is not healthy, so an experiment would prove nothing. */
export function refused(experiment: string, failures: readonly string[]): DevstackError {
  return new DevstackError({
    kind: 'gate',
    code: 'EXPERIMENT_REFUSED',
    message: `${experiment} does not start: the stack is not in its steady state, and nothing was injected.`,
    details: failures,
    hint: failures.some((failure) => failure.endsWith(noServices))
      ? 'It takes a stack with all members, not the one of "up --fast". Bring it up with: devstack run up'
      : 'See what is wrong with: devstack run health',
  })
}
