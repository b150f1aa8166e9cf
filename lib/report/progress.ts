/** How far a task is, in words: its share as a bar, amounts, and how fast it goes. Pure. */
import type { Progress } from '../engine/task.ts'
import { formatBytes, formatRate } from './format.ts'
import { visibleText } from './width.ts'

/** The latest report, and what its pace is reckoned from: the first one of the same label. */
export interface Pace {
  readonly latest: Progress
  readonly at: number
  readonly first: { readonly done: number; readonly at: number }
}

/** Takes a report, made at `at`, into what is known. */
export function follow(known: Pace | undefined, latest: Progress, at: number): Pace {
  const goesOn = known && known.latest.label === latest.label && known.latest.done <= latest.done
  return { latest, at, first: goesOn ? known.first : { done: latest.done, at } }
}

const cells = 16

/** `volumes ██████░░░░░░░░░░ 40 %, 1.2 GiB of 3 GiB, 210 MiB/s`; without a total there is no bar. */
export function progressBar(pace: Pace): string {
  const { done, total, label } = pace.latest
  if (!total) return progressText(pace)
  const share = Math.min(1, Math.max(0, done / total))
  const full = Math.floor(share * cells)
  const bar = `${'█'.repeat(full)}${'░'.repeat(cells - full)} ${Math.floor(share * 100)} %`
  return `${label ? `${visibleText(label)} ` : ''}${bar}, ${amounts(pace)}`
}

/** `volumes 1.2 GiB of 3 GiB, 210 MiB/s`. */
export function progressText(pace: Pace): string {
  const { label } = pace.latest
  return `${label ? `${visibleText(label)} ` : ''}${amounts(pace)}`
}

function amounts({ latest: { done, total, unit }, at, first }: Pace): string {
  const amount = (value: number): string => (unit === 'bytes' ? formatBytes(value) : String(value))
  const sum = `${amount(done)}${total ? ` of ${amount(total)}` : ''}`
  const ms = at - first.at
  return unit === 'bytes' && ms > 0 && done > first.done ? `${sum}, ${formatRate(done - first.done, ms)}` : sum
}
