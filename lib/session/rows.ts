/** How the rows of a run went so far, for tasks that sum up what they needed. */
import type { Row } from '../context.ts'
import type { NodeEvent } from '../engine/events.ts'

/** Folds the events of nodes into rows: steps that are part of the same thing share one. */
export class Rows {
  readonly #names = new Map<string, string>()
  readonly #rows = new Map<string, { durationMs: number; answer?: string }>()

  /** Says which row a node belongs to; without, its own. */
  name(node: string, row: string | undefined): void {
    if (row !== undefined) this.#names.set(node, row)
  }

  take(node: string, event: NodeEvent): void {
    if (event.type === 'gate-answer') this.#row(node).answer = event.answer
    else if (event.type === 'node-done' || event.type === 'node-ready') this.#row(node).durationMs += event.durationMs
  }

  all(): ReadonlyMap<string, Row> {
    return this.#rows
  }

  #row(node: string): { durationMs: number; answer?: string } {
    const name = this.#names.get(node) ?? node
    const known = this.#rows.get(name)
    if (known) return known
    const made = { durationMs: 0 }
    this.#rows.set(name, made)
    return made
  }
}
