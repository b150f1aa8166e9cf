/** Samples every PostgreSQL member beside the load: who is a replica, and who acknowledges a write now. */
import { now, pause } from './clock.ts'
import { type Lanes, type ProbeWrite, simultaneous } from './lanes.ts'
import { type Credentials, connectPostgres, type Member, type PostgresConnection } from './postgres-client.ts'

export interface PostgresWatchOptions {
  readonly members: readonly Member[]
  readonly credentials: Credentials
  readonly lanes: Lanes
  /** Where acknowledged writes of the sampler go. */
  readonly probes: ProbeWrite[]
  /** A statement with the parameters run and id. */
  readonly insert: string
  readonly run: string
}

/** A member that does not answer within this counts as silent, or alone, in this sample. */
const sampleMs = 500
const everyMs = 200
/** After this long a write that is not acknowledged is given up; one at a time, not to pile them up in the server. */
const hangMs = 3000

/** The sampler. */
export class PostgresWatch {
  readonly members: readonly Member[]
  readonly #options: PostgresWatchOptions
  #samples = 0
  #maximum = 0
  #id = 0

  constructor(options: PostgresWatchOptions) {
    this.members = options.members
    this.#options = options
  }

  /** Most members that accepted writes at the same time, and how many samples say so. */
  writable(): { readonly maximum: number; readonly samples: number } {
    return { maximum: this.#maximum, samples: this.#samples }
  }

  /** Samples until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const sampled = this.members.map((member) => new Sampled(member, this.#options, () => ++this.#id))
    while (!signal.aborted) {
      const writes = (await Promise.all(sampled.map((one) => one.sample()))).flatMap((write) => (write ? [write] : []))
      this.#samples += 1
      this.#maximum = Math.max(this.#maximum, simultaneous(writes))
      this.#options.probes.push(...writes)
      await pause(everyMs, signal)
    }
    for (const one of sampled) one.close()
  }
}

class Sampled {
  readonly #member: Member
  readonly #options: PostgresWatchOptions
  readonly #nextId: () => number
  #connection: PostgresConnection | undefined
  /** A write that was not acknowledged within its sample; it may still be. */
  #pending: Promise<ProbeWrite | undefined> | undefined

  constructor(member: Member, options: PostgresWatchOptions, nextId: () => number) {
    this.#member = member
    this.#options = options
    this.#nextId = nextId
  }

  close(): void {
    this.#connection?.cut()
  }

  async sample(): Promise<ProbeWrite | undefined> {
    const { lanes, credentials } = this.#options
    const { member } = this.#member
    try {
      if (!this.#pending) {
        this.#connection ??= await connectPostgres(this.#member, credentials, sampleMs)
        const [row] = await this.#connection.query('SELECT pg_is_in_recovery() AS replica', [], sampleMs)
        if (row?.['replica'] !== false) {
          lanes.add(member, 'follows', now())
          return undefined
        }
        this.#pending = this.#write(this.#connection)
      }
      const written = await Promise.race([this.#pending, pause(sampleMs)])
      lanes.add(member, written ? 'leads' : 'alone', written?.from ?? now())
      if (written) this.#pending = undefined
      return written ?? undefined
    } catch {
      lanes.add(member, 'silent', now())
      this.#pending = undefined
      this.#connection?.cut()
      this.#connection = undefined
      return undefined
    }
  }

  async #write(connection: PostgresConnection): Promise<ProbeWrite> {
    const { insert, run } = this.#options
    const sent = now()
    await connection.query(insert, [run, this.#nextId()], hangMs)
    const to = now()
    // of a late one no more is known than that the member took writes when it answered
    return { member: this.#member.member, from: Math.max(sent, to - sampleMs), to }
  }
}
