/** `up`: the whole stack, healthy; what is healthy and unchanged stays as it is. */
import {
  type Ambient,
  formatDuration,
  type LoadedStack,
  labels,
  type Needs,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { projectContainers } from './handles.ts'
import { keep } from './history.ts'
import { formatServices } from './table.ts'

export const upParams = z.object({
  fast: z.boolean().default(false).describe('one PostgreSQL and one Redis, without high availability'),
  ephemeral: z.boolean().default(false).describe('data in memory, fsync off: quickest, and gone with the containers'),
  services: z.array(z.string()).optional().describe('only these and what they depend on'),
})
export type UpParams = z.infer<typeof upParams>

const noVariant: UpParams = { fast: false, ephemeral: false }

export interface UpOptions {
  /** Whether there are other forms of the stack (`--fast`, `--ephemeral`); default true. */
  readonly variants?: boolean
  readonly load: (params: UpParams) => Promise<LoadedStack>
  /** Conditions over several services, by name: `postgresql` waits for its members. */
  readonly clusters: (stack: LoadedStack, params: UpParams) => Needs
}

/** The task. Its value: the services by name. */
export function upTask(options: UpOptions): Task<Record<string, ServiceHandle>> {
  return task({
    description: 'Bring the whole stack up, healthy',
    params: (options.variants === false ? upParams.pick({ services: true }) : upParams) as typeof upParams,
    effect: 'create',
    runLocks: ['stack'],
    needs: async (given): Promise<Needs> => {
      const params = { ...noVariant, ...given }
      const stack = await options.load(params)
      const whole = !params.services || params.services.length === 0
      return { ...stack.ready(params.services), ...(whole ? options.clusters(stack, params) : {}) }
    },
    run: async (context) => {
      const { log, needs, note, rows, runtime, signal, terminal } = context
      const handles = Object.fromEntries(
        Object.entries(needs as Record<string, unknown>).filter((entry): entry is [string, ServiceHandle] =>
          isHandle(entry[1]),
        ),
      )
      // what another set of files left: it would use the same names and ports; and what a killed upgrade left
      const wanted = new Set(Object.values(handles).map(({ id }) => id))
      const orphans = context.params.services?.length
        ? []
        : (await projectContainers(context)).filter(
            (one) => one.labels[labels.service] !== undefined && !wanted.has(one.id),
          )
      await Promise.all(orphans.map(({ id }) => runtime.remove(id, { signal })))
      if (orphans.length > 0)
        log(`removed ${orphans.map(({ name }) => name).join(', ')}: the files do not name them any more`)
      const went = rows()
      const now = await answersNow(context, { went, handles, stack: await options.load(context.params) })
      const table = Object.values(handles).map((handle) => ({
        service: handle.service,
        state: 'running',
        healthy: true,
        detail: now.get(handle.service) ?? '',
        ports: handle.ports,
        took: formatDuration(went.get(handle.service)?.durationMs ?? 0),
      }))
      note(formatServices(table, { width: terminal.columns, colors: false }).trimEnd())
      if (!context.params.services?.length) await keep('up', table, context)
      return handles
    },
  })
}

/** What each service says of itself at the end: a leader may have changed since a gate was asked. */
async function answersNow(
  context: Ambient & { readonly signal: AbortSignal },
  run: {
    readonly went: ReturnType<Ambient['rows']>
    readonly handles: Readonly<Record<string, ServiceHandle>>
    readonly stack: LoadedStack
  },
): Promise<ReadonlyMap<string, string>> {
  const known = new Map([...run.went].map(([service, { answer }]) => [service, answer ?? '']))
  // where nothing had to be waited for, the answers are new
  if (![...run.went.values()].some(({ durationMs }) => durationMs > 1000)) return known
  await Promise.all(
    Object.values(run.handles).map(async (handle) => {
      const gate = run.stack.services.get(handle.service)?.gates.at(-1)
      const answer = await gate?.ask?.(handle, context)
      if (answer?.healthy) known.set(handle.service, answer.detail)
    }),
  )
  return known
}

function isHandle(value: unknown): value is ServiceHandle {
  return typeof value === 'object' && value !== null && 'service' in value && 'id' in value && 'ports' in value
}
