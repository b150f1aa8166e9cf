import type { Step } from '../../engine/events.ts'
import { stepOf } from '../../session/plan.ts'
import type { Invocation } from '../args.ts'
import { executeUndo } from '../execute-undo.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'
import { prepareTargets } from '../prepare.ts'
import { findUndoable, readRun, recordedTargets, valuesToUndo } from '../recorded.ts'

/** `devstack undo [run]`: takes back what the run did, the last thing first. Without a run: the latest that did not only look. */
export async function command({ options, operands }: Invocation, io: Io): Promise<number> {
  const loaded = await openConfig(options, io)
  const warn = (text: string): void => void io.stderr.write(`Warning: ${text}\n`)
  const candidates = findUndoable(loaded, operands[0])
  for (const [index, { runId, state }] of candidates.entries()) {
    if (candidates.length > 1 && (state === 'empty' || state === 'unreadable')) continue
    const record = readRun(loaded, runId, warn, { repair: !options.dryRun })
    const targets = await recordedTargets(record, loaded)
    const prepared = await prepareTargets({ loaded, options, targets, io })
    try {
      const pending = [...record.completed, ...record.interrupted].filter((id) => prepared.graph.nodes.has(id))
      // passed over is what only looked: not what was undone already or can not be undone, which nobody should mistake
      const definitions = pending.map((id) => prepared.graph.nodes.get(id)!.definition)
      const looked = record.undone.size === 0 && definitions.every(({ effect, undo }) => effect === 'read' && !undo)
      if (looked && index < candidates.length - 1) continue
      const values = valuesToUndo(record, prepared.graph, pending)
      if (options.dryRun) {
        const steps = [...pending].reverse().map((id): Step => {
          const { undo } = prepared.graph.nodes.get(id)!.definition
          return {
            ...stepOf(prepared.graph.nodes.get(id)!),
            decision: undo ? 'run' : 'skip',
            cause: undo ? 'would be undone' : 'has no undo',
          }
        })
        const { formatPlan } = await import('../../session/plan.ts')
        io.stdout.write(options.json ? `${JSON.stringify(steps, null, 2)}\n` : formatPlan(steps))
        return 0
      }
      return await executeUndo({ ...prepared, io, runId, pending, record, values })
    } finally {
      prepared.dispose()
    }
  }
  return 0
}
