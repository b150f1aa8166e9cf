/** Clients of the application itself: they see what a user would, the backend's own retries included. */
import { join } from 'node:path'
import { endpoint, messageOf, type ServiceHandle } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { requestJson } from '../stack/http.ts'
import { AcknowledgedWrites, compareLedger, type Holding } from './acknowledged.ts'
import { now, pause, until } from './clock.ts'
import { type ClientError, errorKind, type Load, type LoadContext, type RunningLoad } from './load.ts'
import { type Credentials, connectPostgres, connectPrimary, type Member } from './postgres-client.ts'
import { postgresPlace } from './postgres-load.ts'

const backendPort = 8080
/** Longer than the backend retries: what it gives up is its error, not ours. */
const requestMs = 60_000
const everyMs = 50

/** A load through the backend's HTTP API, when the stack has a backend whose database is migrated. */
export function backendLoad(options: { readonly connections?: number } = {}): Load {
  return {
    name: 'http',
    durable: true,
    applies: async ({ services, reach, signal }) => {
      const backend = services.find(({ service }) => service === 'backend')
      if (!backend) return false
      try {
        const limit = AbortSignal.any([signal, AbortSignal.timeout(5000)])
        const { status } = await requestJson(addressOf(backend, reach), '/api/students?limit=1', { signal: limit })
        return status === 200
      } catch {
        return false
      }
    },
    start: async (context) => new BackendLoad(context, options.connections ?? 2),
  }
}

function addressOf(backend: ServiceHandle, reach: LoadContext['reach']): Address {
  return endpoint(backend, backendPort, { ...reach, prefer: 'published' })
}

class BackendLoad implements RunningLoad {
  readonly name = 'http'
  readonly durable = true
  readonly ledger: AcknowledgedWrites
  readonly errors: ClientError[] = []
  readonly lanes = []
  readonly #prefix: string
  readonly #address: Address
  readonly #place: { readonly members: readonly Member[]; readonly credentials: Credentials }
  readonly #stop = new AbortController()
  readonly #clients: Promise<unknown>
  #next = 0

  constructor(context: LoadContext, connections: number) {
    this.ledger = new AcknowledgedWrites(join(context.folder, 'http.ledger'))
    this.#prefix = `ledger-${context.run.toLowerCase()}-`
    this.#address = addressOf(context.services.find(({ service }) => service === 'backend')!, context.reach)
    this.#place = postgresPlace(context)
    this.#clients = Promise.all(Array.from({ length: connections }, () => this.#client(this.#stop.signal)))
  }

  /** Who leads is sampled by the load on PostgreSQL. */
  writable() {
    return { maximum: 0, samples: 0 }
  }

  async #client(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#next += 1
      const id = this.#next
      const sent = now()
      try {
        const { status } = await requestJson(this.#address, '/api/students', {
          json: { name: `Ledger ${id}`, email: `${this.#prefix}${id}@example.org` },
          signal: AbortSignal.timeout(requestMs),
        })
        if (status !== 201) throw Object.assign(new Error(`HTTP ${status}`), { code: `HTTP ${status}` })
        const at = now()
        this.ledger.add({ id, at, ms: at - sent })
      } catch (thrown) {
        this.errors.push({ at: now(), kind: errorKind(thrown) })
      }
      await pause(everyMs, signal)
    }
  }

  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#clients
    this.ledger.close()
  }

  async compare(signal: AbortSignal) {
    const holdings: Record<string, Holding> = {}
    const ids = this.ledger.all.map(({ id }) => id)
    const complete = async (): Promise<boolean> => {
      await Promise.all(
        this.#place.members.map(async (one) => {
          holdings[one.member] = await this.#held(one)
        }),
      )
      return compareLedger(ids, holdings).members.every(({ error, missing }) => !error && missing.length === 0)
    }
    await until(complete, { ms: 15_000, signal, every: 500 })
    return compareLedger(ids, holdings)
  }

  async #held(member: Member): Promise<Holding> {
    try {
      const connection = await connectPostgres(member, this.#place.credentials, 3000)
      try {
        const text = `SELECT substr(email, $2::int)::text AS id FROM students WHERE email LIKE $1`
        const rows = await connection.query(text, [`${this.#prefix}%`, this.#prefix.length + 1], 20_000)
        return { ids: new Set(rows.map((row) => Number.parseInt(String(row['id']), 10))) }
      } finally {
        connection.cut()
      }
    } catch (thrown) {
      return { error: messageOf(thrown) }
    }
  }

  async clear(): Promise<void> {
    const { members, credentials } = this.#place
    const connection = await connectPrimary(members, { credentials, hint: undefined, connectMs: 2000 })
    try {
      await connection.query('DELETE FROM students WHERE email LIKE $1', [`${this.#prefix}%`], 20_000)
    } finally {
      connection.cut()
    }
  }
}
