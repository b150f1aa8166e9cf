/** Roles of members over time, kept as spans: what the picture draws as lanes. */

/**
 * `leads`: acknowledged a write of the sampler. `alone`: not a replica, but acknowledged nothing. `follows`: a replica.
 * `silent`: no answer.
 */
export type LaneState = 'leads' | 'alone' | 'follows' | 'silent'

export interface LaneSpan {
  readonly from: number
  to: number
  readonly state: LaneState
}

export interface Lane {
  readonly member: string
  readonly spans: readonly LaneSpan[]
}

/** Collects samples into spans. */
export class Lanes {
  readonly #lanes = new Map<string, LaneSpan[]>()

  add(member: string, state: LaneState, at: number): void {
    let spans = this.#lanes.get(member)
    if (!spans) {
      spans = []
      this.#lanes.set(member, spans)
    }
    const last = spans.at(-1)
    if (last) last.to = at
    if (last?.state !== state) spans.push({ from: at, to: at, state })
  }

  all(): readonly Lane[] {
    return [...this.#lanes].map(([member, spans]) => ({ member, spans: spans.map((span) => ({ ...span })) }))
  }

  /** The member that led in the last sample; `undefined` when none did. */
  leader(): string | undefined {
    return [...this.#lanes].find(([, spans]) => spans.at(-1)?.state === 'leads')?.[0]
  }
}

/** Who led from when on, in order; the same leader twice in a row counts once. */
export function leadersOf(lanes: readonly Lane[]): readonly { readonly at: number; readonly member: string }[] {
  const starts = lanes
    .flatMap(({ member, spans }) =>
      spans.filter(({ state }) => state === 'leads').map(({ from }) => ({ at: from, member })),
    )
    .sort((a, b) => a.at - b.at)
  return starts.filter(({ member }, index) => starts[index - 1]?.member !== member)
}

/** A write of the sampler, from when it was sent to when it was acknowledged. */
export interface ProbeWrite {
  readonly member: string
  readonly from: number
  readonly to: number
}

/** How many members accepted writes at the same time: two writes count together only when they overlap. */
export function simultaneous(writes: readonly ProbeWrite[]): number {
  let most = 0
  for (const one of writes) {
    const overlapping = new Set(
      writes.filter(({ from, to }) => from <= one.from && one.from <= to).map(({ member }) => member),
    )
    most = Math.max(most, overlapping.size)
  }
  return most
}
