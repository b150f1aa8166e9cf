/** Locks that a run holds from before its first task to its end, across processes. */
import type { Graph } from '../engine/graph.ts'
import { formatHolder, openLocks } from '../state/locks.ts'

export interface RunLocks {
  readonly names: ReadonlySet<string>
  /** Somebody else held one of them first, so what was read before may be out of date. */
  readonly waited: boolean
  /** Gives them back; twice does nothing. */
  release(): void
}

export interface RunLockOptions {
  /** `.devstack` of the project. */
  readonly stateDirectory: string
  readonly runId: string
  readonly signal: AbortSignal
  /** Told who holds what, and since when, whenever there is something to wait for. */
  readonly onWait: (text: string) => void
  /** Ends what the killed run of a dead holder left running. */
  readonly onTakeOver: (runId: string) => Promise<void>
}

/** The `runLocks` of all tasks of the graph, in the order in which every run takes them. */
export function runLocksOf(graph: Graph): readonly string[] {
  const names = new Set<string>()
  for (const { definition, params } of graph.nodes.values()) {
    const { runLocks = [] } = definition
    for (const name of typeof runLocks === 'function' ? runLocks(params) : runLocks) names.add(name)
  }
  return [...names].sort()
}

/** Takes the graph's run locks one after another. Rejects with CANCELLED on abort, and then holds none. */
export async function takeRunLocks(graph: Graph, options: RunLockOptions): Promise<RunLocks> {
  const names = runLocksOf(graph)
  const releases: (() => void)[] = []
  const release = (): void => {
    for (const give of releases.splice(0).reverse()) give()
  }
  let waited = false
  const locks = openLocks({ directory: options.stateDirectory })
  try {
    for (const name of names) {
      releases.push(
        await locks.acquire(name, {
          signal: options.signal,
          owner: { task: graph.targets.join(', '), runId: options.runId },
          onTakeOver: (holder) => options.onTakeOver(holder.runId),
          onWait: (holder) => {
            waited = true
            options.onWait(`Waiting: ${formatHolder(holder)}.`)
          },
        }),
      )
    }
  } catch (thrown) {
    release()
    throw thrown
  }
  return { names: new Set(names), waited, release }
}
