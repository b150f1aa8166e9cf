/** What Patroni does on request (https://patroni.readthedocs.io/en/latest/rest_api.html); takes its password. */
import {
  DevstackError,
  endpoint,
  formatEndpoint,
  type Reach,
  type Runtime,
  reachOf,
  type ServiceHandle,
} from '../../lib/index.ts'
import { patroniPort, readPatroniCluster } from '../stack/patroni.ts'

export interface PatroniAdminOptions {
  readonly services: readonly ServiceHandle[]
  readonly runtime: Runtime
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/** The leader and the synchronous standby now. Throws EXPERIMENT_NO_LEADER. */
export async function postgresRoles(
  options: PatroniAdminOptions,
): Promise<{ readonly leader: string; readonly standby: string; readonly others: readonly string[] }> {
  const reach = await reachOf(options.runtime, options.signal)
  const members = options.services.filter(({ service }) => /^postgres\d+$/.test(service))
  const cluster = await Promise.any(
    members.map((handle) =>
      readPatroniCluster(endpoint(handle, patroniPort, reach), {
        signal: AbortSignal.any([options.signal, AbortSignal.timeout(5000)]),
      }),
    ),
  )
  const leader = cluster.members.find(({ role }) => role === 'leader')?.name
  const standby = cluster.members.find(({ role }) => role === 'sync_standby' || role === 'quorum_standby')?.name
  if (leader === undefined || standby === undefined) {
    throw new DevstackError({
      kind: 'gate',
      code: 'EXPERIMENT_NO_LEADER',
      message: `PostgreSQL has no ${leader === undefined ? 'leader' : 'synchronous standby'} now.`,
      hint: 'See the members with: devstack run inspect',
    })
  }
  const others = members.map(({ service }) => service).filter((name) => name !== leader)
  return { leader, standby, others }
}

/** Moves leadership in good order. Resolves when Patroni has done it. */
export async function switchover(
  roles: { readonly leader: string; readonly candidate: string },
  options: PatroniAdminOptions,
): Promise<void> {
  const reach = await reachOf(options.runtime, options.signal)
  await send('POST', '/switchover', roles, { ...options, member: roles.leader, reach })
}

/** Changes the cluster's configuration, `null` removes a setting. */
export async function patchConfig(
  patch: Readonly<Record<string, unknown>>,
  options: PatroniAdminOptions & { readonly member: string },
): Promise<void> {
  const reach = await reachOf(options.runtime, options.signal)
  await send('PATCH', '/config', patch, { ...options, reach })
}

async function send(
  method: 'POST' | 'PATCH',
  path: string,
  body: unknown,
  options: PatroniAdminOptions & { readonly member: string; readonly reach: Reach },
): Promise<void> {
  const handle = options.services.find(({ service }) => service === options.member)
  if (!handle) throw new Error(`there is no service ${options.member}`)
  const target = formatEndpoint(endpoint(handle, patroniPort, options.reach))
  const login = Buffer.from(`patroni:${options.env['PATRONI_PASSWORD'] ?? ''}`).toString('base64')
  const answer = await fetch(`http://${target}${path}`, {
    method,
    headers: { authorization: `Basic ${login}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.any([options.signal, AbortSignal.timeout(30_000)]),
  })
  const said = await answer.text()
  if (answer.status >= 200 && answer.status < 300) return
  throw new DevstackError({
    kind: 'task',
    code: 'PATRONI_REFUSED',
    message: `Patroni on ${options.member} answered ${path} with ${answer.status}: ${said.slice(0, 200)}`,
  })
}
