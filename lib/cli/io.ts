/** The process as the commands see it. */
import type { Urgency } from '../session/processes.ts'

export interface Io {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
  /** Raised by each further signal. */
  readonly urgency: Urgency
  /** Told of each signal, for a word to the user. */
  onSignal(listener: (name: string, count: number) => void): void
  /** Takes the signal handlers away. */
  release(): void
}

/** The real process. Its signal handlers stay until `release()`. */
export function processIo(): Io {
  const controller = new AbortController()
  const urgency: Urgency = { level: 0 }
  const listeners: ((name: string, count: number) => void)[] = []
  let count = 0
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
  const handle = (name: NodeJS.Signals): void => {
    count += 1
    if (count > 1) urgency.level = count > 2 ? 2 : 1
    for (const listener of listeners) listener(name, count)
    controller.abort()
  }
  for (const name of names) process.on(name, handle)
  const closed = (stream: NodeJS.WriteStream): void => {
    // a reader that has gone away (`| head`) ends the output, not the run with a stack trace
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error
    })
  }
  closed(process.stdout)
  closed(process.stderr)
  return {
    cwd: process.cwd(),
    environment: Object.fromEntries(
      Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
    ),
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    signal: controller.signal,
    urgency,
    onSignal: (listener) => {
      listeners.push(listener)
    },
    release: () => {
      for (const name of names) process.off(name, handle)
    },
  }
}
