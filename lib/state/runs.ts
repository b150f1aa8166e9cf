/** Reads journals back: one run in full, or a line about each. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, truncateSync } from 'node:fs'
import type { RunEvent } from '../engine/events.ts'
import { DevstackError, formatError, messageOf, toDevstackError } from '../errors.ts'
import { isAlive, journals } from './journal-files.ts'
import { parseEvent } from './journal-schema.ts'

export interface ReadJournal {
  readonly events: readonly RunEvent[]
  /** Said when the last line was torn by a crash: what was ignored, for the user. */
  readonly warning?: string
}

export interface RunInfo {
  readonly runId: string
  readonly file: string
  /**
   * `interrupted`: its process died before the run's end. `empty`: it died before the first event. `unreadable`: written by
   * a newer devstack, or corrupt.
   */
  readonly state: 'succeeded' | 'failed' | 'cancelled' | 'running' | 'interrupted' | 'empty' | 'unreadable'
  /** Of an `unreadable` one: what is wrong, where, and the remedy. */
  readonly problem?: string
  readonly startedAt: number
  readonly durationMs?: number
  readonly targets: readonly string[]
  readonly continues?: string
  readonly undoes?: string
}

const newestFormat = 1

/**
 * All events of a journal. A torn last line is left out and said in `warning`; with `repair` it is cut off the file too. An
 * empty journal gives no events. Throws JOURNAL_MISSING, STATE_JOURNAL_NEWER, or STATE_JOURNAL_CORRUPT with the place.
 */
export function readJournal(file: string, options: { readonly repair?: boolean } = {}): ReadJournal {
  const bytes = read(file)
  const end = bytes.lastIndexOf(0x0a) + 1
  const events: RunEvent[] = []
  const lines = bytes.toString('utf8', 0, end).split('\n')
  lines.pop()
  const last = lines.length - 1
  let whole = end
  for (const [index, line] of lines.entries()) {
    const parsed = parseLine(line, file, index + 1)
    if ('event' in parsed) events.push(parsed.event)
    // A power cut can leave a block of zeros or half a line with its end in place, but only as the last one.
    else if (index === last && index > 0) whole = end - Buffer.byteLength(line) - 1
    else throw corrupt(file, index + 1, line, parsed.fault)
  }
  const rest = bytes.subarray(whole)
  if (rest.length === 0) return { events }
  // When the rest parses, nothing but its final newline is missing.
  const tail = whole === end ? parseLine(rest.toString('utf8'), file, lines.length + 1) : undefined
  if (tail && 'event' in tail) return { events: [...events, tail.event] }
  const fate = options.repair && cutOff(file, whole) ? 'cut off' : 'ignored'
  return {
    events,
    warning: `The last line of ${file} is torn (${rest.length} bytes of it were written) and was ${fate}.`,
  }
}

/** Cuts the file to so many bytes; says whether it could be written. */
function cutOff(file: string, bytes: number): boolean {
  try {
    truncateSync(file, bytes)
    return true
  } catch {
    return false
  }
}

function read(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new DevstackError({
      kind: missing ? 'usage' : 'state',
      code: missing ? 'STATE_JOURNAL_MISSING' : 'STATE_JOURNAL_UNREADABLE',
      message: missing ? `There is no journal ${file}.` : `The journal ${file} can not be read: ${messageOf(error)}.`,
      hint: missing ? 'See `devstack runs` for the runs there are.' : undefined,
      cause: error,
    })
  }
}

function parseLine(line: string, file: string, number: number): { event: RunEvent } | { fault: string } {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { fault: 'not JSON' }
  }
  const { type, format } = (value ?? {}) as { type?: unknown; format?: unknown }
  if (type === 'run-started' && typeof format === 'number' && format > newestFormat) {
    throw new DevstackError({
      kind: 'state',
      code: 'STATE_JOURNAL_NEWER',
      message: `${file} was written by a newer devstack (format ${format}; this one reads up to ${newestFormat}).`,
      hint: 'Update devstack, or remove the file if you do not need that run any more.',
      place: { file, line: number },
    })
  }
  return parseEvent(value)
}

function corrupt(file: string, line: number, text: string, fault: string): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'STATE_JOURNAL_CORRUPT',
    message: `Line ${line} of the journal is no event (${fault}).`,
    hint: 'Something else wrote to it. Remove the file if you do not need that run any more.',
    place: { file, line, text: text.slice(0, 120) },
  })
}

/** The runs of a project, the newest first, from the two ends of each journal. A bad journal's state says so. */
export function listRuns(directory: string): readonly RunInfo[] {
  return journals(directory)
    .map(({ file, runId, modified }) => describe(file, runId, modified))
    .sort((a, b) => b.startedAt - a.startedAt || (a.runId < b.runId ? 1 : -1))
}

function describe(file: string, runId: string, modified: number): RunInfo {
  const unknown = { runId, file, startedAt: modified, targets: [] }
  let first: RunEvent | undefined
  let last: RunEvent | undefined
  try {
    ;({ first, last } = ends(file))
  } catch (thrown) {
    return { ...unknown, state: 'unreadable', problem: formatError(toDevstackError(thrown)) }
  }
  if (!first) return { ...unknown, state: isAlive(file) ? 'running' : 'empty' }
  const started = first.type === 'run-started' ? first : undefined
  const finished = last?.type === 'run-finished' ? last : undefined
  return {
    runId,
    file,
    state: finished ? finished.state : isAlive(file) ? 'running' : 'interrupted',
    startedAt: first.at,
    durationMs: finished?.durationMs ?? (last ?? first).at - first.at,
    targets: started?.targets.map(({ task }) => task) ?? [],
    ...(started?.continues === undefined ? {} : { continues: started.continues }),
    ...(started?.undoes === undefined ? {} : { undoes: started.undoes }),
  }
}

const chunkBytes = 65_536

/** The first and the last whole event of a journal, without reading what may be megabytes of output between them. */
function ends(file: string): { first: RunEvent | undefined; last: RunEvent | undefined } {
  const descriptor = openSync(file, 'r')
  try {
    const { size } = fstatSync(descriptor)
    const part = (from: number, to: number) => {
      const bytes = Buffer.alloc(to - from)
      return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, from))
    }
    let head = part(0, Math.min(size, chunkBytes))
    while (!head.includes(0x0a) && head.length < size) head = part(0, Math.min(size, head.length * 4))
    let newline = head.indexOf(0x0a)
    const whole = newline >= 0
    if (!whole) newline = head.length
    const text = head.toString('utf8', 0, newline)
    const first = parseLine(text, file, 1)
    if (!('event' in first)) {
      if (whole) throw corrupt(file, 1, text, first.fault)
      return { first: undefined, last: undefined }
    }
    // the last line is as long as the chain of tasks that it names
    for (let length = chunkBytes; ; length *= 4) {
      const from = Math.max(newline, size - length)
      const lines = part(from, size).toString('utf8').split('\n')
      // it may be cut
      if (from > newline) lines.shift()
      for (const line of lines.reverse()) {
        const parsed = line === '' ? undefined : parseLine(line, file, 0)
        if (parsed && 'event' in parsed) return { first: first.event, last: parsed.event }
      }
      if (from === newline) return { first: first.event, last: first.event }
    }
  } finally {
    closeSync(descriptor)
  }
}
