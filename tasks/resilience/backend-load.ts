/** Clients of the application itself: they see what a user would, the backend's own retries included. */
import { join } from 'node:path'
import { endpoint, type ServiceHandle } from '../../lib/index.ts'
import type { Address } from '../stack/endpoint.ts'
import { requestJson } from '../stack/http.ts'
import { LedgerClients } from './ledger-clients.ts'
import type { Load, LoadContext, RunningLoad } from './load.ts'
import { type Credentials, connectForSetUp, type Member } from './postgres-client.ts'
import { comparePostgres } from './postgres-ledger.ts'
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

/** Every request is a connection of its own. */
const none = { cut: () => undefined }

class BackendLoad implements RunningLoad {
  readonly name = 'http'
  readonly durable = true
  readonly lanes = []
  readonly #clients: LedgerClients
  readonly #prefix: string
  readonly #address: Address
  readonly #place: { readonly members: readonly Member[]; readonly credentials: Credentials }

  constructor(context: LoadContext, connections: number) {
    this.#prefix = `ledger-${context.run.toLowerCase()}-`
    this.#address = addressOf(context.services.find(({ service }) => service === 'backend')!, context.reach)
    this.#place = postgresPlace(context)
    this.#clients = new LedgerClients(join(context.folder, 'http.ledger'))
    this.#clients.start({ connections, everyMs, connect: async () => none, write: (_none, id) => this.#register(id) })
  }

  get ledger() {
    return this.#clients.ledger
  }

  get errors() {
    return this.#clients.errors
  }

  /** Who leads is sampled by the load on PostgreSQL. */
  writable() {
    return { maximum: 0, samples: 0 }
  }

  async #register(id: number): Promise<void> {
    const { status } = await requestJson(this.#address, '/api/students', {
      json: { name: `Ledger ${id}`, email: `${this.#prefix}${id}@example.org` },
      signal: AbortSignal.timeout(requestMs),
    })
    if (status !== 201) throw Object.assign(new Error(`HTTP ${status}`), { code: `HTTP ${status}` })
  }

  stop(): Promise<void> {
    return this.#clients.stop()
  }

  compare(signal: AbortSignal) {
    return comparePostgres(this.#clients, {
      ...this.#place,
      text: `SELECT substr(email, $2::int)::text AS id FROM students WHERE email LIKE $1`,
      values: [`${this.#prefix}%`, this.#prefix.length + 1],
      signal,
    })
  }

  async clear(): Promise<void> {
    const { members, credentials } = this.#place
    const connection = await connectForSetUp(members, credentials)
    try {
      await connection.query('DELETE FROM students WHERE email LIKE $1', [`${this.#prefix}%`], 20_000)
    } finally {
      connection.cut()
    }
  }
}
