/** What killed runs left running is ended before their work goes on. */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { Graph } from '../engine/graph.ts'
import { endOrphans } from '../session/processes.ts'
import { delaysOf } from '../session/session.ts'
import { listRuns } from '../state/runs.ts'
import { servicesOf } from './execute.ts'
import type { Io } from './io.ts'
import type { RunRecord } from './recorded.ts'

export interface OrphansOf {
  readonly loaded: LoadedConfig
  readonly graph: Graph
  readonly io: Io
  readonly record: RunRecord
}

/** Those of the run, of the runs that it continued, and of what undid it. A service that was ready lives on. */
export async function endOrphansOf(runId: string, { loaded, graph, io, record }: OrphansOf): Promise<void> {
  const runs = listRuns(join(loaded.directory, '.devstack'))
  const family = new Set([runId])
  for (const id of family) {
    for (const run of runs) {
      if (run.undoes === id) family.add(run.runId)
      if (run.runId === id && run.continues !== undefined) family.add(run.continues)
    }
  }
  const begun = new Set(record.interrupted)
  const services = servicesOf(graph)
  const ready = new Set(record.completed.filter((id) => services.has(id) && !begun.has(id)))
  for (const { runId: id, state } of runs) {
    if (state !== 'interrupted' || !family.has(id)) continue
    await endOrphans({
      runId: id,
      of: (node) => !ready.has(node),
      delays: delaysOf(loaded),
      urgency: io.urgency,
      say: (text) => void io.stderr.write(`${text}\n`),
    })
  }
}
