/**
 * A run as an OpenTelemetry trace, sent as OTLP/HTTP JSON when the run is over: one span a task below one for the run.
 * Settings are the variables of the OpenTelemetry specification ("OTLP exporter configuration"); anything that goes
 * wrong is one warning and never hurts the run.
 */
import { checksum } from '../engine/checksum.ts'
import { messageOf } from '../errors.ts'
import type { Environment } from './format.ts'
import type { Sink } from './reporter.ts'
import { apply, createView, durationOf, type NodeView, type RunView } from './view.ts'

export interface OtelOptions {
  readonly environment: Environment
  readonly warn: (text: string) => void
  /** Default the global one. */
  readonly fetch?: typeof fetch
}

export interface OtelTarget {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

/** W3C Trace Context header value, version 00, sampled: `00-<32 hex>-<16 hex>-01`. */
export function traceparent(traceId: string, spanId: string): string {
  return `00-${traceId}-${spanId}-01`
}

/** The span of a node (or, without one, of the run): the same for everybody who knows the trace, 16 hex digits. */
export function spanIdOf(traceId: string, node?: string): string {
  const id = checksum(`${traceId}\0${node === undefined ? 'run' : `node\0${node}`}`)
  return /^0+$/.test(id) ? '0000000000000001' : id
}

/** Trace and span of a `traceparent` of whoever started this process; undefined when it is none. */
export function parseTraceparent(value: string | undefined): { traceId: string; spanId: string } | undefined {
  const match = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:$|-)/.exec(
    value ?? '',
  )
  return match ? { traceId: match[1]!, spanId: match[2]! } : undefined
}

/** Where to send traces, or undefined when nothing asks for it; `warn` hears of settings that can not be honoured. */
export function otelTarget(environment: Environment, warn: (text: string) => void = () => {}): OtelTarget | undefined {
  const get = (name: string) =>
    environment[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || environment[`OTEL_EXPORTER_OTLP_${name}`]
  const own = environment['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']
  const base = environment['OTEL_EXPORTER_OTLP_ENDPOINT']
  if (!own && !base) return undefined
  if (environment['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || environment['OTEL_TRACES_EXPORTER'] === 'none')
    return undefined
  const protocol = get('PROTOCOL')
  // receivers of http/protobuf take JSON on the same port and path
  if (protocol === 'grpc') {
    warn('Traces are not exported: OTEL_EXPORTER_OTLP_PROTOCOL is grpc, and devstack speaks http/json.')
    return undefined
  }
  const url = own || `${base!.replace(/\/+$/, '')}/v1/traces`
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    warn(`Traces are not exported: "${url}" is not an http or https address.`)
    return undefined
  }
  const headers: Record<string, string> = {}
  for (const pair of (get('HEADERS') ?? '').split(',')) {
    const equals = pair.indexOf('=')
    if (equals > 0) headers[pair.slice(0, equals).trim().toLowerCase()] = decode(pair.slice(equals + 1).trim())
  }
  const timeout = Number(get('TIMEOUT') || 10_000)
  return { url, headers, timeoutMs: Number.isFinite(timeout) && timeout > 0 ? timeout : 10_000 }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A reporter that exports on `close()`; undefined when no endpoint is set. */
export function createOtelReporter(options: OtelOptions): Sink | undefined {
  const { environment, warn } = options
  const target = otelTarget(environment, warn)
  if (!target) return undefined
  const view = createView()
  return {
    report: (event) => void apply(view, event),
    async close() {
      if (!view.started) return
      try {
        for (const body of formatOtlp(view, environment)) await send(target, body, options.fetch ?? fetch)
      } catch (thrown) {
        const cause = thrown instanceof Error && thrown.cause ? `: ${messageOf(thrown.cause)}` : ''
        warn(`Traces could not be sent to ${target.url}: ${messageOf(thrown)}${cause}`)
      }
    },
  }
}

async function send(target: OtelTarget, body: string, request: typeof fetch): Promise<void> {
  const response = await request(target.url, {
    method: 'POST',
    headers: { ...target.headers, 'content-type': 'application/json' },
    body,
    signal: AbortSignal.timeout(target.timeoutMs),
  })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`HTTP status ${response.status}`)
}

const spansInARequest = 1000

/** Bodies of `POST /v1/traces` (opentelemetry-proto, JSON mapping: ids in hex, 64-bit numbers as strings). */
export function formatOtlp(view: RunView, environment: Environment = {}): string[] {
  const { started, finished } = view
  if (!started) return []
  const { traceId } = started
  const parent = parseTraceparent(environment['TRACEPARENT'])
  const endedAt = finished ? view.startedAt + finished.durationMs : Math.max(view.startedAt, ...ends(view))
  const run = {
    traceId,
    spanId: spanIdOf(traceId),
    ...(parent?.traceId === traceId ? { parentSpanId: parent.spanId } : {}),
    name: `devstack run ${started.targets.map((target) => target.task).join(' ')}`,
    kind: 1,
    startTimeUnixNano: nanoseconds(view.startedAt),
    endTimeUnixNano: nanoseconds(endedAt),
    attributes: attributes({ 'devstack.run': view.runId, 'devstack.state': finished?.state ?? 'unfinished' }),
    status: finished?.state === 'succeeded' ? { code: 1 } : { code: 2 },
  }
  const spans: object[] = [run]
  for (const node of view.nodes.values()) if (node.startedAt !== undefined) spans.push(nodeSpan(node, traceId, endedAt))
  const resource = {
    attributes: attributes({
      'service.name': environment['OTEL_SERVICE_NAME'] || 'devstack',
      'service.version': started.version,
      ...resourceAttributes(environment['OTEL_RESOURCE_ATTRIBUTES']),
      ...(environment['OTEL_SERVICE_NAME'] ? { 'service.name': environment['OTEL_SERVICE_NAME'] } : {}),
    }),
  }
  const bodies: string[] = []
  for (let from = 0; from < spans.length; from += spansInARequest) {
    const scopeSpans = [
      { scope: { name: 'devstack', version: started.version }, spans: spans.slice(from, from + spansInARequest) },
    ]
    bodies.push(JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] }))
  }
  return bodies
}

function ends(view: RunView): number[] {
  return [...view.nodes.values()].map((node) => node.endedAt ?? 0)
}

function nodeSpan(node: NodeView, traceId: string, runEnd: number): object {
  const { state, step } = node
  const start = node.startedAt!
  const failed = state.is === 'failed'
  return {
    traceId,
    spanId: spanIdOf(traceId, node.id),
    parentSpanId: spanIdOf(traceId),
    name: node.id,
    kind: 1,
    startTimeUnixNano: nanoseconds(start),
    endTimeUnixNano: nanoseconds(Math.max(start, node.endedAt ?? runEnd)),
    attributes: attributes({
      'devstack.task': node.id,
      'devstack.state': state.is,
      'devstack.attempts': Math.max(1, node.attempts),
      ...(step ? { 'devstack.effect': step.effect, 'devstack.cause': step.cause } : {}),
      ...(durationOf(node) === undefined ? {} : { 'devstack.duration_ms': durationOf(node)! }),
      ...(failed ? { 'error.type': state.error.code } : {}),
    }),
    links: (step?.needs ?? []).map((need) => ({ traceId, spanId: spanIdOf(traceId, need) })),
    status: failed ? { code: 2, message: state.error.message } : state.is === 'cancelled' ? { code: 0 } : { code: 1 },
  }
}

function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n)
}

function attributes(values: Readonly<Record<string, string | number>>): object[] {
  return Object.entries(values).map(([key, value]) => ({
    key,
    value:
      typeof value === 'string'
        ? { stringValue: value }
        : Number.isInteger(value)
          ? { intValue: String(value) }
          : { doubleValue: value },
  }))
}

function resourceAttributes(text: string | undefined): Record<string, string> {
  const found: Record<string, string> = {}
  for (const pair of (text ?? '').split(',')) {
    const equals = pair.indexOf('=')
    if (equals > 0) found[pair.slice(0, equals).trim()] = decode(pair.slice(equals + 1).trim())
  }
  return found
}
