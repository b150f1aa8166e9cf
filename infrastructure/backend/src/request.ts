import type { FastifyRequest } from 'fastify'
import type { RunOptions } from './database.ts'
import { Problem } from './problem.ts'
import { type Trace, traceparent } from './trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    trace: Trace
  }
}

/** What every statement of a request carries, and when it stops: with the request. */
export function runOptions(request: FastifyRequest): RunOptions {
  const tags = {
    application: 'backend',
    route: request.routeOptions.url,
    traceparent: traceparent(request.trace),
    tracestate: request.trace.state,
  }
  return { signal: request.signal, tags }
}

/** A request header, of several the first. */
export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** The client's name for a change, by which a repetition is known; undefined without one. */
export function idempotencyKey(request: FastifyRequest): string | undefined {
  const key = header(request, 'idempotency-key')
  if (key === undefined || (key.length > 0 && key.length <= 200)) return key
  const detail = 'an Idempotency-Key has 1 to 200 characters'
  throw new Problem({ title: 'Invalid request', status: 400, detail })
}
