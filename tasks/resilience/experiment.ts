/** `experiment()`: a task that rehearses a failure on the real stack, asserts what must hold, and always heals. */
import { randomBytes } from 'node:crypto'
import {
  type Ambient,
  DevstackError,
  type Duration,
  type Needs,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { faultImage } from './fault-image.ts'
import type { Fault } from './faults.ts'
import { summarize } from './findings.ts'
import { saveReport } from './history.ts'
import type { Load, RunningLoad } from './load.ts'
import { rehearse } from './rehearsal.ts'
import type { ExperimentReport } from './report.ts'
import { formatReport, formatSummary } from './report-text.ts'
import { type SteadyState, stackSteadyState } from './steady-state.ts'

/** What is asserted about time. */
export interface Limits {
  /** Longest gap a client may see; judged in the median of at least five runs. */
  readonly gap?: Duration
  /** What is promised each time. */
  readonly promise?: Duration
  /** From the heal to full redundancy; judged as `gap` is. */
  readonly redundancy?: Duration
  /** How long recovery is waited for; default 90 s. */
  readonly recovery?: Duration
}

/** What the functions of an experiment get. */
export interface ExperimentContext<P> {
  readonly params: P
  readonly services: readonly ServiceHandle[]
  /** A service by name; throws STACK_UNKNOWN_SERVICE. */
  service(name: string): ServiceHandle
  readonly runtime: Ambient['runtime']
  readonly project: Ambient['project']
  readonly env: Ambient['env']
  readonly exec: Ambient['exec']
  readonly flags: Ambient['flags']
  /** Aborts with the run, and when recovery takes too long. */
  readonly signal: AbortSignal
  log(text: string): void
  /** A moment of the report and of its picture. */
  mark(text: string): void
  /** Something worth knowing that is no failure. */
  note(text: string): void
  /** A load of this experiment that runs, by its name. */
  load(name: string): RunningLoad
  /** Injects a fault into a service; it is healed at the end at the latest, by a later command if need be. */
  fault(kind: string, service: string, details?: Readonly<Record<string, unknown>>): Promise<Fault>
  /** Heals one fault now, or all. */
  heal(fault?: Fault): Promise<void>
  /** Resolves when the steady state holds, in the middle of an experiment; rejects after `withinMs` (default 60 s). */
  steady(withinMs?: number): Promise<void>
  /** Resolves once writes of all loads, or of one, have been acknowledged steadily; not before `forMs` (default 3 s). */
  writesFlow(options?: { readonly forMs?: number; readonly load?: string }): Promise<void>
  /** Resolves with the member that leads in place of `old`, as a write to it proves. */
  newLeader(old: string, load?: string): Promise<string>
}

type Shape = z.ZodRawShape
type ParamsOf<S extends Shape> = z.infer<z.ZodObject<S>>

/** An experiment. `P` are its params' values. */
export interface ExperimentOptions<S extends Shape> {
  readonly description: string
  /** Fields of its own params, beside `--repeat`. */
  readonly params?: S
  /** What must hold before and after; default: the whole HA stack with all its members. */
  readonly steadyState?: readonly SteadyState[]
  readonly load: readonly Load[] | ((params: ParamsOf<S>) => readonly Load[])
  readonly inject: (context: ExperimentContext<ParamsOf<S>>) => Promise<void>
  /** Resolves when the stack has recovered; default: writes flow again. */
  readonly observe?: (context: ExperimentContext<ParamsOf<S>>) => Promise<void>
  /** Undoes what is no fault of `context.fault`, which are healed by themselves. Runs always; must be idempotent. */
  readonly heal?: (context: ExperimentContext<ParamsOf<S>>) => Promise<void>
  /** What must hold besides, each violation a sentence. That no durable write is lost is asserted anyway. */
  readonly assert?: (
    report: ExperimentReport,
    context: ExperimentContext<ParamsOf<S>>,
  ) => readonly string[] | Promise<readonly string[]>
  readonly limits?: Limits | ((params: ParamsOf<S>) => Limits)
  /** Whether faults of the network, of memory or of volumes are injected, which takes the helper image; default true. */
  readonly helper?: boolean | ((params: ParamsOf<S>) => boolean)
  /** Whether no other command may work on the stack meanwhile; default true. False for one that starts commands itself. */
  readonly exclusive?: boolean
}

/** What an experiment gives: the reports are stored, see the task `experiments`. */
export interface ExperimentOutcome {
  readonly verdict: ExperimentReport['verdict']
  readonly reports: readonly { readonly id: string; readonly verdict: string; readonly page: string }[]
}

const common = {
  repeat: z.coerce.number().int().min(1).max(1000).default(1).describe('how often; prints median and worst'),
}

/** How many runs it takes to judge a target by its median. */
const enoughRuns = 5

/**
 * Defines an experiment as a task. It refuses to start on an unhealthy stack (EXPERIMENT_REFUSED), fails with
 * EXPERIMENT_FAILED when something that was asserted did not hold, and with EXPERIMENT_NOT_RUN when this machine can not
 * inject the fault.
 */
export function experiment<S extends Shape = Record<never, never>>(
  options: ExperimentOptions<S>,
): Task<ExperimentOutcome> {
  type P = ParamsOf<S>
  const shape = { ...options.params, ...common } as unknown as S & typeof common
  const params = z.object(shape)
  const wantsHelper = (given: P): boolean =>
    typeof options.helper === 'function' ? options.helper(given) : (options.helper ?? true)
  const image = faultImage()
  return task<ExperimentOutcome, Needs, P & { readonly repeat: number }>({
    description: options.description,
    params: params as never,
    effect: 'change',
    ...((options.exclusive ?? true) ? { runLocks: ['stack'] } : { locks: ['experiment'] }),
    needs: (given): Needs => (wantsHelper(given) ? { image } : {}),
    run: async (context) => {
      const given = context.params
      // the node of a task with params carries them: `test-failover(fault="kill")`
      const name = context.name.replace(/\(.*$/s, '')
      const title = titleOf(name, given, params)
      const reports: ExperimentReport[] = []
      const pages: string[] = []
      for (let index = 0; index < given.repeat; index += 1) {
        const report = await rehearse(
          {
            id: newExperimentId(),
            name,
            title,
            params: given as P,
            steadyState: options.steadyState ?? stackSteadyState(context.env),
            load: typeof options.load === 'function' ? options.load(given) : options.load,
            limits: typeof options.limits === 'function' ? options.limits(given) : (options.limits ?? {}),
            options,
            helper: wantsHelper(given),
          },
          context,
        )
        reports.push(report)
        pages.push(await saveReport(context.project.stateDirectory, report))
        context.progress({ done: index + 1, total: given.repeat, unit: 'items', label: 'runs' })
        for (const line of formatReport(report).split('\n')) context.log(line)
        context.log(`Page: ${pages.at(-1)}`)
      }
      return judge(reports, pages, context.log)
    },
  })
}

function judge(
  reports: readonly ExperimentReport[],
  pages: readonly string[],
  log: (text: string) => void,
): ExperimentOutcome {
  const overall: string[] = []
  if (reports.length > 1) {
    for (const line of formatSummary(reports).split('\n')) log(line)
    if (reports.length >= enoughRuns) {
      for (const { name, limitMs, medianMs } of summarize(reports)) {
        if (medianMs > limitMs) overall.push(`${name}: the median is ${medianMs} ms, the limit is ${limitMs} ms.`)
      }
    }
  }
  const title = reports[0]!.title
  const failed = reports.filter(({ verdict }) => verdict === 'failed')
  const reasons = [...new Set([...failed.flatMap((report) => report.reasons), ...overall])]
  if (reasons.length > 0) {
    throw new DevstackError({
      kind: 'task',
      code: 'EXPERIMENT_FAILED',
      message:
        reports.length === 1 ? `${title} failed.` : `${title} failed in ${failed.length} of ${reports.length} runs.`,
      details: reasons,
      hint: `See the picture: ${pages[Math.max(0, reports.indexOf(failed[0]!))]}`,
    })
  }
  const notRun = reports.find(({ verdict }) => verdict === 'not-run')
  if (notRun) {
    throw new DevstackError({
      kind: 'task',
      code: 'EXPERIMENT_NOT_RUN',
      message: `${title} was not run, which is no pass: ${notRun.reasons.join(' ')}`,
    })
  }
  return {
    verdict: 'passed',
    reports: reports.map(({ id, verdict }, index) => ({ id, verdict, page: pages[index]! })),
  }
}

/** Names the folder of a report; sorts by time. */
export function newExperimentId(): string {
  return `${new Date().toISOString().replace(/[-:]|\.\d+Z/g, '')}-${randomBytes(3).toString('hex')}`
}

/** The name with the params that are not as by default. */
function titleOf(name: string, given: Readonly<Record<string, unknown>>, params: z.ZodObject): string {
  const defaults = params.safeParse({})
  const usual: Readonly<Record<string, unknown>> = defaults.success ? defaults.data : {}
  const words = Object.entries(given).flatMap(([key, value]) =>
    key === 'repeat' || value === undefined || (key !== 'fault' && value === usual[key])
      ? []
      : [`--${key}`, String(value)],
  )
  return [name, ...words].join(' ')
}
