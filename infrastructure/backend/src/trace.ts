import { randomBytes } from 'node:crypto'

/** A position in a distributed trace: W3C Trace Context, level 1. */
export interface Trace {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits: this service's own span. */
  readonly spanId: string
  /** The caller's span; undefined at the root. */
  readonly parentId: string | undefined
  /** Two hex digits; bit 0 says that the caller records the trace. */
  readonly flags: string
  /** Vendors' own state, handed on as it came. */
  readonly state: string | undefined
}

const form = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/**
 * Continues the caller's trace in a new span, or begins one when the header is missing or breaks the standard:
 * version ff, all-zero ids, upper case, and fields after the flags in version 00 do.
 */
export function continueTrace(traceparent: string | undefined, tracestate?: string): Trace {
  const spanId = randomId(8)
  const match = form.exec(traceparent?.trim() ?? '')
  const [, version, traceId, parentId, flags, rest] = match ?? []
  const valid =
    traceId !== undefined &&
    version !== 'ff' &&
    (version !== '00' || rest === undefined) &&
    !/^0+$/.test(traceId) &&
    !/^0+$/.test(parentId!)
  if (!valid) return { traceId: randomId(16), spanId, parentId: undefined, flags: '00', state: undefined }
  return { traceId, spanId, parentId, flags: flags!, state: tracestate === '' ? undefined : tracestate }
}

/** The header that names this service's span as the parent. */
export function traceparent(trace: Trace): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.flags}`
}

/**
 * Appends key-value pairs to a statement in sqlcommenter's form: keys sorted, values URL-encoded and quoted, undefined
 * ones left out. Nothing of a value can end the comment: `*`, `/` and quotes are encoded.
 */
export function commentSql(sql: string, tags: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(tags)
    .filter((pair): pair is [string, string] => pair[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${encode(key)}='${encode(value)}'`)
  return pairs.length === 0 ? sql : `${sql.trimEnd().replace(/;$/, '')} /*${pairs.join(',')}*/`
}

function encode(text: string): string {
  const wellFormed = text.toWellFormed()
  return encodeURIComponent(wellFormed).replace(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

/** Random hex digits, never all zero. */
function randomId(bytes: number): string {
  const id = randomBytes(bytes)
  if (id.every((byte) => byte === 0)) id[bytes - 1] = 1
  return id.toString('hex')
}
