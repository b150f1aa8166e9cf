/** `chaos`: random faults from a seed for a time; when something does not hold, the shortest schedule that still fails. */
import { DevstackError, messageOf, type Needs, type Task, task, z } from '../../lib/index.ts'
import { longestSeconds, pause } from './clock.ts'
import type { ExperimentContext } from './context.ts'
import { newExperimentId } from './experiment.ts'
import { faultImage } from './fault-image.ts'
import { saveReport } from './history.ts'
import { peersOf } from './peers.ts'
import { postgresLoad } from './postgres-load.ts'
import { redisLoad } from './redis-load.ts'
import { rehearse } from './rehearsal.ts'
import type { ExperimentReport } from './report.ts'
import { formatReport } from './report-text.ts'
import { formatStep, type Step, scheduleOf, shrink } from './schedule.ts'
import { targetOf } from './simulate.ts'
import { stackSteadyState } from './steady-state.ts'

const params = z.object({
  seed: z.coerce
    .number()
    .int()
    .nonnegative()
    .optional()
    .describe('the same seed gives the same faults; default random'),
  duration: z.coerce
    .number()
    .positive()
    .max(longestSeconds)
    .default(60)
    .describe('seconds of faults and pauses, heals not counted'),
  shrink: z.coerce
    .number()
    .int()
    .nonnegative()
    .default(8)
    .describe('runs spent on finding the shortest schedule that fails'),
  promise: z.coerce
    .number()
    .positive()
    .max(longestSeconds)
    .default(60)
    .describe('seconds without a write that a client has to bear'),
  dryRun: z.boolean().default(false).describe('only print the schedule'),
})

/** The task. */
export function chaosTask(): Task<undefined> {
  return task({
    description: 'Break the stack at random, from a seed, and prove that no acknowledged write is lost',
    effect: 'change',
    // who only wants to see the schedule touches nothing
    runLocks: ({ dryRun }) => (dryRun ? [] : ['stack']),
    params,
    needs: ({ dryRun }): Needs => (dryRun ? {} : { image: faultImage() }),
    run: async (context) => {
      const seed = context.params.seed ?? Math.floor(Math.random() * 1_000_000)
      const steps = scheduleOf(seed, context.params.duration * 1000)
      context.log(`seed ${seed}: ${steps.length} faults`)
      for (const [index, step] of steps.entries()) context.log(`${String(index + 1).padStart(3)}  ${formatStep(step)}`)
      if (context.params.dryRun) return
      const { duration, promise } = context.params
      const title = `chaos --seed ${seed} --duration ${duration}${promise === 60 ? '' : ` --promise ${promise}`}`
      const once = async (schedule: readonly Step[], name: string): Promise<ExperimentReport> => {
        const report = await rehearse(
          {
            id: newExperimentId(),
            name: 'chaos',
            title: name,
            params: {},
            steadyState: stackSteadyState(context.env),
            load: [postgresLoad(), redisLoad()],
            limits: { promise: context.params.promise * 1000 },
            options: { inject: (inside) => follow(schedule, inside) },
            helper: true,
          },
          context,
        )
        const page = await saveReport(context.project.stateDirectory, report)
        for (const line of formatReport(report).split('\n')) context.log(line)
        context.log(`Page: ${page}`)
        return report
      }
      const report = await once(steps, title)
      if (report.verdict === 'passed') return
      const fails = async (part: readonly Step[]): Promise<boolean> => {
        context.log(`trying with ${part.length} of ${steps.length} faults`)
        return (await once(part, `${title} (${part.length} faults)`)).verdict === 'failed'
      }
      const { shortest, asked, ended } = await shrink(steps, fails, context.params.shrink)
      if (ended !== undefined) {
        context.signal.throwIfAborted()
        context.log(`The search for a shorter schedule ended early: ${messageOf(ended)}`)
      }
      throw new DevstackError({
        kind: 'task',
        code: 'EXPERIMENT_FAILED',
        message: `${title} failed.`,
        details: [
          ...report.reasons,
          `The shortest schedule that still fails, after ${asked} more runs, has ${shortest.length} of ${steps.length} faults:`,
          ...shortest.map(formatStep),
        ],
        hint: `Repeat it with: devstack run ${title}`,
      })
    },
  })
}

/** One fault after another, the stack whole again in between. */
async function follow(schedule: readonly Step[], context: ExperimentContext<unknown>): Promise<void> {
  for (const step of schedule) {
    context.signal.throwIfAborted()
    const service = await targetOf(step.target, context)
    const details = step.fault === 'partition' ? { peers: peersOf(service, context.services), direction: 'both' } : {}
    const fault = await context.fault(step.fault, service, { ...details, ...step.details })
    await pause(step.forMs, context.signal)
    await context.heal(fault)
    await context.steady(120_000)
    context.mark('whole again')
    await pause(step.pauseMs, context.signal)
  }
}
