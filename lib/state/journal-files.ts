/** Where the journals of a project are, who writes them, and which may go. Apart from reading them, since every run ends here. */
import { existsSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { parseIdentity, stateOf } from './processes.ts'

const ending = '.jsonl'

/** The file of a run's journal, whether or not it exists; `directory` is the `.devstack` of the project. */
export function journalFile(directory: string, runId: string): string {
  return join(directory, 'runs', `${runId}${ending}`)
}

/** The file beside a journal that names the process which writes it. */
export function ownerFile(journal: string): string {
  return `${journal}.owner`
}

/** Ids of the runs that have a journal, the newest first: they begin with when the run did. */
export function runIds(directory: string): readonly string[] {
  const runs = join(directory, 'runs')
  const names = existsSync(runs) ? readdirSync(runs).filter((name) => name.endsWith(ending)) : []
  return names
    .map((name) => name.slice(0, -ending.length))
    .sort()
    .reverse()
}

/** The journals of a project, the newest first; `modified` is milliseconds since the epoch. */
export function journals(directory: string): { runId: string; file: string; modified: number }[] {
  return runIds(directory).flatMap((runId) => {
    const file = journalFile(directory, runId)
    try {
      return [{ runId, file, modified: statSync(file).mtimeMs }]
    } catch {
      return []
    }
  })
}

/** Whether the process that writes this journal still runs. */
export function isAlive(journal: string): boolean {
  try {
    const owner = parseIdentity(JSON.parse(readFileSync(ownerFile(journal), 'utf8')))
    return owner !== undefined && stateOf(owner) !== 'dead'
  } catch {
    return false
  }
}

/** Removes the oldest journals beyond `keep` (default 200), never one that is being written. None is looked at that stays. */
export function pruneRuns(directory: string, keep = 200): void {
  for (const runId of runIds(directory).slice(Math.max(0, keep))) {
    const file = journalFile(directory, runId)
    if (isAlive(file)) continue
    for (const name of [file, ownerFile(file)]) {
      try {
        unlinkSync(name)
      } catch {
        // Another process prunes too, or the file is not ours to remove.
      }
    }
  }
}
