/** Log lines of a container. */
import type { LogLine, LogOptions, Runtime } from '../runtime.ts'
import { containerInspect, read } from './answers.ts'
import { aboutContainer } from './containers.ts'
import { failure } from './failures.ts'
import type { Session } from './session.ts'
import { demultiplexer, type Frame } from './streams.ts'

/** `logs` on an engine. */
export function logCalls(session: Session): Pick<Runtime, 'logs'> {
  return {
    async *logs(idOrName, options = {}) {
      const { signal } = options
      const doing = aboutContainer(session, idOrName, 'Reading the logs of')
      const base = `/containers/${encodeURIComponent(idOrName)}`
      const stop = new AbortController()
      const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal
      const { text } = await session.transport.call({ method: 'GET', path: `${base}/json`, signal: either, doing })
      const raw = read(containerInspect, text, doing).Config.Tty === true
      const stream = await session.transport.stream({
        method: 'GET',
        path: `${base}/logs`,
        query: { stdout: true, stderr: true, timestamps: true, ...logQuery(options) },
        signal: either,
        doing,
      })
      const split = demultiplexer({ raw })
      const lines = lineJoiner({ raw })
      try {
        for await (const chunk of stream)
          for (const frame of split.push(chunk as Uint8Array))
            for (const line of lines.push(frame)) {
              yield line
              // What came in the same chunk is not given to somebody who wants no more.
              signal?.throwIfAborted()
            }
        for (const frame of split.rest()) yield* lines.push(frame)
        yield* lines.rest()
      } catch (error) {
        throw failure(error, doing, signal)
      } finally {
        stop.abort()
        stream.destroy()
      }
    },
  }
}

/** Query of GET /containers/{id}/logs. Times go as `seconds.nanoseconds`, the one form that every engine reads. */
function logQuery(options: LogOptions): Readonly<Record<string, string | number | boolean | undefined>> {
  return {
    follow: options.follow === true,
    since: options.since === undefined ? undefined : unixTime(options.since),
    until: options.until === undefined ? undefined : unixTime(options.until),
    tail: options.tail === undefined ? undefined : String(options.tail),
  }
}

/** Seconds since the epoch, with nine decimals where RFC 3339 text has a fraction. */
export function unixTime(at: string | number): string {
  if (typeof at === 'number') return at.toFixed(9).replace(/\.?0+$/, '') || '0'
  const fraction = /\.(\d{1,9})/.exec(at)?.[1]
  const ms = Date.parse(fraction === undefined ? at : at.replace(/\.\d+/, ''))
  if (Number.isNaN(ms)) throw new RangeError(`"${at}" is no RFC 3339 time`)
  const seconds = Math.floor(ms / 1000)
  return fraction === undefined ? String(seconds) : `${seconds}.${fraction.padEnd(9, '0')}`
}

interface Joiner {
  push(frame: Frame): readonly LogLine[]
  rest(): readonly LogLine[]
}

const stamp = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) ?/

/**
 * Frames to lines. Engines cut lines longer than 16 KiB into several frames and put a timestamp before each piece; the
 * pieces come together again here, with the first one's time. With `raw` (a TTY) a frame may be cut anywhere.
 */
function lineJoiner(options: { readonly raw: boolean }): Joiner {
  const fresh = () => ({ parts: [] as string[], decoder: new TextDecoder() })
  const open = { stdout: fresh(), stderr: fresh() }
  const close = (stream: 'stdout' | 'stderr'): LogLine => {
    const whole = open[stream].parts.join('').replace(/\r$/, '')
    open[stream].parts = []
    const found = stamp.exec(whole)
    return { text: found ? whole.slice(found[0].length) : whole, stream, at: found?.[1] ?? '' }
  }
  return {
    push({ stream, bytes }) {
      const one = open[stream]
      const lines: LogLine[] = []
      let text = one.decoder.decode(bytes, { stream: true })
      // A frame that goes on with a line has a timestamp of its own, in the middle of that line.
      if (!options.raw && one.parts.length > 0) text = text.replace(stamp, '')
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        one.parts.push(text.slice(0, end))
        lines.push(close(stream))
        text = text.slice(end + 1)
      }
      if (text !== '') one.parts.push(text)
      return lines
    },
    rest: () =>
      (['stdout', 'stderr'] as const).flatMap((stream) => (open[stream].parts.length === 0 ? [] : [close(stream)])),
  }
}
