import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { CacheResult } from './cache.ts'

/** Everything the service counts, in Prometheus' text format. */
export interface Metrics {
  readonly contentType: string
  text(): Promise<string>
  request(labels: { readonly method: string; readonly route: string; readonly status: number }, seconds: number): void
  retry(reason: string): void
  leaderChange(): void
  cache(result: CacheResult): void
  /** Sampled whenever the metrics are read. */
  connections(sample: () => { readonly busy: number; readonly idle: number; readonly waiting: number }): void
}

export function createMetrics(): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  })
  const retries = new Counter({
    name: 'database_retries_total',
    help: 'Attempts of database work that failed and were followed by another',
    labelNames: ['reason'],
    registers,
  })
  const changes = new Counter({
    name: 'database_leader_changes_total',
    help: 'Leaders followed, the first included',
    registers,
  })
  const cache = new Counter({
    name: 'cache_requests_total',
    help: 'Reads and writes of the cache',
    labelNames: ['result'],
    registers,
  })
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    request: ({ method, route, status }, seconds) => requests.observe({ method, route, status }, seconds),
    retry: (reason) => retries.inc({ reason }),
    leaderChange: () => changes.inc(),
    cache: (result) => cache.inc({ result }),
    connections: (sample) => {
      new Gauge({
        name: 'database_connections',
        help: 'Connections to the leader by state, and callers waiting for one',
        labelNames: ['state'],
        registers,
        collect() {
          for (const [state, count] of Object.entries(sample())) this.set({ state }, count)
        },
      })
    },
  }
}
