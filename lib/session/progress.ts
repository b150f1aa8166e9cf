/** A task reports as often as it likes; what is told, kept in the journal and shown is what a person could read. */
import type { Progress } from '../engine/task.ts'

/** Milliseconds between two reports that are told. */
const interval = 100

/** Passes on the first report of each label, then one an interval, and the one that is complete. */
export function paced(tell: (progress: Progress) => void, now: () => number): (progress: Progress) => void {
  let told: { readonly at: number; readonly label: string | undefined } | undefined
  return (progress) => {
    const at = now()
    const { label, done, total } = progress
    if (told && told.label === label && done !== total && at - told.at < interval) return
    told = { at, label }
    tell(progress)
  }
}
