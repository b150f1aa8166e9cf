/** Asks whether the container has written a certain line since its present start. */
import type { ServiceHandle } from '../runtime/runtime.ts'
import { lastLine } from './exec.ts'
import { matches } from './http.ts'
import { type NamedProbe, named } from './poll.ts'

export interface LogProbeOptions {
  /** Text a line contains, or what it matches. */
  readonly pattern: string | RegExp
  /** How many such lines it takes; default 1. */
  readonly times?: number
}

interface Cursor {
  readonly startedAt: number
  /** Time of the newest line read. The engine gives lines of that very time again; `sameTime` counts those to skip. */
  at: string | undefined
  sameTime: number
  found: number
  lines: number
  last: string
}

/** Healthy once the line was seen. Each question reads only what is new; a restart of the container starts afresh. */
export function log(options: LogProbeOptions): NamedProbe<ServiceHandle> {
  const { pattern, times = 1 } = options
  const cursors = new WeakMap<ServiceHandle, Cursor>()
  const hit = (line: string) => (typeof pattern === 'string' ? line.includes(pattern) : matches(pattern, line))
  const wanted = typeof pattern === 'string' ? `"${pattern}"` : String(pattern)
  return named(
    (handle) => `a log line of ${handle.service} with ${wanted}`,
    async (handle, { signal, runtime }) => {
      const details = await runtime.inspect(handle.id, { signal })
      if (!details) return { healthy: false, fatal: true, detail: 'the container is gone' }
      if (details.startedAt <= 0) return { healthy: false, detail: 'the container has not started' }
      let cursor = cursors.get(handle)
      if (cursor?.startedAt !== details.startedAt) {
        cursor = { startedAt: details.startedAt, at: undefined, sameTime: 0, found: 0, lines: 0, last: '' }
        cursors.set(handle, cursor)
      }
      const since = cursor.at ?? new Date(details.startedAt).toISOString()
      let skip = cursor.sameTime
      for await (const line of runtime.logs(handle.id, { since, signal })) {
        if (line.at === cursor.at && skip > 0) {
          skip -= 1
          continue
        }
        cursor.sameTime = line.at === cursor.at ? cursor.sameTime + 1 : 1
        cursor.at = line.at
        cursor.lines += 1
        cursor.last = line.text
        if (!hit(line.text)) continue
        cursor.found += 1
        if (cursor.found >= times) return { healthy: true, detail: lastLine(line.text) ?? wanted }
      }
      if (cursor.lines === 0) return { healthy: false, detail: 'the container has written nothing' }
      const count = times === 1 ? '' : `${cursor.found} of ${times} lines seen; `
      return { healthy: false, detail: `${count}last line: ${lastLine(cursor.last) ?? '(empty)'}` }
    },
  )
}
