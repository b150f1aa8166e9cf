/** One look at the containers of a project, shared by everybody who asks in the same run. */
import { type ContainerSummary, labels, type RuntimeReader } from '../runtime/runtime.ts'

export interface SnapshotContext {
  readonly runtime: RuntimeReader
  readonly project: { readonly name: string }
  readonly runId: string
  readonly signal: AbortSignal
}

const taken = new Map<string, Promise<readonly ContainerSummary[]>>()

/** The project's containers as they were when a run first asked; one call to the engine. */
export function snapshot(context: SnapshotContext): Promise<readonly ContainerSummary[]> {
  const key = `${context.runId} ${context.project.name}`
  let found = taken.get(key)
  if (!found) {
    // only the newest run of a process needs its look
    if (context.runId !== 'plan') taken.clear()
    found = context.runtime.containers({ [labels.project]: context.project.name }, { signal: context.signal })
    taken.set(key, found)
    found.catch(() => taken.delete(key))
  }
  return found
}
