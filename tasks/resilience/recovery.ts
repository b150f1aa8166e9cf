/** When a stack counts as recovered, by what its clients see. */
import { DevstackError } from '../../lib/index.ts'
import { now, until } from './clock.ts'
import type { RunningLoad } from './load.ts'

const longestMs = 180_000

/** Resolves once each load has had writes acknowledged in most quarters of the last second. */
export async function writesFlow(
  loads: readonly RunningLoad[],
  options: { readonly forMs?: number; readonly load?: string; readonly signal: AbortSignal },
): Promise<void> {
  const since = now()
  const settle = options.forMs ?? 3000
  const chosen = loads.filter(({ name, bound }) => !bound && (options.load === undefined || name === options.load))
  const flowing = (): boolean => {
    const time = now()
    if (time - since < settle) return false
    return chosen.every(({ ledger }) => {
      const recent = ledger.all.slice(-200).filter(({ at }) => at > time - 1000)
      return new Set(recent.map(({ at }) => Math.floor((at - time) / 250))).size >= 3
    })
  }
  if (!(await until(flowing, { ms: longestMs, signal: options.signal }))) {
    throw late('writes are acknowledged steadily again')
  }
}

/** The member that leads in place of `old`, as a sampled write proves. */
export async function newLeader(
  loads: readonly RunningLoad[],
  options: { readonly old: string; readonly load: string; readonly signal: AbortSignal },
): Promise<string> {
  const load = loads.find(({ name }) => name === options.load)
  const leader = (): string | undefined =>
    load?.lanes.find(({ member, spans }) => member !== options.old && spans.at(-1)?.state === 'leads')?.member
  const { signal } = options
  if (await until(() => leader() !== undefined, { ms: longestMs, signal, every: 100 })) return leader()!
  throw late(`another member than ${options.old} leads`)
}

/** The stack did not do what was waited for. */
export function late(what: string): DevstackError {
  return new DevstackError({
    kind: 'timeout',
    code: 'EXPERIMENT_NO_RECOVERY',
    message: `The stack did not recover in time: it was waited for until ${what}.`,
  })
}
