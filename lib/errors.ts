/**
 * Every error that devstack shows on purpose. Anything else that reaches the user is a bug of ours.
 *
 * Exit codes: 0 success, 1 a task, gate or service failed, 2 bad usage, configuration or input, 3 a deadline passed,
 * 130 interrupted (128 + SIGINT, as shells report it).
 */
export type ErrorKind =
  | 'usage'
  | 'config'
  | 'graph'
  | 'task'
  | 'gate'
  | 'compose'
  | 'runtime'
  | 'state'
  | 'timeout'
  | 'cancelled'
  | 'internal'

const exitCodes: Readonly<Record<ErrorKind, number>> = {
  usage: 2,
  config: 2,
  graph: 2,
  compose: 2,
  task: 1,
  gate: 1,
  runtime: 1,
  state: 1,
  timeout: 3,
  cancelled: 130,
  internal: 1,
}

/** Where in a file the cause stands: line and column count from 1; `text` is the offending line itself. */
export interface Place {
  readonly file: string
  readonly line?: number
  readonly column?: number
  readonly text?: string
}

export interface ErrorOptions {
  readonly kind: ErrorKind
  /** Stable and upper case, for scripts: `COMPOSE_UNKNOWN_KEY`. */
  readonly code: string
  /** Names the thing and what is wrong with it, in one sentence. */
  readonly message: string
  /** What to do about it. */
  readonly hint?: string
  readonly place?: Place
  /** Further lines a person wants to see below the message, for instance a child's last output. */
  readonly details?: readonly string[]
  /** Overrides the exit code of the kind. */
  readonly exitCode?: number
  readonly cause?: unknown
}

/** An error with a stable code, an exit code, a place and a remedy. Its message never needs a stack trace. */
export class DevstackError extends Error {
  readonly kind: ErrorKind
  readonly code: string
  readonly exitCode: number
  readonly hint: string | undefined
  readonly place: Place | undefined
  readonly details: readonly string[]

  constructor(options: ErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DevstackError'
    this.kind = options.kind
    this.code = options.code
    this.exitCode = options.exitCode ?? exitCodes[options.kind]
    this.hint = options.hint
    this.place = options.place
    this.details = options.details ?? []
  }
}

/** The message of whatever was thrown, also of what is no Error. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message || thrown.name
  if (typeof thrown === 'string') return thrown
  try {
    return JSON.stringify(thrown) ?? String(thrown)
  } catch {
    return String(thrown)
  }
}

/**
 * What was thrown, as an error of ours: a DevstackError as it is, anything else wrapped under `kind` and `code`.
 */
export function toDevstackError(thrown: unknown, kind: ErrorKind = 'internal', code = 'UNEXPECTED'): DevstackError {
  if (thrown instanceof DevstackError) return thrown
  return new DevstackError({ kind, code, message: messageOf(thrown), cause: thrown })
}

/** `file:line:column`, as editors and terminals make it a link. */
export function formatPlace(place: Place): string {
  const { file, line, column } = place
  if (line === undefined) return file
  return column === undefined ? `${file}:${line}` : `${file}:${line}:${column}`
}

/** The error as text for a person: message, place, offending line with a caret, details, remedy. No final newline. */
export function formatError(error: DevstackError): string {
  const lines = [error.message]
  const { place } = error
  if (place) {
    lines.push(`  at ${formatPlace(place)}`)
    if (place.text !== undefined) {
      const gutter = `  ${place.line ?? ''} | `
      lines.push(`${gutter}${place.text.replaceAll('\t', ' ')}`)
      if (place.column !== undefined) lines.push(`${' '.repeat(gutter.length + place.column - 1)}^`)
    }
  }
  for (const detail of error.details) lines.push(...detail.split('\n').map((line) => `  ${line}`))
  if (error.hint) lines.push(`  → ${error.hint}`)
  return lines.join('\n')
}

/** The names that are one typing error away from `name`, the nearest first; none when nothing is near. */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(Math.min(name.length, 12) / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase(), bestDistance)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** ` Did you mean "x"?`, or nothing. */
export function suggest(name: string, candidates: Iterable<string>): string {
  const near = nearest(name, candidates)
  return near === undefined ? '' : ` Did you mean "${near}"?`
}

/** Optimal string alignment distance (a swap of neighbours counts as one edit); gives `limit` as soon as it is reached. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, substitution)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, beforeLast[j - 2]! + 1)
      row.push(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
