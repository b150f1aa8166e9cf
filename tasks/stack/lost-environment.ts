/** A `.env.local` that is gone while what was made with its passwords is still there. */
import { type Ambient, type ContainerSummary, claimProject, DevstackError, labels } from '../../lib/index.ts'
import { projectContainers, serviceOf } from './handles.ts'

type Around = Pick<Ambient, 'runtime' | 'project'> & { readonly signal: AbortSignal }

/** Where containers have each password in their environment. */
const variablesOf: Readonly<Record<string, readonly string[]>> = {
  POSTGRES_PASSWORD: ['PATRONI_SUPERUSER_PASSWORD', 'POSTGRES_PASSWORD'],
  REPLICATION_PASSWORD: ['PATRONI_REPLICATION_PASSWORD'],
  PATRONI_PASSWORD: ['PATRONI_RESTAPI_PASSWORD'],
  APP_PASSWORD: ['APP_PASSWORD'],
  REDIS_PASSWORD: ['REDIS_PASSWORD'],
}
/** Variables of published ports, by service without its number and by port inside. */
const portVariables: Readonly<Record<string, (member: string) => string>> = {
  'etcd 2379': (member) => `ETCD${member}_PORT`,
  'postgres 5432': (member) => `POSTGRES${member}_PORT`,
  'postgres 8008': (member) => `PATRONI${member}_PORT`,
  'redis 6379': (member) => `REDIS${member}_PORT`,
  'sentinel 26379': (member) => `SENTINEL${member}_PORT`,
  'gateway 8080': () => 'BACKEND_PORT',
  'gateway 3000': () => 'FRONTEND_PORT',
}

/** What was made with passwords that are not known any more. */
interface Kept {
  readonly containers: readonly ContainerSummary[]
  /** `volume shop_postgres1`, `container shop-redis1-1` */
  readonly things: readonly string[]
  readonly needs: ReadonlySet<string>
}

/**
 * Whether the project has something that was made with passwords among `missing`, which its running containers may tell.
 * PostgreSQL keeps passwords in its data; Redis takes its own at each start, so its volumes need none. Only looks. Throws
 * ENV_FILE_LOST when nothing runs that could tell, and PROJECT_ELSEWHERE when a checkout in another folder made it.
 */
export async function mayRecover(file: string, missing: readonly string[], around: Around): Promise<boolean> {
  const kept = await keptOf(missing, around)
  if (!kept) return false
  if (!kept.containers.some(isTelling)) throw lost(file, kept)
  return true
}

/** The variables as the running containers have them; undefined where none are needed. Throws as `mayRecover`. */
export async function recoverVariables(
  file: string,
  missing: readonly string[],
  around: Around,
): Promise<Readonly<Record<string, string>> | undefined> {
  const kept = await keptOf(missing, around)
  if (!kept) return undefined
  const found = await variablesFrom(kept.containers, around)
  if ([...kept.needs].some((name) => !found[name])) throw lost(file, kept)
  return found
}

async function keptOf(missing: readonly string[], around: Around): Promise<Kept | undefined> {
  const { runtime, project, signal } = around
  const [containers, volumes] = await Promise.all([
    projectContainers(around),
    runtime.volumes({ [labels.project]: project.name }, { signal }),
  ])
  const all = [
    ...volumes.map(({ name }) => ({ thing: `volume ${name}`, needs: neededBy(name.slice(project.name.length + 1)) })),
    ...containers.map((one) => ({ thing: `container ${one.name}`, needs: neededBy(serviceOf(one), true) })),
  ]
  const keepers = all.filter(({ needs }) => needs.some((name) => missing.includes(name)))
  if (keepers.length === 0) return undefined
  await claimProject(around)
  const needs = new Set(keepers.flatMap((keeper) => keeper.needs).filter((name) => missing.includes(name)))
  return { containers, needs, things: keepers.map(({ thing }) => thing) }
}

/** A running server of PostgreSQL or Redis has passwords in its environment. */
function isTelling(container: ContainerSummary): boolean {
  return container.state === 'running' && /^(?:postgres|redis)\d*$/.test(serviceOf(container))
}

/** The passwords that a volume or a service's container was made with. */
function neededBy(name: string, container = false): readonly string[] {
  if (/^postgres\d+$/.test(name))
    return ['POSTGRES_PASSWORD', 'REPLICATION_PASSWORD', 'PATRONI_PASSWORD', 'APP_PASSWORD']
  if (name === 'postgres' || name === 'fast-postgres') return ['POSTGRES_PASSWORD', 'APP_PASSWORD']
  return container && /^(?:redis|sentinel)\d*$/.test(name) ? ['REDIS_PASSWORD'] : []
}

/** Passwords, ports and subnet as the running containers have them. */
async function variablesFrom(
  containers: readonly ContainerSummary[],
  { runtime, signal }: Around,
): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const container of containers.filter(({ state }) => state === 'running')) {
    const [, product, member] = /^(.*?)(\d*)$/.exec(serviceOf(container))!
    for (const { containerPort, hostPort } of container.ports) {
      const variable = portVariables[`${product} ${containerPort}`]?.(member === '' ? '1' : member!)
      if (variable !== undefined && hostPort !== 0) found[variable] = String(hostPort)
    }
    if (!isTelling(container)) continue
    const address = Object.values(container.addresses)[0]
    if (address) found['DEVSTACK_SUBNET_PREFIX'] ??= address.split('.').slice(0, 3).join('.')
    const { exitCode, stdout } = await runtime.exec(container.id, { command: ['env', '-0'], signal })
    if (exitCode !== 0) continue
    const environment = new Map(stdout.split('\0').map((line) => line.split(/=(.*)/s, 2) as [string, string]))
    for (const [name, sources] of Object.entries(variablesOf)) {
      const value = sources.map((source) => environment.get(source)).find(Boolean)
      if (value) found[name] ??= value
    }
  }
  return found
}

/** New passwords would not open what is there. */
function lost(file: string, { things, needs }: Kept): DevstackError {
  const named = things.length > 4 ? [...things.slice(0, 3), `${things.length - 3} more`] : things
  const present = things.some((thing) => thing.startsWith('container '))
  return new DevstackError({
    kind: 'state',
    code: 'ENV_FILE_LOST',
    message: `${file} has no ${[...needs][0]} any more, and there is what was made with it: ${named.join(', ')}.`,
    hint: `Put the file back${present ? ', or start the containers (docker start), which know what was in it' : ''}. Or begin anew, without the data: devstack run down --volumes`,
  })
}
