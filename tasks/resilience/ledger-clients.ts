/** What all loads share: clients that write unique ids, the ledger of what was acknowledged to them, and its comparison. */
import { messageOf } from '../../lib/index.ts'
import { AcknowledgedWrites, compareLedger, type Holding, type LedgerVerdict } from './acknowledged.ts'
import { now, pause, until, within } from './clock.ts'
import { type ClientError, errorKind } from './load.ts'

/** What a client writes through; `cut` ends it without a goodbye. */
interface Connection {
  cut(): void
}

export interface ClientOptions<C extends Connection> {
  /** How many write at the same time. */
  readonly connections: number
  /** Pause of each client between two writes. */
  readonly everyMs: number
  readonly connect: () => Promise<C>
  /** Resolves once the write is acknowledged. What it rejects with is noted, and the connection is made anew. */
  readonly write: (connection: C, id: number) => Promise<unknown>
}

/** How long a replica may take to apply what it has received. */
const catchUpMs = 15_000

/** How long one member is waited for: a frozen one accepts the question and never answers. */
const heldMs = 25_000

/** The clients of one load. */
export class LedgerClients {
  readonly ledger: AcknowledgedWrites
  readonly errors: ClientError[] = []
  readonly #stop = new AbortController()
  #running: Promise<unknown> = Promise.resolve()
  #next = 0

  /** `file`: where the ledger is kept. */
  constructor(file: string) {
    this.ledger = new AcknowledgedWrites(file)
  }

  /** Starts them, and whatever is to run beside them until they are stopped. */
  start<C extends Connection>(options: ClientOptions<C>, beside?: (signal: AbortSignal) => Promise<unknown>): void {
    const { signal } = this.#stop
    const clients = Array.from({ length: options.connections }, () => this.#client(options, signal))
    this.#running = Promise.all(beside ? [...clients, beside(signal)] : clients)
  }

  async #client<C extends Connection>(options: ClientOptions<C>, signal: AbortSignal): Promise<void> {
    let connection: C | undefined
    while (!signal.aborted) {
      try {
        connection ??= await options.connect()
        this.#next += 1
        const id = this.#next
        const sent = now()
        await options.write(connection, id)
        const at = now()
        this.ledger.add({ id, at, ms: at - sent })
        await pause(options.everyMs, signal)
      } catch (thrown) {
        connection?.cut()
        connection = undefined
        this.errors.push({ at: now(), kind: errorKind(thrown) })
        await pause(50, signal)
      }
    }
    connection?.cut()
  }

  /** Ends them. Idempotent. */
  async stop(): Promise<void> {
    if (this.#stop.signal.aborted) return
    this.#stop.abort()
    await this.#running
    this.ledger.close()
  }

  /** Asks every member what it holds, again and again until that is settled or 15 s have passed. */
  async compare(
    members: readonly string[],
    options: {
      /** What a member holds; its signal ends when that takes too long. */
      readonly held: (member: string, signal: AbortSignal) => Promise<ReadonlySet<number>>
      /** How long a member is waited for; default 25 s. */
      readonly heldMs?: number
      /** Whether asking again would change nothing; default: every member holds every acknowledged write. */
      readonly settled?: (verdict: LedgerVerdict) => boolean
      readonly signal: AbortSignal
    },
  ): Promise<LedgerVerdict> {
    const ids = this.ledger.all.map(({ id }) => id)
    const settled = options.settled ?? (({ members }) => members.every(({ missing }) => missing.length === 0))
    let verdict = compareLedger(ids, {})
    const ask = async (): Promise<boolean> => {
      const holdings = await Promise.all(
        members.map(async (member): Promise<readonly [string, Holding]> => {
          const limit = options.heldMs ?? heldMs
          const message = `no answer within ${limit / 1000} s`
          const late = new AbortController()
          const signal = AbortSignal.any([options.signal, late.signal])
          try {
            const ids = await within(limit, options.held(member, signal), message, () => late.abort(new Error(message)))
            return [member, { ids }]
          } catch (thrown) {
            return [member, { error: messageOf(thrown) }]
          }
        }),
      )
      verdict = compareLedger(ids, Object.fromEntries(holdings))
      return verdict.members.every(({ error }) => error === undefined) && settled(verdict)
    }
    await until(ask, { ms: catchUpMs, signal: options.signal, every: 500 })
    return verdict
  }
}
