/** The reference applications as services of the stack: their gates, and the image both are made from. */
import { join } from 'node:path'
import {
  type Answer,
  type BuiltImage,
  type ContainerGate,
  gate,
  http,
  imageTask,
  type Needs,
  type Probe,
  type ServiceHandle,
  type Task,
  z,
} from '../../lib/index.ts'
import { extraCertificates } from './certificates.ts'
import { addressOf } from './endpoint.ts'
import { requestJson } from './http.ts'

const backendPort = 8080
const frontendPort = 3000

const component = z.object({ status: z.string(), details: z.record(z.string(), z.unknown()).optional() })
const reportSchema = z.object({ status: z.string(), components: z.record(z.string(), component).default({}) })
export type BackendReport = z.infer<typeof reportSchema>

/**
 * What a readiness report amounts to. A schema that is missing is no fault of the service: on a new stack the migrations
 * come after it, so that alone does not hold it up.
 */
export function judgeBackend(report: BackendReport): Answer {
  if (report.status === 'UP') return { healthy: true, detail: 'ready' }
  const down = Object.entries(report.components).filter(([, { status }]) => status !== 'UP')
  const words = down.map(([name, { details }]) => `${name}: ${String(details?.['error'] ?? 'down')}`).join('; ')
  if (report.status === 'DOWN' && down.length > 0 && down.every(([name]) => name === 'schema'))
    return { healthy: true, detail: `serves; ${words}` }
  return { healthy: false, detail: words || report.status.toLowerCase().replaceAll('_', ' ') }
}

function backendReady(): Probe<ServiceHandle> {
  return async (handle, context) => {
    const target = await addressOf(handle, backendPort, context)
    const { body } = await requestJson(target, '/actuator/health/readiness', { signal: context.signal })
    return judgeBackend(reportSchema.parse(body))
  }
}

/** Their gates, by service name. */
export function applicationGates(): Record<string, ContainerGate<ServiceHandle>> {
  return {
    backend: gate({
      description: 'backend ready: PostgreSQL reached, Redis by its side',
      question: 'GET /actuator/health/readiness',
      probe: backendReady(),
      within: '120s',
    }),
    gateway: gate({
      description: 'gateway leads to the backend',
      question: 'GET :8080/actuator/health/liveness',
      probe: http({ port: backendPort, path: '/actuator/health/liveness' }),
      within: '60s',
    }),
    frontend: gate({
      description: 'frontend serves',
      question: 'GET /api/health',
      probe: http({ port: frontendPort, path: '/api/health' }),
      // in its dev image the first request compiles
      attemptTimeout: 30_000,
      within: '180s',
    }),
  }
}

/** The image with Node.js; trusts what this machine trusts, so that its packages can be fetched behind a proxy. */
export async function nodeImageTask(
  root: string,
  options: {
    readonly before: Needs
    readonly maker: (reference: string) => Task<BuiltImage> | undefined
    readonly environment: Readonly<Record<string, string>>
  },
): Promise<Task<BuiltImage>> {
  const { before, maker, environment } = options
  return imageTask(
    {
      context: join(root, 'infrastructure', 'node'),
      tags: ['devstack-node'],
      args: { EXTRA_CA: await extraCertificates({ environment }) },
    },
    { before, maker },
  )
}
