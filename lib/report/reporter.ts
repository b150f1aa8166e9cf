/** What the reporters share: the shape of a sink, of the streams, and how several sinks become one. */
import type { Reporter } from '../engine/events.ts'
import { messageOf } from '../errors.ts'

/** A stream as far as reporters use it; `process.stdout` is one. */
export interface OutputStream {
  write(text: string): boolean
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
  readonly writableNeedDrain?: boolean
  on?(event: string, listener: (...values: unknown[]) => void): unknown
  off?(event: string, listener: (...values: unknown[]) => void): unknown
}

/** A reporter that can make room on the terminal. */
export interface Sink extends Reporter {
  /** Takes the drawing away until the returned function is called: for a prompt or an interactive task. */
  suspend?(): () => void
  /** Brings the terminal back in order at once, synchronously; for a process that ends without `close()`. */
  restore?(): void
}

/**
 * Several reporters as one. A sink that throws is dropped from then on, told once to `onFailure`, and never hurts the
 * others; the same holds for `close()`.
 */
export function combine(sinks: readonly Sink[], onFailure: (message: string) => void = () => {}): Required<Sink> {
  const alive = new Set(sinks)
  const failed = (sink: Sink, thrown: unknown) => {
    alive.delete(sink)
    try {
      onFailure(`Not everything of this run is reported: ${messageOf(thrown)}`)
    } catch {
      // whoever listens for failures may be the one that fails
    }
  }
  const each = (use: (sink: Sink) => void) => {
    for (const sink of [...alive]) {
      try {
        use(sink)
      } catch (thrown) {
        failed(sink, thrown)
      }
    }
  }
  return {
    report: (event) => each((sink) => sink.report(event)),
    suspend() {
      const resumes: (() => void)[] = []
      each((sink) => {
        const resume = sink.suspend?.()
        if (resume) resumes.push(resume)
      })
      return () => {
        for (const resume of resumes) resume()
      }
    },
    restore: () => each((sink) => sink.restore?.()),
    async close() {
      const closing = [...alive]
      const results = await Promise.allSettled(closing.map(async (sink) => sink.close?.()))
      results.forEach((result, index) => {
        if (result.status === 'rejected') failed(closing[index]!, result.reason)
      })
    },
  }
}
