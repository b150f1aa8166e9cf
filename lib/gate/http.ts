/** Asks over HTTP. A client of its own on node:http: no connection outlives its question. */
import { type IncomingHttpHeaders, request as plainRequest } from 'node:http'
import { request as tlsRequest } from 'node:https'
import type { ServiceHandle } from '../runtime/runtime.ts'
import { endpoint, formatEndpoint, reachOf } from './endpoint.ts'
import { type NamedProbe, named } from './poll.ts'

export interface HttpOptions {
  /** Port of the container; excludes `url`. Default 80. */
  readonly port?: number
  /** Absolute address, for what is no container of ours. */
  readonly url?: string
  /** Default `/`. */
  readonly path?: string
  readonly method?: string
  /** Statuses that count as healthy; default any from 200 to 299. */
  readonly status?: number | readonly number[] | ((status: number) => boolean)
  /** What the body must hold. A function gives `true`, or what is wrong. */
  readonly body?: string | RegExp | ((body: string) => boolean | string)
  readonly headers?: Readonly<Record<string, string>>
}

export interface HttpResponse {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** At most 1 MiB of it, as UTF-8. */
  readonly body: string
}

const longestBody = 1_048_576

/** Healthy when the answer's status, and body if asked for, are as expected. */
export function http(options: HttpOptions): NamedProbe<ServiceHandle> {
  const path = options.path ?? '/'
  const method = options.method ?? 'GET'
  const port = options.port ?? 80
  return named(
    (handle) => `${method} ${options.url ?? `http://${formatEndpoint(endpointOrName(handle, port))}${path}`}`,
    async (handle, { signal, runtime }) => {
      const url =
        options.url ?? `http://${formatEndpoint(endpoint(handle, port, await reachOf(runtime, signal)))}${path}`
      const response = await get(url, { method, headers: options.headers, signal })
      const wrong = statusFault(response.status, options.status) ?? bodyFault(response.body, options.body)
      return wrong === undefined
        ? { healthy: true, detail: `HTTP ${response.status}` }
        : { healthy: false, detail: wrong }
    },
  )
}

function endpointOrName(handle: ServiceHandle, port: number): { readonly host: string; readonly port: number } {
  try {
    return endpoint(handle, port)
  } catch {
    return { host: handle.name, port }
  }
}

/**
 * One request, no redirect followed, connection closed afterwards. Rejects with a short, stable message (`connection
 * refused`) so that equal failures count as equal answers. Speaks plain HTTP, and HTTPS without checking the certificate:
 * a development stack's are its own.
 */
async function get(
  url: string,
  options: {
    readonly method?: string
    readonly headers?: Readonly<Record<string, string>>
    readonly body?: string
    readonly signal: AbortSignal
  },
): Promise<HttpResponse> {
  const { signal, method = 'GET', headers } = options
  const secure = url.startsWith('https:')
  const send = secure ? tlsRequest : plainRequest
  return new Promise((resolve, reject) => {
    const request = send(
      url,
      {
        method,
        headers: { connection: 'close', ...headers },
        agent: false,
        signal,
        ...(secure ? { rejectUnauthorized: false } : {}),
      },
      (response) => {
        const chunks: Buffer[] = []
        let size = 0
        const finish = () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString('utf8'),
          })
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk)
          size += chunk.length
          if (size < longestBody) return
          finish()
          request.destroy()
        })
        response.on('end', finish)
        response.on('error', (error) => reject(socketError(error)))
      },
    )
    request.on('error', (error) => reject(socketError(error)))
    request.end(options.body)
  })
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection closed without an answer',
  EPIPE: 'connection closed without an answer',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'connection timed out',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name server does not answer',
  HPE_INVALID_CONSTANT: 'what answers does not speak HTTP',
}

/** A network error in words that do not change from attempt to attempt. */
export function socketError(error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException
  const known = code === undefined ? undefined : reasons[code]
  return new Error(known ?? message, { cause: error })
}

function statusFault(status: number, wanted: HttpOptions['status']): string | undefined {
  if (wanted === undefined) return status >= 200 && status < 300 ? undefined : `HTTP ${status}`
  if (typeof wanted === 'function') return wanted(status) ? undefined : `HTTP ${status}`
  const list = typeof wanted === 'number' ? [wanted] : wanted
  return list.includes(status) ? undefined : `HTTP ${status} instead of ${list.join(' or ')}`
}

function bodyFault(body: string, wanted: HttpOptions['body']): string | undefined {
  if (wanted === undefined) return undefined
  if (typeof wanted === 'string') return body.includes(wanted) ? undefined : `the body does not contain "${wanted}"`
  if (wanted instanceof RegExp) return matches(wanted, body) ? undefined : `the body does not match ${wanted}`
  const verdict = wanted(body)
  return verdict === true ? undefined : verdict === false ? 'the body is not as expected' : verdict
}

/** A pattern with the flag g or y remembers where it stopped; a probe must not. */
export function matches(pattern: RegExp, text: string): boolean {
  pattern.lastIndex = 0
  return pattern.test(text)
}
