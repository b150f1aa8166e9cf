import type { Step } from '../../engine/events.ts'
import { readOnlyRuntime } from '../../runtime/read-only.ts'
import { openMemory } from '../../session/open-memory.ts'
import { formatPlan, planGraph } from '../../session/plan.ts'
import type { Invocation } from '../args.ts'
import { hostOf } from '../execute.ts'
import type { Io } from '../io.ts'
import { openSession } from '../open.ts'
import { type Prepared, prepare } from '../prepare.ts'
import type { RunRecord } from '../recorded.ts'

/** `devstack plan`: prints the plan; nothing it holds can write. */
export async function command(invocation: Invocation, io: Io): Promise<number> {
  const prepared = await prepare(invocation, io)
  try {
    return await printPlan(prepared, io)
  } finally {
    prepared.dispose()
  }
}

/** The plan of a graph, made with a runtime that refuses to write. */
export async function planOf(prepared: Prepared, io: Io, recorded?: RunRecord['values']): Promise<readonly Step[]> {
  const runtime = readOnlyRuntime(prepared.runtime)
  const session = openSession({ ...prepared, runtime, io, suspend: () => () => {} })
  const memory = await openMemory(session, prepared.graph, { readOnly: true })
  const host = hostOf(
    session,
    { graph: prepared.graph, ...(recorded ? { recorded } : {}) },
    {
      runId: 'plan',
      traceId: '0'.repeat(32),
      report: () => {},
      memory,
    },
  )
  return planGraph(prepared.graph, host, 'plan', prepared.signal)
}

/** Prints it as text or, with `--json`, as an array of steps. */
export async function printPlan(prepared: Prepared, io: Io, recorded?: RunRecord['values']): Promise<number> {
  const steps = await planOf(prepared, io, recorded)
  io.stdout.write(prepared.options.json ? `${JSON.stringify(steps, null, 2)}\n` : formatPlan(steps))
  return 0
}
