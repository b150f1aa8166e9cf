/** `stale`: containers, networks and volumes that earlier checkouts or crashed runs left on the engine. */
import { existsSync } from 'node:fs'
import { type Ambient, type ContainerSummary, labels, type Task, task, z } from '../../lib/index.ts'

export interface StaleThing {
  readonly kind: 'container' | 'network' | 'volume'
  readonly name: string
  /** What a container is removed by. */
  readonly id: string
  readonly project: string
  readonly why: string
}

/** What the engine has, as far as it matters here. */
export interface Inventory {
  readonly containers: readonly Pick<ContainerSummary, 'id' | 'name' | 'state' | 'labels' | 'status'>[]
  readonly networks: readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[]
  readonly volumes: readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[]
}

export interface StaleOptions {
  readonly project: string
  readonly directory: string
  /** Services that the project's files name; undefined where they can not be read. */
  readonly services?: ReadonlySet<string> | undefined
  readonly exists: (directory: string) => boolean
}

/**
 * What is left over, containers first. Left over is: everything of a checkout whose folder is gone; of this folder what
 * belongs to a project of another name; of this project containers that were never started, are dead, or belong to no
 * service any more. Whoever asks must hold the lock of the stack, else a run that is creating containers looks like a crashed one.
 */
export function findStale(inventory: Inventory, options: StaleOptions): readonly StaleThing[] {
  const folders = new Map<string, string>()
  for (const { labels: found } of [...inventory.containers, ...inventory.networks, ...inventory.volumes]) {
    const [project, directory] = [found[labels.project], found[labels.directory]]
    if (project !== undefined && directory !== undefined) folders.set(project, directory)
  }
  const reason = (found: Readonly<Record<string, string>>): string | undefined => {
    const project = found[labels.project]
    if (project === undefined || project === options.project) return undefined
    const directory = found[labels.directory] ?? folders.get(project)
    // nobody knows whose it is: no ground for a verdict
    if (directory === undefined) return undefined
    if (!options.exists(directory)) return `its checkout ${directory} is gone`
    if (directory === options.directory) return `this checkout was project ${project} before`
    return undefined
  }
  const containers = inventory.containers.flatMap((one): StaleThing[] => {
    const project = one.labels[labels.project] ?? ''
    const why = reason(one.labels) ?? (project === options.project ? ownReason(one, options) : undefined)
    return why === undefined ? [] : [{ kind: 'container', name: one.name, id: one.id, project, why }]
  })
  const others = (kind: 'network' | 'volume', things: Inventory['networks']): StaleThing[] =>
    things.flatMap(({ name, labels: found }) => {
      const why = reason(found)
      return why === undefined ? [] : [{ kind, name, id: name, project: found[labels.project] ?? '', why }]
    })
  return [...containers, ...others('network', inventory.networks), ...others('volume', inventory.volumes)]
}

function ownReason(container: Inventory['containers'][number], { services }: StaleOptions): string | undefined {
  const service = container.labels[labels.service]
  if (container.state === 'dead') return 'it is dead'
  if (container.state === 'created') return 'a run that did not finish made it and never started it'
  if (service !== undefined && services && !services.has(service)) return 'the files do not name its service any more'
  return undefined
}

type Around = Ambient & { readonly signal: AbortSignal }

/** The task. It only looks unless told, or asked on a terminal, to remove. */
export function staleTask(services: (context: Around) => Promise<ReadonlySet<string> | undefined>): Task<undefined> {
  const find = async (context: Around, only: string | undefined): Promise<readonly StaleThing[]> => {
    const { runtime, signal, project } = context
    const any = { [labels.project]: only }
    const [containers, networks, volumes, known] = await Promise.all([
      runtime.containers(any, { signal }),
      runtime.networks(any, { signal }),
      runtime.volumes(any, { signal }),
      services(context),
    ])
    return findStale(
      { containers, networks, volumes },
      { project: project.name, directory: project.directory, services: known, exists: existsSync },
    )
  }
  return task({
    description: 'Find what earlier checkouts and crashed runs left on the engine, and remove it on request',
    effect: 'destroy',
    interactive: true,
    runLocks: ['stack'],
    params: z.object({
      remove: z.boolean().default(false).describe('remove what is found'),
      project: z.string().optional().describe('only what belongs to this project'),
      json: z.boolean().default(false).describe('print JSON'),
    }),
    destroys: async (context) => {
      if (!context.params.remove) return []
      return (await find(context, context.params.project)).map(({ kind, name, why }) => `${kind} ${name}: ${why}`)
    },
    run: async (context) => {
      const { params, terminal, runtime, signal } = context
      const found = await find(context, params.project)
      if (params.json) terminal.write(`${JSON.stringify(found, null, 2)}\n`)
      else if (found.length === 0) terminal.write('Nothing is left over.\n')
      else if (!params.remove)
        for (const { kind, name, why } of found) terminal.write(`${kind.padEnd(9)}  ${name}: ${why}\n`)
      if (found.length === 0) return
      const asked = !params.remove && !params.json && terminal.interactive
      if (
        !params.remove &&
        !(asked && (await terminal.confirm(`Remove these ${found.length}, with the data in them?`)))
      ) {
        if (!params.json) terminal.write('Remove them with: devstack run stale --remove\n')
        return
      }
      const of = (kind: StaleThing['kind']): readonly StaleThing[] => found.filter((one) => one.kind === kind)
      // a frozen container can not be ended by its own stop signal, and need not be: it goes for good
      await Promise.all(of('container').map(({ id }) => runtime.remove(id, { volumes: true, signal })))
      await Promise.all(of('network').map(({ name }) => runtime.removeNetwork(name, { signal })))
      await Promise.all(of('volume').map(({ name }) => runtime.removeVolume(name, { signal })))
      if (!params.json)
        terminal.write(
          `Removed ${of('container').length} containers, ${of('network').length} networks, ${of('volume').length} volumes.\n`,
        )
    },
  })
}
