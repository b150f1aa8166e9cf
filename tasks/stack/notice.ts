/** What is told before any run: the machine slept or was restarted since the stack was last seen running. */
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs'
import { type Clock, clockJumps, describeJump, machineClock } from './clock.ts'
import { type HistoryRecord, historyFile, parseRecords } from './history.ts'

/** A sleep shorter than the PostgreSQL leader's lease leaves no trace in the stack. */
const shortestMs = 20_000
/** Enough for the last record, however many services it names. */
const tailBytes = 64 * 1024

/** Says so, and what to do. Reads the end of the history alone: it is asked before every run. */
export function noticeJump(
  { project, note }: { readonly project: { readonly stateDirectory: string }; note(text: string): void },
  clock: Clock = machineClock,
): void {
  const last = lastRecord(historyFile(project))
  if (!last?.clock || !['healthy', 'degraded', 'failed'].includes(last.state)) return
  const jump = clockJumps(last.clock, clock()).find((one) => one.kind === 'restarted' || Math.abs(one.ms) > shortestMs)
  if (jump) note(`Since the stack was last seen, ${describeJump(jump)}. Bring it back with: devstack run recover`)
}

function lastRecord(file: string): HistoryRecord | undefined {
  if (!existsSync(file)) return undefined
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const buffer = Buffer.alloc(Math.min(size, tailBytes))
    readSync(descriptor, buffer, 0, buffer.length, size - buffer.length)
    const lines = buffer.toString('utf8').trimEnd().split('\n')
    return parseRecords(lines.slice(-1)).at(-1)
  } finally {
    closeSync(descriptor)
  }
}
