import { STATUS_CODES } from 'node:http'
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { z } from 'zod'
import type { Cache } from './cache.ts'
import type { Work } from './database.ts'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import { fromDatabase, Problem, type ProblemDetails } from './problem.ts'
import { ClientGone, header, untilGone } from './request.ts'
import { DeadlineExceeded } from './retry.ts'
import { addRoutes } from './routes.ts'
import { continueTrace } from './trace.ts'

export interface ServerOptions {
  readonly log: FastifyBaseLogger
  readonly database: Work
  readonly cache: Cache
  readonly health: Health
  readonly metrics: Metrics
}

/** The HTTP service over its parts; it listens to nothing yet. Closing it waits for the requests in hand. */
export async function createServer(options: ServerOptions): Promise<FastifyInstance> {
  const { health, metrics } = options
  const server = fastify({
    loggerInstance: options.log,
    // One line for each request is enough, and it is ours: with route, status and duration.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    // Requests in hand are finished; connections without one are closed at once.
    forceCloseConnections: 'idle',
    return503OnClosing: true,
  })

  server.setValidatorCompiler<z.ZodType>(({ schema, httpPart }) => (input) => {
    const parsed = schema.safeParse(input)
    if (parsed.success) return { value: parsed.data }
    const errors = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }))
    const detail = `the request's ${httpPart ?? 'input'} is not valid`
    return { error: new Problem({ title: 'Invalid request', status: 400, detail, errors }) }
  })
  server.setSerializerCompiler(() => (value) => JSON.stringify(value))

  server.decorateRequest('trace')
  server.decorateRequest('gone')
  server.addHook('onRequest', async (request, reply) => {
    request.trace = continueTrace(header(request, 'traceparent'), header(request, 'tracestate'))
    request.gone = untilGone(reply.raw)
    const { traceId, spanId, parentId } = request.trace
    request.log = request.log.child({ trace_id: traceId, span_id: spanId, parent_id: parentId })
    reply.header('x-trace-id', traceId)
  })
  let closing = false
  server.addHook('preClose', async () => {
    closing = true
  })
  server.addHook('onSend', async (_, reply) => {
    // Kept alive, the connection of a request that was in hand would hold the close up until it idles out.
    if (closing) reply.header('connection', 'close')
  })
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'unknown'
    const { method } = request
    metrics.request({ method, route, status: reply.statusCode }, reply.elapsedTime / 1_000)
    // Probes come every few seconds for ever and say nothing.
    const level = reply.statusCode >= 500 ? 'error' : /^\/(actuator|metrics)/.test(route) ? 'debug' : 'info'
    request.log[level]({ method, route, status: reply.statusCode, ms: Math.round(reply.elapsedTime) }, 'request')
  })

  server.setNotFoundHandler((request, reply) => {
    const detail = `there is nothing at ${request.method} ${request.url}`
    return reply.code(404).type('application/problem+json').send({ title: 'Not found', status: 404, detail })
  })
  server.setErrorHandler((thrown, request, reply) => {
    const details = problemOf(thrown)
    if (details.status >= 500) request.log.error({ err: thrown }, details.detail)
    if (details.status === 503) reply.header('retry-after', '1')
    const body = { ...details, traceId: request.trace?.traceId }
    return reply.code(details.status).type('application/problem+json').send(body)
  })

  server.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  server.get('/actuator/health', async (_, reply) => {
    const report = await health.report()
    return reply.code(report.status === 'UP' ? 200 : 503).send(report)
  })
  server.get('/actuator/health/liveness', async () => health.live())
  server.get('/actuator/health/readiness', async (_, reply) => {
    const report = await health.ready()
    return reply.code(report.status === 'UP' ? 200 : 503).send(report)
  })
  for (const name of health.names)
    server.get(`/actuator/health/${name}`, async (_, reply) => {
      const component = await health.component(name)
      return reply.code(component.status === 'UP' ? 200 : 503).send(component)
    })

  addRoutes(server, { database: options.database, cache: options.cache })
  return server
}

function problemOf(thrown: unknown): ProblemDetails {
  if (thrown instanceof Problem) return thrown.details
  const found = fromDatabase(thrown)
  if (found !== undefined) return found.details
  // Nobody reads this one; the status, nginx's, is for the log.
  if (thrown instanceof ClientGone) return { title: 'Client gone', status: 499, detail: thrown.message }
  if (thrown instanceof DeadlineExceeded)
    return { title: 'Unavailable', status: 503, detail: 'the database did not come back in time; try again' }
  const { statusCode, message } = thrown as { readonly statusCode?: unknown; readonly message?: unknown }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500)
    return { title: STATUS_CODES[statusCode] ?? 'Bad request', status: statusCode, detail: String(message) }
  return { title: 'Internal error', status: 500, detail: 'the request failed; the log has its trace id' }
}
