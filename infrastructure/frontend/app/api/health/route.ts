import { Backend } from '../../../lib/backend.ts'

export const dynamic = 'force-dynamic'

/**
 * 200 while this service serves, with what it knows of the backend; with `?require=backend` 503 when that is down.
 * By itself a backend that is down must not have this service restarted.
 */
export async function GET(request: Request): Promise<Response> {
  const traceparent = request.headers.get('traceparent')
  const backend = await new Backend({ traceparent, timeoutMs: 2_000 }).health()
  const required = new URL(request.url).searchParams.get('require') === 'backend'
  const status = required ? backend.status : 'UP'
  return Response.json({ status, components: { backend } }, { status: status === 'UP' ? 200 : 503 })
}
