import type { Step } from '../../engine/events.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { prepare } from '../prepare.ts'
import { type LastFailure, lastFailures } from '../recorded.ts'
import { planOf } from './plan.ts'

/** `devstack why`: the decision about the named tasks, and the chain of needs that leads to it. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const prepared = await prepare(invocation, io)
  try {
    const steps = await planOf(prepared, io)
    const named = new Set(prepared.graph.targets)
    const failures = lastFailures(prepared.loaded, prepared.graph.order)
    if (prepared.options.json) {
      io.stdout.write(
        `${JSON.stringify(
          steps
            .filter((step) => named.has(step.node))
            .map((step) => ({ ...step, lastFailure: failures.get(step.node) })),
          null,
          2,
        )}\n`,
      )
      return 0
    }
    for (const id of named) io.stdout.write(explain(steps, failures, id))
    return 0
  } finally {
    prepared.dispose()
  }
}

const verbs: Readonly<Record<Step['decision'], string>> = {
  run: 'would run',
  reuse: 'would be reused',
  skip: 'would be skipped',
  stop: 'would be stopped',
}

function explain(steps: readonly Step[], failures: ReadonlyMap<string, LastFailure>, target: string): string {
  const byId = new Map(steps.map((step) => [step.node, step]))
  const lines: string[] = []
  const seen = new Set<string>()
  const visit = (id: string, depth: number): void => {
    const step = byId.get(id)!
    if (seen.has(id)) return
    seen.add(id)
    const indent = '  '.repeat(depth)
    lines.push(`${indent}${id} ${verbs[step.decision]}: ${step.cause}`)
    const failure = step.decision === 'run' ? failures.get(id) : undefined
    if (failure) {
      const when = new Date(failure.at).toISOString().slice(0, 19).replace('T', ' ')
      lines.push(`${indent}    failed the last time, in run ${failure.runId} at ${when}: ${failure.message}`)
    }
    for (const difference of step.differences ?? []) lines.push(`${indent}    ${difference}`)
    // what is reused explains nothing further
    for (const need of step.needs) if (byId.get(need)!.decision !== 'reuse') visit(need, depth + 1)
  }
  visit(target, 0)
  return `${lines.join('\n')}\n`
}
