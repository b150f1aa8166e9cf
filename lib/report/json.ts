/** One event a line, as JSON (NDJSON): the very objects of the journal. */
import type { Sink } from './reporter.ts'

export function createJsonReporter(options: { readonly write: (text: string) => void }): Sink {
  return {
    report: (event) => options.write(`${JSON.stringify(event)}\n`),
  }
}
