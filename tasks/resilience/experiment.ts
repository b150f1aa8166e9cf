/** `experiment()`: a task that rehearses a failure on the real stack, asserts what must hold, and always heals. */
import { randomBytes } from 'node:crypto'
import { DevstackError, type Needs, type Task, task, z } from '../../lib/index.ts'
import type { ExperimentContext, Limits } from './context.ts'
import { checkExperiment, checkParts } from './experiment-check.ts'
import { faultImage } from './fault-image.ts'
import type { Load } from './load.ts'
import type { RehearsalOptions } from './rehearsal.ts'
import type { ExperimentReport } from './report.ts'
import type { SteadyState } from './steady-state.ts'

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
  /** A function where params, or settings of the stack in the environment, decide. */
  readonly limits?:
    | Limits
    | ((params: ParamsOf<S>, environment: Readonly<Record<string, string | undefined>>) => Limits)
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
  slack: z.coerce.number().min(1).default(1).describe('factor on targets of time, for a slow or busy machine'),
}

/** Set for commands that an experiment starts. */
export const insideVariable = 'DEVSTACK_INSIDE_EXPERIMENT'

/** The lock of experiments that start commands is held by the one that would wait for this one. */
function refuseInside(): void {
  if (process.env[insideVariable] === undefined) return
  throw new DevstackError({
    kind: 'usage',
    code: 'EXPERIMENT_INSIDE_ANOTHER',
    message: 'An experiment that runs other tasks can not run inside another one of its kind.',
    hint: 'Name the task itself, or another experiment, such as: devstack run validate-zero-loss test-failover',
  })
}

/** How many runs it takes to judge a target by its median. */
const enoughRuns = 5

/**
 * Defines an experiment as a task. It refuses to start on an unhealthy stack (EXPERIMENT_REFUSED), fails with
 * EXPERIMENT_FAILED when something that was asserted did not hold, and with EXPERIMENT_NOT_RUN when this machine can not
 * inject the fault. Throws CONFIG_INVALID for what is no experiment.
 */
export function experiment<S extends Shape = Record<never, never>>(
  options: ExperimentOptions<S>,
): Task<ExperimentOutcome> {
  type P = ParamsOf<S>
  checkExperiment(options, Object.keys(common))
  const shape = { ...options.params, ...common } as unknown as S & typeof common
  const params = z.object(shape)
  const wantsHelper = (given: P): boolean =>
    typeof options.helper === 'function' ? options.helper(given) : (options.helper ?? true)
  const image = faultImage()
  return task<ExperimentOutcome, Needs, P & z.infer<z.ZodObject<typeof common>>>({
    description: options.description,
    params: params as never,
    effect: 'change',
    ...((options.exclusive ?? true) ? { runLocks: ['stack'] } : { locks: ['experiment'] }),
    needs: (given): Needs => {
      if (options.exclusive === false) refuseInside()
      return wantsHelper(given) ? { image } : {}
    },
    run: async (context) => {
      // other commands start without all this
      const [{ rehearse }, { saveReport }, { formatReport }, { stackSteadyState }] = await Promise.all([
        import('./rehearsal.ts'),
        import('./history.ts'),
        import('./report-text.ts'),
        import('./steady-state.ts'),
      ])
      const given = context.params
      // the node of a task with params carries them: `test-failover(fault="kill")`
      const name = context.name.replace(/\(.*$/s, '')
      const title = titleOf(name, given, params)
      const reports: ExperimentReport[] = []
      const pages: string[] = []
      const load = typeof options.load === 'function' ? options.load(given) : options.load
      const limits = typeof options.limits === 'function' ? options.limits(given, context.env) : (options.limits ?? {})
      checkParts(context.name, load, limits)
      let refusal: DevstackError | undefined
      for (let index = 0; index < given.repeat; index += 1) {
        const rehearsal: RehearsalOptions<P> = {
          id: newExperimentId(),
          name,
          title,
          params: given as P,
          steadyState: options.steadyState ?? stackSteadyState(context.env),
          load,
          limits,
          slack: given.slack,
          options,
          helper: wantsHelper(given),
        }
        let report: ExperimentReport
        try {
          report = await rehearse(rehearsal, context)
        } catch (thrown) {
          // the stack did not survive the run before: what was found until then is the result
          if (reports.length === 0 || !(thrown instanceof DevstackError) || thrown.code !== 'EXPERIMENT_REFUSED')
            throw thrown
          refusal = thrown
          break
        }
        reports.push(report)
        pages.push(await saveReport(context.project.stateDirectory, report))
        context.progress({ done: index + 1, total: given.repeat, unit: 'items', label: 'runs' })
        for (const line of formatReport(report).split('\n')) context.log(line)
        context.log(`Page: ${pages.at(-1)}`)
      }
      return judge(reports, pages, { refusal, log: context.log })
    },
  })
}

/** The outcome of all runs. `refusal`: why no further one could start. Throws EXPERIMENT_FAILED and EXPERIMENT_NOT_RUN. */
export async function judge(
  reports: readonly ExperimentReport[],
  pages: readonly string[],
  { refusal, log }: { readonly refusal: DevstackError | undefined; readonly log: (text: string) => void },
): Promise<ExperimentOutcome> {
  const overall: string[] = []
  if (refusal) {
    overall.push(`Run ${reports.length + 1} was refused: the stack was not in its steady state any more.`)
    overall.push(...(refusal.details ?? []))
  }
  if (reports.length > 1) {
    const [{ summarize }, { formatSummary, reached }] = await Promise.all([
      import('./findings.ts'),
      import('./report-text.ts'),
    ])
    for (const line of formatSummary(reports).split('\n')) log(line)
    if (reports.length >= enoughRuns) {
      for (const { name, limitMs, medianMs } of summarize(reports)) {
        if (medianMs > limitMs)
          overall.push(`${name}: the median is ${reached(medianMs)}, the limit is ${reached(limitMs)}.`)
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
        reports.length === 1 && !refusal
          ? `${title} failed.`
          : failed.length > 0 || refusal
            ? `${title} failed in ${failed.length} of ${reports.length} runs.`
            : `${title} held in all ${reports.length} runs, but took longer than its targets.`,
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

/**
 * The name with the params that are not as by default, as they are written on the command line; `--fault` always, since it
 * says what the experiment is.
 */
export function titleOf(name: string, given: Readonly<Record<string, unknown>>, params: z.ZodObject): string {
  const options: string[] = []
  const words: string[] = []
  for (const [key, field] of Object.entries(params.shape) as [string, z.ZodType][]) {
    const value = given[key]
    const usual = field.safeParse(undefined)
    const isUsual = usual.success && JSON.stringify(usual.data) === JSON.stringify(value)
    if (Object.hasOwn(common, key) || value === undefined || (key !== 'fault' && isUsual)) continue
    const option = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    if (field.meta()?.['positional']) words.push(...[value].flat().map(String))
    else if (typeof value === 'boolean') options.push(value ? `--${option}` : `--no-${option}`)
    else for (const one of [value].flat()) options.push(`--${option}`, String(one))
  }
  return [name, ...options, ...words].join(' ')
}
