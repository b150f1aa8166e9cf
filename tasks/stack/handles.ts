/** The stack's containers as they are now, for tasks that look rather than start. */
import {
  type Ambient,
  type ContainerSummary,
  DevstackError,
  handleOf,
  labels,
  type ServiceHandle,
  suggest,
} from '../../lib/index.ts'

type Around = Pick<Ambient, 'runtime' | 'project'> & { readonly signal: AbortSignal }

/** All containers of the project, by service name, in the order of their names. */
export async function projectContainers({ runtime, project, signal }: Around): Promise<readonly ContainerSummary[]> {
  const found = await runtime.containers({ [labels.project]: project.name }, { signal })
  return [...found].sort((a, b) => serviceOf(a).localeCompare(serviceOf(b), 'en', { numeric: true }))
}

/** The service a container belongs to. */
export function serviceOf(container: ContainerSummary): string {
  return container.labels[labels.service] ?? container.name
}

/** Handles of running services; none without containers. Throws STACK_NOT_UP when all that would run is paused. */
export async function runningHandles(around: Around): Promise<readonly ServiceHandle[]> {
  const containers = await projectContainers(around)
  const running = containers.filter(({ state }) => state === 'running')
  if (running.length === 0 && isPaused(containers)) throw noneRuns(containers)
  return running.map((one) => handleOf(one, serviceOf(one)))
}

/** Those services that are named, or all. Throws STACK_NOT_UP and STACK_UNKNOWN_SERVICE. */
export function chosen(
  containers: readonly ContainerSummary[],
  names: readonly string[] | undefined,
): readonly ContainerSummary[] {
  if (containers.length === 0) throw notUp()
  if (!names || names.length === 0) return containers
  return names.map((name) => {
    const found = containers.find((container) => serviceOf(container) === name)
    if (found) return found
    const all = containers.map(serviceOf)
    throw new DevstackError({
      kind: 'usage',
      code: 'STACK_UNKNOWN_SERVICE',
      message: `There is no service "${name}" here.${suggest(name, all)}`,
      hint: `The services are ${all.join(', ')}.`,
    })
  })
}

/** The stack has no containers. */
export function notUp(): DevstackError {
  return new DevstackError({
    kind: 'runtime',
    code: 'STACK_NOT_UP',
    message: 'The stack is not up: it has no containers.',
    hint: 'Start it with: devstack run up',
  })
}

/** Why a product can not be talked to, none of whose services runs: `PostgreSQL is not part of what runs`. */
export async function notRunning(product: string, around: Around): Promise<DevstackError> {
  const containers = await projectContainers(around)
  const running = containers.filter(({ state }) => state === 'running')
  if (running.length === 0) return containers.length === 0 ? notUp() : noneRuns(containers)
  return new DevstackError({
    kind: 'runtime',
    code: 'STACK_NOT_UP',
    message: `${product} is not part of what runs: ${running.map(serviceOf).join(', ')}.`,
    hint: remedyFor(containers),
  })
}

/** The stack has containers, and none of them runs. */
function noneRuns(containers: readonly ContainerSummary[]): DevstackError {
  return new DevstackError({
    kind: 'runtime',
    code: 'STACK_NOT_UP',
    message: isPaused(containers) ? 'The stack is paused.' : 'The stack is stopped: none of its containers runs.',
    hint: remedyFor(containers),
  })
}

function isPaused(containers: readonly ContainerSummary[]): boolean {
  return containers.some(({ state }) => state === 'paused')
}

function remedyFor(containers: readonly ContainerSummary[]): string {
  return isPaused(containers) ? 'Go on with: devstack run resume' : 'Start it with: devstack run up'
}
