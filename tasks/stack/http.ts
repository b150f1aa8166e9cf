/**
 * JSON over HTTP/1.1, one request a connection. node:http and not fetch, which takes 30 ms longer to load: a health
 * command is over by then.
 */
import { request } from 'node:http'
import { formatEndpoint } from '../../lib/index.ts'
import type { Address, ReadOptions } from './endpoint.ts'

export interface JsonAnswer {
  readonly status: number
  readonly body: unknown
}

/** Answers larger than this are none of the products asked here. */
const largestBody = 8 * 1024 * 1024

/**
 * Asks for JSON. Any status counts as an answer: Patroni says 503 together with its state. Rejects when there is no
 * connection, no JSON, or when the signal aborts.
 */
export function requestJson(
  target: Address,
  path: string,
  options: ReadOptions & {
    readonly method?: 'GET' | 'POST' | 'PATCH'
    readonly json?: unknown
    /** User and password, sent as RFC 7617 has it. */
    readonly login?: { readonly user: string; readonly password: string }
    /** The answer is text, given as `body`. */
    readonly text?: boolean
  } = {},
): Promise<JsonAnswer> {
  const body = options.json === undefined ? undefined : JSON.stringify(options.json)
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: target.host,
        port: target.port,
        path,
        method: options.method ?? (body === undefined ? 'GET' : 'POST'),
        agent: false,
        ...(options.login ? { auth: `${options.login.user}:${options.login.password}` } : {}),
        headers:
          body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        ...(options.signal ? { signal: options.signal } : {}),
      },
      (answer) => {
        const chunks: Buffer[] = []
        let size = 0
        answer.on('data', (chunk: Buffer) => {
          size += chunk.length
          if (size > largestBody) asked.destroy(new Error(`${where(target, path)} answered more than 8 MiB`))
          else chunks.push(chunk)
        })
        answer.on('error', reject)
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          if (options.text) return resolve({ status: answer.statusCode ?? 0, body: text })
          try {
            resolve({ status: answer.statusCode ?? 0, body: JSON.parse(text) })
          } catch {
            const start = text.slice(0, 80).trim()
            reject(
              new Error(`${where(target, path)} answered ${answer.statusCode} without JSON${start && `: ${start}`}`),
            )
          }
        })
      },
    )
    asked.on('error', reject)
    asked.end(body)
  })
}

function where(target: Address, path: string): string {
  return `http://${formatEndpoint(target)}${path}`
}
