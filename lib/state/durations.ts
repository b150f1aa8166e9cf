/** How long each task took in earlier runs, so that the longest chain can start first. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RunResult } from '../engine/runner.ts'

const most = 20_000

/** Milliseconds by node id; empty when there is no usable record. Checked by hand, as every run comes by here. */
export function readDurations(stateDirectory: string): Map<string, number> {
  try {
    const found: unknown = JSON.parse(readFileSync(file(stateDirectory), 'utf8'))
    const entries = Object.entries(typeof found === 'object' && found !== null ? found : {})
    return new Map(entries.filter(([, ms]) => Number.isFinite(ms) && ms >= 0))
  } catch {
    return new Map()
  }
}

/**
 * Remembers how long what completed has taken; a mean that leans to the newest (half of it) outlives a single odd run. Never
 * throws.
 */
export function recordDurations(
  stateDirectory: string,
  { completed, durations }: Pick<RunResult, 'completed' | 'durations'>,
): void {
  if (completed.length === 0) return
  const before = readDurations(stateDirectory)
  const known = new Map(before)
  for (const node of completed) {
    const ms = durations.get(node)!
    const earlier = before.get(node)
    known.delete(node)
    known.set(node, Math.round(earlier === undefined ? ms : (earlier + ms) / 2))
  }
  const kept = [...known].slice(-most)
  if (kept.length === before.size && kept.every(([node, ms]) => before.get(node) === ms)) return
  try {
    mkdirSync(stateDirectory, { recursive: true })
    const draft = `${file(stateDirectory)}.${process.pid}`
    writeFileSync(draft, JSON.stringify(Object.fromEntries(kept)))
    renameSync(draft, file(stateDirectory))
  } catch {
    // a hint for the next run only: never worth an error
  }
}

function file(stateDirectory: string): string {
  return join(stateDirectory, 'durations.json')
}
