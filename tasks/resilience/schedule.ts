/** Random faults as a schedule that a seed repeats, and the shortest part of one that still fails. Pure. */

/** A fault of a schedule: on `service`, or on whoever leads when it is due. */
export interface Step {
  readonly fault: string
  /** A service, `leader` (PostgreSQL) or `master` (Redis). */
  readonly target: string
  readonly details: Readonly<Record<string, number | string>>
  /** How long it lasts before it is healed. */
  readonly forMs: number
  /** Pause after the stack is whole again. */
  readonly pauseMs: number
}

/** Random numbers from 0 to 1 that a seed repeats on every machine (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

type Choice = readonly [fault: string, targets: readonly string[], details?: (random: () => number) => Step['details']]

const any = (name: string): readonly string[] => [1, 2, 3].map((number) => `${name}${number}`)
const choices: readonly Choice[] = [
  ['postgres-kill', ['leader', ...any('postgres')]],
  ['crash', ['leader', ...any('postgres'), ...any('redis'), ...any('etcd'), ...any('sentinel')]],
  ['kill', ['leader', 'master', ...any('postgres'), ...any('redis'), ...any('etcd'), ...any('sentinel')]],
  ['pause', ['leader', 'master', ...any('etcd'), ...any('sentinel')]],
  ['stop', [...any('etcd'), ...any('postgres')]],
  ['partition', ['leader', 'master', ...any('etcd'), ...any('postgres')]],
  ['loss', ['leader', ...any('etcd')], (random) => ({ percent: 10 + Math.floor(random() * 40) })],
  ['bandwidth', ['leader', ...any('redis')], (random) => ({ kilobitPerSecond: 200 + Math.floor(random() * 1800) })],
]

/** A schedule of about `durationMs`, the heals not counted. The same seed and duration give the same schedule. */
export function scheduleOf(seed: number, durationMs: number): readonly Step[] {
  const random = randomOf(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
  const steps: Step[] = []
  let total = 0
  while (total < durationMs) {
    const [fault, targets, details] = pick(choices)
    const forMs = 1000 + Math.floor(random() * 7000)
    const pauseMs = 500 + Math.floor(random() * 2500)
    steps.push({ fault, target: pick(targets), details: details?.(random) ?? {}, forMs, pauseMs })
    total += forMs + pauseMs
  }
  return steps
}

/**
 * The shortest part of a failing schedule found by leaving out ever smaller pieces (delta debugging, Zeller and
 * Hildebrandt 2002). `fails` is asked at most `most` times; the order of the steps stays. When it rejects, because the
 * stack did not survive, the shortest until then is the result, and `ended` says why.
 */
export async function shrink<T>(
  failing: readonly T[],
  fails: (part: readonly T[]) => Promise<boolean>,
  most = Number.POSITIVE_INFINITY,
): Promise<{ readonly shortest: readonly T[]; readonly asked: number; readonly ended?: unknown }> {
  let shortest = failing
  let pieces = 2
  let asked = 0
  while (shortest.length >= 2 && asked < most) {
    const size = Math.ceil(shortest.length / pieces)
    let reduced = false
    for (let start = 0; start < shortest.length && asked < most; start += size) {
      const rest = [...shortest.slice(0, start), ...shortest.slice(start + size)]
      if (rest.length === 0) continue
      asked += 1
      let failed: boolean
      try {
        failed = await fails(rest)
      } catch (thrown) {
        return { shortest, asked: asked - 1, ended: thrown }
      }
      if (failed) {
        shortest = rest
        pieces = Math.max(2, pieces - 1)
        reduced = true
        break
      }
    }
    if (reduced) continue
    if (size === 1) break
    pieces = Math.min(shortest.length, pieces * 2)
  }
  return { shortest, asked }
}

/** A step in words: `pause leader for 3.2 s`. */
export function formatStep({ fault, target, details, forMs }: Step): string {
  const words = Object.entries(details).map(([name, value]) => ` ${name} ${value}`)
  return `${fault} ${target}${words.join('')} for ${(forMs / 1000).toFixed(1)} s`
}
