/** The ledger: what a client saw acknowledged, in a file that survives the death of the process, against what is held. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/** One acknowledged write. */
export interface Acknowledgement {
  readonly id: number
  /** When the acknowledgement arrived, milliseconds since the epoch. */
  readonly at: number
  /** How long the client waited. */
  readonly ms: number
}

/** Appends each acknowledgement the moment it arrives: the line is with the kernel before the next write is sent. */
export class AcknowledgedWrites {
  readonly all: Acknowledgement[] = []
  readonly file: string
  readonly #descriptor: number

  constructor(file: string) {
    this.file = file
    this.#descriptor = openSync(file, 'a', 0o600)
  }

  add(entry: Acknowledgement): void {
    writeSync(this.#descriptor, `${entry.id} ${entry.at.toFixed(1)} ${entry.ms.toFixed(1)}\n`)
    this.all.push(entry)
  }

  close(): void {
    closeSync(this.#descriptor)
  }
}

/** Reads such a file; a last line that was cut off by a crash counts as not acknowledged. */
export function readAcknowledged(file: string): readonly Acknowledgement[] {
  const text = readFileSync(file, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .flatMap((line) => {
      const match = /^(\d+) ([\d.]+) ([\d.]+)$/.exec(line)
      return match ? [{ id: Number(match[1]), at: Number(match[2]), ms: Number(match[3]) }] : []
    })
}

/** What a member holds, or why it could not be asked. */
export type Holding = { readonly ids: ReadonlySet<number> } | { readonly error: string }

/** The comparison of the ledger with every member. */
export interface LedgerVerdict {
  readonly acknowledged: number
  /** Acknowledged ids that at least one member lacks, ascending. */
  readonly lost: readonly number[]
  /** Writes some member holds though no client saw them acknowledged: allowed, their outcome was unknown. */
  readonly unacknowledged: number
  readonly members: readonly {
    readonly member: string
    readonly held: number
    readonly missing: readonly number[]
    readonly error?: string
  }[]
}

/** Compares the acknowledged ids with what each member holds. A member that could not be asked holds nothing known. */
export function compareLedger(
  acknowledged: Iterable<number>,
  holdings: Readonly<Record<string, Holding>>,
): LedgerVerdict {
  const ids = [...new Set(acknowledged)].sort((a, b) => a - b)
  const known = new Set(ids)
  const lost = new Set<number>()
  const unacknowledged = new Set<number>()
  const sorted = Object.entries(holdings).sort(([a], [b]) => a.localeCompare(b))
  const members = sorted.map(([member, holding]) => {
    if ('error' in holding) return { member, held: 0, missing: [], error: holding.error }
    const missing = ids.filter((id) => !holding.ids.has(id))
    for (const id of missing) lost.add(id)
    for (const id of holding.ids) if (!known.has(id)) unacknowledged.add(id)
    return { member, held: holding.ids.size, missing }
  })
  return {
    acknowledged: ids.length,
    lost: [...lost].sort((a, b) => a - b),
    unacknowledged: unacknowledged.size,
    members,
  }
}

/** Ids as ranges, `3, 7-9, 12`, shortened after `most` ranges. */
export function formatIds(ids: readonly number[], most = 20): string {
  const ranges: [number, number][] = []
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last && id === last[1] + 1) last[1] = id
    else ranges.push([id, id])
  }
  const shown = ranges.slice(0, most).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`))
  return ranges.length > most ? `${shown.join(', ')} and ${ranges.length - most} more ranges` : shown.join(', ')
}
