/** Locks of tasks across processes. */
import type { NodeEvent } from '../engine/events.ts'
import type { GraphNode } from '../engine/graph.ts'
import type { Host } from '../engine/host.ts'
import { sizedLocks } from '../engine/task.ts'
import { formatOwner, openLocks } from '../state/locks.ts'
import { endOrphans } from './processes.ts'
import type { Session } from './session.ts'

/**
 * Takes a task's locks in the order of their names, so that two runs can never wait for each other in a circle. What the
 * run itself holds (`held`) is not taken again.
 */
export function openLockHost(
  session: Session,
  runId: string,
  emitNode: (node: string, event: NodeEvent) => void,
  held: ReadonlySet<string> = new Set(),
): NonNullable<Host['lock']> {
  const locks = openLocks({ directory: session.project.stateDirectory })
  return async (node: GraphNode, signal: AbortSignal) => {
    const wanted = sizedLocks(node.definition.locks ?? [])
      .filter(({ name }) => !held.has(name))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const releases: (() => void)[] = []
    const release = async (): Promise<void> => {
      for (const give of releases.reverse()) give()
    }
    try {
      for (const { name, size } of wanted) {
        releases.push(
          await locks.acquire(name, {
            size,
            signal,
            owner: { task: node.id, runId },
            onTakeOver: ({ runId: killed, task }) =>
              endOrphans({
                ...session,
                runId: killed,
                of: (id) => id === task,
                say: (text) => emitNode(node.id, { type: 'node-output', stream: 'log', text: `${text}\n` }),
              }),
            onWait: (holder) => emitNode(node.id, { type: 'lock-waiting', lock: name, holder: formatOwner(holder) }),
          }),
        )
      }
    } catch (thrown) {
      await release()
      throw thrown
    }
    return release
  }
}
