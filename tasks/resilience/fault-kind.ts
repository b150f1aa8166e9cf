/** What a kind of fault is. */
import { z } from 'zod'
import { DevstackError, type Project, type Runtime } from '../../lib/index.ts'
import type { Helper } from './helper.ts'

/** What injecting and healing may use. */
export interface FaultTools {
  readonly runtime: Runtime
  readonly project: Project
  readonly helper: Helper
  readonly signal: AbortSignal
}

/** A kind of fault. `details` is all that healing needs, and goes into the record. */
export interface FaultKind<D = unknown> {
  readonly details: z.ZodType<D>
  readonly text: (details: D) => string
  /** Throws FAULT_IMPOSSIBLE, before anything is changed, when this machine can not do it. */
  readonly check?: (details: D, tools: FaultTools) => Promise<void>
  readonly inject: (details: D, tools: FaultTools) => Promise<void>
  /** Idempotent; does nothing when the container is gone or the fault did not come to pass. */
  readonly heal: (details: D, tools: FaultTools) => Promise<void>
}

/** The machine can not do this: the experiment was not run, which is no verdict. */
export function impossible(message: string, hint?: string): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'FAULT_IMPOSSIBLE',
    message,
    ...(hint === undefined ? {} : { hint }),
  })
}

export const target = z.object({ id: z.string(), service: z.string() })
type Target = z.infer<typeof target>

/** Whether there is still a container to heal: what was done to it went with it. */
export async function isThere({ id }: Target, { runtime, signal }: FaultTools): Promise<boolean> {
  const details = await runtime.inspect(id, { signal })
  return details !== undefined && details.state !== 'removing'
}

/** It can not be healed as long as the stack is down, and comes back with it: whoever heals later can. */
export function healableLater(message: string, cause?: unknown): DevstackError {
  return new DevstackError({
    kind: 'runtime',
    code: 'FAULT_HEALED_LATER',
    message,
    hint: 'Start the stack with: devstack run up',
    ...(cause === undefined ? {} : { cause }),
  })
}

/** Whatever state a container is in: afterwards it runs. */
export async function letRun({ id }: Target, { runtime, signal }: FaultTools): Promise<void> {
  const details = await runtime.inspect(id, { signal })
  if (!details || details.state === 'removing') return
  if (details.state === 'paused') await runtime.unpause(id, { signal })
  else if (details.state !== 'running') await runtime.start(id, { signal })
}

/** Kinds with checked details, under their names. */
export function kind<D>(definition: FaultKind<D>): FaultKind {
  return definition as FaultKind
}
