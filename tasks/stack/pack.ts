/** The `stack` pack: the HA stack of compose/ with the workflows around it. */
import { join } from 'node:path'
import {
  type BuiltImage,
  type ContainerGate,
  type ContainerSummary,
  composeDependenciesOf,
  DevstackError,
  definePack,
  imageTask,
  type LoadedStack,
  labels,
  loadStack,
  type Needs,
  named,
  type PackContext,
  type ServiceHandle,
  type Task,
  task,
} from '../../lib/index.ts'
import { applicationGates, nodeImageTask } from './applications.ts'
import { cleanTask } from './clean.ts'
import { type StackPack, serviceReference } from './compose.ts'
import { debugTask } from './debug.ts'
import { devTask } from './dev.ts'
import { downTask } from './down.ts'
import {
  checkoutEnvironment,
  environmentTask,
  isEnvironmentLost,
  secretNames,
  takeBackEnvironment,
} from './environment.ts'
import { execTask } from './exec.ts'
import { postgresReplicated, sentinelsAgree, serviceGates } from './gates.ts'
import { projectContainers, serviceOf } from './handles.ts'
import { type HealthOptions, healthTask, statusTask } from './health.ts'
import { historyTask } from './history.ts'
import { logsTask } from './logs.ts'
import { packageFolder } from './package.ts'
import { pauseTask, resumeTask } from './pause.ts'
import { pruneTask } from './prune.ts'
import { psqlTask } from './psql.ts'
import { rebuildTask } from './rebuild.ts'
import { recoverTask } from './recover.ts'
import { redisCliTask } from './redis-cli.ts'
import { restartTask } from './restart.ts'
import { baseImageTask, engineTask, markerTask, preflightTask, setupTask } from './setup.ts'
import { shellTask } from './shell.ts'
import { staleTask } from './stale.ts'
import type { LifecycleOptions } from './starting.ts'
import { type UpParams, upTask } from './up.ts'
import { upgradeTask } from './upgrade.ts'

/** What `haStack` takes. */
export interface HaStackOptions {
  /** Compose files merged over devstack's own, relative to the config. */
  readonly files?: readonly string[]
  readonly profiles?: readonly string[]
  /** Compose files merged over all others by `dev` and `debug`: mounted sources, inspectors. */
  readonly dev?: readonly string[]
  /** The reference backend and frontend; default true. They are not in the fast mode. */
  readonly applications?: boolean
}

/** 3 etcd, 3 PostgreSQL under Patroni, Redis with two replicas and 3 Sentinels, and the tasks around them. Services of own files join them. */
export function haStack(options: HaStackOptions = {}): StackPack {
  let used: HaStack | undefined
  const pack = definePack({
    name: 'stack',
    secrets: secretNames,
    urgent: isEnvironmentLost,
    recover: async (context) => {
      if (isEnvironmentLost(context.project)) await takeBackEnvironment(context)
      const { noticeJump } = await import('./notice.ts')
      noticeJump(context)
    },
    tasks: (context) => {
      used = new HaStack(options, context)
      return stackTasks(used)
    },
    model: async () => (await used!.load(defaults)).model,
  })
  return { ...pack, service: (name) => serviceReference(name, 'haStack()', () => used?.load(defaults)) }
}

function stackTasks(stack: HaStack): Record<string, Task> {
  const engine = engineTask()
  const { environment } = stack
  const preflight = preflightTask(engine, () => stack.variables())
  const models = new Map<boolean, Promise<ReadonlyMap<string, readonly string[]>>>()
  /** What depends on what in the form of the stack that these services belong to; the files are read once. */
  const modelFor = (present: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> => {
    const fast = present.some(isFastService) && !present.some(isHaService)
    let model = models.get(fast)
    if (!model) {
      model = stack.load({ ...defaults, fast }).then((loaded) => composeDependenciesOf(loaded.model))
      models.set(fast, model)
      // a file that is mended is read again
      model.catch(() => models.delete(fast))
    }
    return model
  }
  const health: HealthOptions = {
    gates: async () => stack.gates(),
    expected: async (context) => {
      const present = (await projectContainers(context)).map(serviceOf)
      return present.length === 0 ? [] : [...(await modelFor(present)).keys()]
    },
  }
  const lifecycle: LifecycleOptions = {
    ...health,
    dependencies: async (context) => modelFor((await projectContainers(context)).map(serviceOf)).catch(() => new Map()),
  }
  const down = downTask(() => stack.load(defaults))
  // steps of the data pack's `reset`, which takes a backup before and fills the new databases after
  const resetDown = downTask(() => stack.load(defaults), { backup: named('reset:backup') })
  const resetUp = upTask({
    load: (params) => stack.load(params, { environment, down: resetDown }),
    clusters: (loaded, params) => stack.clusters(loaded, params),
  })
  const password = async (): Promise<string> => (await stack.variables())['REDIS_PASSWORD'] ?? ''
  return {
    setup: setupTask(async () => {
      const loaded = await stack.load(defaults, { environment: stack.environmentAfter({ engine }), engine, preflight })
      const ready = { ...loaded.ready(), ...stack.clusters(loaded, defaults) }
      return { ...ready, marker: markerTask(ready) }
    }),
    up: upTask({ load: (params) => stack.load(params), clusters: (loaded, params) => stack.clusters(loaded, params) }),
    down,
    'reset:down': resetDown,
    'reset:up': { ...resetUp, definition: { ...resetUp.definition, private: true } },
    status: statusTask(health),
    health: healthTask(health),
    logs: logsTask(),
    exec: execTask(),
    restart: restartTask(lifecycle),
    pause: pauseTask(lifecycle),
    resume: resumeTask({ ...lifecycle, password }),
    recover: recoverTask({ ...lifecycle, password }),
    shell: shellTask(),
    psql: psqlTask(() => stack.variables()),
    'redis-cli': redisCliTask(password),
    stale: staleTask(async (context) => new Set(await health.expected(context))),
    history: historyTask(),
    rebuild: rebuildTask(
      ({ cache, dev, fast, service }) =>
        stack.load({ ...defaults, dev, fast }, { environment }, cache ? [] : [service]),
      lifecycle,
    ),
    upgrade: upgradeTask({
      ...lifecycle,
      load: () => stack.load(defaults),
      redisPassword: password,
      patroniPassword: async () => (await stack.variables())['PATRONI_PASSWORD'] ?? '',
    }),
    dev: devTask(() => stack.load({ ...defaults, dev: true }), lifecycle),
    debug: debugTask(() => stack.load({ ...defaults, dev: true })),
    clean: cleanTask(down),
    prune: pruneTask(),
  }
}

/** `dev`: with the files for hot reload. */
type Mode = UpParams & { readonly dev?: boolean }

const defaults: UpParams = { fast: false, ephemeral: false }

/** Whether the files of the one form of the stack name such a service; no name is in both. */
function isFastService(name: string): boolean {
  return name === 'postgres' || name === 'redis'
}

function isHaService(name: string): boolean {
  return /^(?:etcd|postgres|redis|sentinel)\d$/.test(name)
}

/** As ephemeral.yml mounts data, in the label that keeps how a container was made. */
const dataInMemory = /"type":"tmpfs","target":"\/var\/lib\/(?:etcd|postgresql\/data|redis)"/

/** Whether its data would end with the container; that of one that has stopped is gone. */
function hasDataInMemory({ state, labels: own }: ContainerSummary): boolean {
  return (state === 'running' || state === 'paused') && dataInMemory.test(own[labels.spec] ?? '')
}

function inMemory(services: readonly string[]): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'STACK_IN_MEMORY',
    message: `The stack is up with its data in memory (${shortList(services)}), which would be lost: its containers would be made anew.`,
    hint: 'Go on with it: devstack run up --ephemeral. To give its data up: devstack run down',
  })
}

function shortList(services: readonly string[]): string {
  const names = [...services].sort()
  return (names.length > 4 ? [...names.slice(0, 3), `${names.length - 3} more`] : names).join(', ')
}

/** Both forms publish the same ports, and each has data of its own. */
function otherForm(fast: boolean, present: readonly string[]): DevstackError {
  const [here, asked] = fast ? ['HA stack', 'fast mode'] : ['fast mode', 'HA stack']
  return new DevstackError({
    kind: 'state',
    code: 'STACK_OTHER_FORM',
    message: `The ${here} is up here (${shortList(present)}). The ${asked} needs its ports, and has data of its own.`,
    hint: `Take it down first; its data stays: devstack run down`,
  })
}

/** The stack's files, read when a task first asks for them: other commands start without. */
class HaStack {
  readonly environment: Task<undefined>
  readonly #options: HaStackOptions
  readonly #place: PackContext
  readonly #loaded = new Map<string, Promise<LoadedStack>>()

  constructor(options: HaStackOptions, place: PackContext) {
    this.#options = options
    this.#place = place
    this.environment = environmentTask(place)
  }

  /** The same for a run that has to bring an engine along first. */
  environmentAfter(needs: Needs): Task<undefined> {
    return environmentTask(this.#place, needs)
  }

  /** Credentials, ports and subnet of this checkout, written or not. */
  async variables(): Promise<Readonly<Record<string, string>>> {
    const { directory, environment, project } = this.#place
    return (await checkoutEnvironment(directory, environment, project)).variables
  }

  /** What `health` asks; services of a user's own with these names are asked by their own healthchecks. */
  async gates(): Promise<Record<string, ContainerGate<ServiceHandle>>> {
    const values = await this.variables()
    const applications = this.#options.applications !== false ? applicationGates() : {}
    return { ...serviceGates(values['REDIS_PASSWORD'] ?? ''), ...applications }
  }

  /** The services that `params` ask for; `before` must be done before the first image, network or volume. */
  load(params: Mode, before?: Needs, afresh: readonly string[] = []): Promise<LoadedStack> {
    if (before || afresh.length > 0) return this.#read(params, before ?? { environment: this.environment }, afresh)
    // whoever needs the same services must need the same tasks
    const key = JSON.stringify([params.fast, params.ephemeral, params.dev ?? false])
    const known = this.#loaded.get(key)
    if (known) return known
    const loading = this.#read(params, { environment: this.environment }, [])
    this.#loaded.set(key, loading)
    loading.catch(() => this.#loaded.delete(key))
    return loading
  }

  async #read(params: Mode, before: Needs, afresh: readonly string[]): Promise<LoadedStack> {
    const root = packageFolder()
    const values = await this.variables()
    const base = baseImageTask(before)
    const images: Record<string, Task<BuiltImage>> = { 'debian:bookworm-slim': base }
    images['devstack-base'] = imageTask(
      { context: join(root, 'infrastructure', 'base'), tags: ['devstack-base'] },
      { before, maker: (reference) => images[reference] },
    )
    const maker = (reference: string): Task<BuiltImage> | undefined => images[reference]
    const applications = this.#options.applications !== false && !params.fast
    if (applications) {
      const { environment } = this.#place
      images['devstack-node'] = await nodeImageTask(root, { before, maker, environment })
    }
    const own = params.fast ? ['fast.yml'] : params.ephemeral ? ['stack.yml', 'ephemeral.yml'] : ['stack.yml']
    if (applications) own.push('applications.yml')
    if (applications && params.dev) own.push('dev.yml')
    const loaded: LoadedStack = await loadStack(
      {
        admit: (present) => {
          const others = present.map(serviceOf).filter(params.fast ? isHaService : isFastService)
          // a service of the user's own may have such a name
          if (others.some((name) => !loaded.model.services[name])) throw otherForm(params.fast, others)
          const volatile = params.ephemeral ? [] : present.filter(hasDataInMemory).map(serviceOf).filter(isHaService)
          if (volatile.length > 0) throw inMemory(volatile)
        },
        files: [
          ...own.map((file) => join(root, 'compose', file)),
          ...(this.#options.files ?? []),
          ...(params.dev ? (this.#options.dev ?? []) : []),
        ],
        ...(this.#options.profiles ? { profiles: this.#options.profiles } : {}),
        gates: await this.gates(),
        images,
        // paths in a user's files are relative to the config; devstack's own name where they are
        directory: this.#place.directory,
        environment: { ...values, DEVSTACK_HOME: root },
        before,
        afresh,
      },
      this.#place,
    )
    return loaded
  }

  /** Conditions over several services, as tasks that `up` needs. */
  clusters(stack: LoadedStack, params: UpParams): Needs {
    if (params.fast) return {}
    const cluster = (
      label: string,
      description: string,
      gate: ContainerGate<readonly ServiceHandle[]>,
      pattern: RegExp,
    ): Task<readonly ServiceHandle[]> =>
      task({
        description,
        label,
        private: true,
        effect: 'read',
        weight: 0,
        needs: Object.fromEntries(
          [...stack.services].flatMap(([name, tasks]) => (pattern.test(name) ? [[name, tasks.ready] as const] : [])),
        ),
        gate,
        run: ({ needs }): readonly ServiceHandle[] => Object.values(needs as Record<string, ServiceHandle>),
      })
    const password = stack.model.services['redis1']?.environment['REDIS_PASSWORD'] ?? ''
    return {
      postgresql: cluster('postgresql', 'PostgreSQL replicates synchronously', postgresReplicated, /^postgres\d+$/),
      sentinels: cluster('sentinels', 'Sentinels agree', sentinelsAgree(password), /^sentinel\d+$/),
    }
  }
}
