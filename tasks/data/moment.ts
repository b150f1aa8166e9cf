/** Moments in the past as people write them. */
import { DevstackError } from '../../lib/index.ts'

const units: Readonly<Record<string, number>> = {
  s: 1000,
  second: 1000,
  sec: 1000,
  m: 60_000,
  minute: 60_000,
  min: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
}

/**
 * `10 minutes ago`, `90s ago`, or ISO 8601 (`2026-11-30T11:00:00Z`; without a zone it is this machine's). Throws
 * BAD_MOMENT for anything else and for what is not in the past.
 */
export function parseMoment(text: string, now: Date = new Date()): Date {
  const ago = /^(\d+(?:\.\d+)?)\s*(?:([smhd])|(sec|second|min|minute|hour|day)s?)\s+ago$/i.exec(text.trim())
  const unit = ago ? units[(ago[2] ?? ago[3])!.toLowerCase()] : undefined
  const moment =
    ago && unit !== undefined
      ? new Date(now.getTime() - Number(ago[1]) * unit)
      : /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$/.test(text.trim())
        ? new Date(text.trim().replace(' ', 'T'))
        : undefined
  const hint = 'Write for instance --at "10 minutes ago" or --at 2026-11-30T11:00:00Z'
  if (!moment || Number.isNaN(moment.getTime())) {
    throw new DevstackError({ kind: 'usage', code: 'BAD_MOMENT', message: `"${text}" is no moment in time.`, hint })
  }
  if (moment.getTime() > now.getTime()) {
    throw new DevstackError({ kind: 'usage', code: 'BAD_MOMENT', message: `"${text}" is in the future.`, hint })
  }
  return moment
}

/** For PostgreSQL and people: `2026-11-30 11:00:00.123+00`. */
export function formatMoment(moment: Date): string {
  return `${moment.toISOString().replace('T', ' ').slice(0, -1)}+00`
}
