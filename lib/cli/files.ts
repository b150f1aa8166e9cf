/** Sinks beside the shown one: files the user named, and telemetry that the environment asks for. */
import { resolve } from 'node:path'
import type { Sink } from '../report/index.ts'
import type { Io } from './io.ts'
import type { Options } from './options.ts'

/** `--junit`, `--trace` and OpenTelemetry, each loaded only when wanted. */
export async function fileReporters(options: Options, io: Io, warn: (text: string) => void): Promise<readonly Sink[]> {
  const sinks: Sink[] = []
  if (options.junit !== undefined) {
    const { createJunitReporter } = await import('../report/junit.ts')
    sinks.push(createJunitReporter({ file: resolve(io.cwd, options.junit) }))
  }
  if (options.trace !== undefined) {
    const { createTraceReporter } = await import('../report/trace.ts')
    sinks.push(createTraceReporter({ file: resolve(io.cwd, options.trace) }))
  }
  if (Object.keys(io.environment).some((name) => name.startsWith('OTEL_EXPORTER_OTLP'))) {
    const { createOtelReporter } = await import('../report/otel.ts')
    const sink = createOtelReporter({ environment: io.environment, warn })
    if (sink) sinks.push(sink)
  }
  return sinks
}
