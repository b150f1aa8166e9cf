import { childTraceparent } from './trace.ts'

export interface Course {
  readonly id: string
  readonly code: string
  readonly title: string
  readonly capacity: number
  readonly enrolled: number
}

export interface Student {
  readonly id: string
  readonly name: string
  readonly email: string
}

export interface Enrollment {
  readonly id: string
  readonly course: { readonly code: string; readonly title: string }
  readonly student: { readonly name: string }
  readonly enrolledAt: string
}

/** What came of a change: done, or why not in words for the person who asked. */
export type Outcome = { readonly state: 'done' } | { readonly state: 'refused'; readonly reason: string }

export interface BackendOptions {
  /** Default `BACKEND_URL`, else http://backend:8080. */
  readonly url?: string
  /** The `traceparent` that the browser or a proxy sent. */
  readonly traceparent?: string | null
  /** How long to wait for an answer, in ms. Default 50 000: the backend itself rides out a failover for 45 s. */
  readonly timeoutMs?: number
}

/** The backend's REST API. Rejects with an Error when it does not answer, or with a status that is no answer to the question. */
export class Backend {
  readonly #url: string
  readonly #traceparent: string
  readonly #timeoutMs: number

  constructor(options: BackendOptions = {}) {
    this.#url = (options.url ?? process.env['BACKEND_URL'] ?? 'http://backend:8080').replace(/\/$/, '')
    // One for all calls: what one page asks is one trace.
    this.#traceparent = childTraceparent(options.traceparent)
    this.#timeoutMs = options.timeoutMs ?? 50_000
  }

  /** Up to 100 courses, by code. */
  courses(): Promise<readonly Course[]> {
    return this.#list('courses')
  }

  /** Up to 100 students, by e-mail address. */
  students(): Promise<readonly Student[]> {
    return this.#list('students')
  }

  /** Up to 100 enrollments. */
  enrollments(): Promise<readonly Enrollment[]> {
    return this.#list('enrollments')
  }

  /** Enrolls a student. A repetition with the same key enrolls nobody twice. */
  async enroll(place: { readonly courseId: string; readonly studentId: string }, key: string): Promise<Outcome> {
    const response = await this.#call('/api/enrollments', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify(place),
    })
    if (response.ok) return { state: 'done' }
    const { detail } = (await response.json().catch(() => ({}))) as { readonly detail?: unknown }
    return { state: 'refused', reason: typeof detail === 'string' ? detail : `the backend answered ${response.status}` }
  }

  /** Whether the backend reaches its database: UP, or why not. */
  async health(): Promise<{ readonly status: 'UP' } | { readonly status: 'DOWN'; readonly reason: string }> {
    try {
      const response = await this.#call('/actuator/health/database')
      if (response.ok) return { status: 'UP' }
      return { status: 'DOWN', reason: `the backend answered ${response.status}` }
    } catch (thrown) {
      return { status: 'DOWN', reason: (thrown as Error).message }
    }
  }

  async #list<T>(collection: string): Promise<readonly T[]> {
    const response = await this.#call(`/api/${collection}?limit=100`)
    const body = (await response.json().catch(() => ({}))) as {
      readonly items?: readonly T[]
      readonly detail?: string
    }
    if (!response.ok || body.items === undefined)
      throw new Error(body.detail ?? `the backend answered ${response.status} to ${collection}`)
    return body.items
  }

  async #call(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = { ...init.headers, traceparent: this.#traceparent }
    const signal = AbortSignal.timeout(this.#timeoutMs)
    try {
      return await fetch(`${this.#url}${path}`, { ...init, headers, signal, cache: 'no-store' })
    } catch (thrown) {
      const { name, cause } = thrown as { readonly name?: string; readonly cause?: { readonly code?: string } }
      const reason = name === 'TimeoutError' ? 'no answer in time' : (cause?.code ?? String(thrown))
      throw new Error(`the backend can not be reached: ${reason}`, { cause: thrown })
    }
  }
}
