import type { ServerResponse } from 'node:http'
import type { FastifyRequest } from 'fastify'
import type { RunOptions } from './database.ts'
import { Problem } from './problem.ts'
import { type Trace, traceparent } from './trace.ts'

declare module 'fastify' {
  interface FastifyRequest {
    trace: Trace
    /** Aborted when the client closes its connection before it has its answer. */
    gone: AbortSignal
  }
}

/** The client did not wait for its answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone'
}

/** Aborts once an answer can no longer reach its client. */
export function untilGone(answer: ServerResponse): AbortSignal {
  const controller = new AbortController()
  answer.once('close', () => {
    if (!answer.writableFinished) controller.abort(new ClientGone('the client closed its connection'))
  })
  return controller.signal
}

/** What every statement of a request carries, and when it stops: with the request. */
export function runOptions(request: FastifyRequest): RunOptions {
  const tags = {
    application: 'backend',
    route: request.routeOptions.url,
    traceparent: traceparent(request.trace),
    tracestate: request.trace.state,
  }
  return { signal: request.gone, tags }
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
