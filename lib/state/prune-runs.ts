/** Which journals there are, and which may go. Apart from reading them, since every run ends here. */
import { existsSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { parseIdentity, stateOf } from './processes.ts'

/** Whether the process that writes this journal still runs. */
export function isAlive(file: string): boolean {
  try {
    const owner = parseIdentity(JSON.parse(readFileSync(`${file}.owner`, 'utf8')))
    return owner !== undefined && stateOf(owner) !== 'dead'
  } catch {
    return false
  }
}

/**
 * Removes the oldest journals beyond `keep` (default 200), never one that is being written. Their names begin with when
 * they did, so none is looked at that stays. Never throws.
 */
export function pruneRuns(directory: string, keep = 200): void {
  const runs = join(directory, 'runs')
  const newestFirst = journalNames(runs).sort().reverse()
  for (const old of newestFirst.slice(Math.max(0, keep))) {
    const file = join(runs, old)
    if (isAlive(file)) continue
    for (const name of [file, `${file}.owner`]) {
      try {
        unlinkSync(name)
      } catch {
        // Another process prunes too, or the file is not ours to remove.
      }
    }
  }
}

/** The journals of a project, in no order; `modified` is milliseconds since the epoch. */
export function journals(directory: string): { runId: string; file: string; modified: number }[] {
  const runs = join(directory, 'runs')
  return journalNames(runs).flatMap((name) => {
    const file = join(runs, name)
    try {
      return [{ runId: name.slice(0, -ending.length), file, modified: statSync(file).mtimeMs }]
    } catch {
      return []
    }
  })
}

const ending = '.jsonl'

function journalNames(runs: string): string[] {
  return existsSync(runs) ? readdirSync(runs).filter((name) => name.endsWith(ending)) : []
}
