/** The processes of a run's nodes, from their start to the end of the node or of the run. */
import { ProcessSet } from './processes.ts'
import type { Session } from './session.ts'

/** What the tries of every node started, until the node ends. */
export class Tries {
  readonly #session: Session
  readonly #runId: string
  readonly #open = new Map<string, { readonly set: ProcessSet; readonly forget: () => void }[]>()
  readonly #left: { readonly node: string; readonly set: ProcessSet }[] = []

  constructor(session: Session, runId: string) {
    this.#session = session
    this.#runId = runId
  }

  /** A new set, which ends when the signal aborts. */
  begin(node: string, attempt: number, signal: AbortSignal): ProcessSet {
    const { delays, urgency } = this.#session
    const set = new ProcessSet(`${this.#runId}:${node}:${attempt}`)
    const onAbort = (): void => void set.stop(delays, urgency)
    signal.addEventListener('abort', onAbort, { once: true })
    const forget = (): void => signal.removeEventListener('abort', onAbort)
    this.#open.set(node, [...(this.#open.get(node) ?? []), { set, forget }])
    return set
  }

  /** Ends what a node left running; after a success it may stay. */
  end(node: string, keep: boolean): Promise<void> | undefined {
    const open = this.#open.get(node)
    if (!open) return undefined
    this.#open.delete(node)
    for (const { forget } of open) forget()
    if (keep) {
      for (const { set } of open) if (set.open) this.#left.push({ node, set })
      return undefined
    }
    const { delays, urgency } = this.#session
    return Promise.all(open.map(({ set }) => set.stop(delays, urgency))).then(() => undefined)
  }

  /** Ends what nodes that have succeeded left running, but for the spared ones. */
  async endLeft(spared: ReadonlySet<string>): Promise<void> {
    const { delays, urgency } = this.#session
    const left = this.#left.filter(({ node }) => !spared.has(node))
    await Promise.all(left.map(({ set }) => set.stop(delays, urgency)))
  }
}
