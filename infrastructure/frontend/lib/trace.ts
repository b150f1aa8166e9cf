import { randomBytes } from 'node:crypto'

const form = /^[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?$/

/**
 * The `traceparent` header for a call that this service makes: a new span in the caller's trace, or in a new trace when
 * the caller sent none that is valid (W3C Trace Context, level 1).
 */
export function childTraceparent(incoming: string | null | undefined): string {
  const match = form.exec(incoming ?? '')
  const valid = match !== null && !incoming!.startsWith('ff')
  const traceId = valid ? match[1]! : randomBytes(16).toString('hex')
  return `00-${traceId}-${randomBytes(8).toString('hex')}-${valid ? match[2]! : '00'}`
}
