/** Shows a journal again through any reporter. */
import type { Reporter, RunEvent } from '../engine/events.ts'

/** Gives every event to the reporter, in order, then closes it. The text equals that of the run where it has no clock. */
export async function replay(events: Iterable<RunEvent> | AsyncIterable<RunEvent>, reporter: Reporter): Promise<void> {
  for await (const event of events) reporter.report(event)
  await reporter.close?.()
}
