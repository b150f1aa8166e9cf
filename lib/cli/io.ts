/** The process as the commands see it. */
import { DevstackError, formatError, messageOf } from '../errors.ts'
import type { OutputStream } from '../report/index.ts'
import type { Urgency } from '../session/processes.ts'
import { placeOf } from '../session/shell.ts'
import { processOutput } from './output.ts'

export interface Io {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** Node's own streams, made at the first look. */
  readonly terminal: { readonly stdin: NodeJS.ReadStream; readonly stdout: NodeJS.WriteStream }
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
  /** Raised by each further signal. */
  readonly urgency: Urgency
  /** Told of each signal, for a word to the user, until the returned function is called. */
  onSignal(listener: (name: string, count: number) => void): () => void
  /** Takes the signal handlers away. */
  release(): void
}

function escapedError(thrown: unknown): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'TASK_ESCAPED_ERROR',
    message: `An error was thrown outside of any task's promise, so the run was ended: ${messageOf(thrown)}`,
    hint: 'Await every promise in `run`, and catch what timers and listeners throw.',
    cause: thrown,
    place: thrown instanceof Error ? placeOf(thrown.stack) : undefined,
  })
}

/** The real process. Its signal handlers stay until `release()`. */
export function processIo(): Io {
  const controller = new AbortController()
  const urgency: Urgency = { level: 0 }
  const listeners = new Set<(name: string, count: number) => void>()
  let count = 0
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const handle = (name: NodeJS.Signals): void => {
    count += 1
    if (count > 1) urgency.level = count > 2 ? 2 : 1
    for (const listener of listeners) listener(name, count)
    controller.abort()
  }
  // what a task throws from a timer or a forgotten promise is beyond its try: the run ends, properly
  const escaped = (thrown: unknown): void => {
    const error = escapedError(thrown)
    if (controller.signal.aborted) process.stderr.write(`${formatError(error)}\n`)
    controller.abort(error)
  }
  for (const name of names) process.on(name, handle)
  process.on('uncaughtException', escaped)
  process.on('unhandledRejection', escaped)
  return {
    cwd: process.cwd(),
    environment: Object.fromEntries(
      Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    stdout: processOutput(1),
    stderr: processOutput(2),
    terminal: process,
    signal: controller.signal,
    urgency,
    onSignal: (listener) => {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    release: () => {
      for (const name of names) process.off(name, handle)
      process.off('uncaughtException', escaped)
      process.off('unhandledRejection', escaped)
    },
  }
}
