/** When a stack counts as recovered, by what its clients see. */
import { DevstackError, suggest } from '../../lib/index.ts'
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
  if (options.load !== undefined) loadNamed(loads, options.load)
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
  const load = loadNamed(loads, options.load)
  const leader = (): string | undefined =>
    load.lanes.find(({ member, spans }) => member !== options.old && spans.at(-1)?.state === 'leads')?.member
  const { signal } = options
  if (await until(() => leader() !== undefined, { ms: longestMs, signal, every: 100 })) return leader()!
  throw late(`another member than ${options.old} leads`)
}

/** A load by its name. Throws EXPERIMENT_NO_LOAD: to wait for one that is not there would be to wait for nothing. */
export function loadNamed(loads: readonly RunningLoad[], name: string): RunningLoad {
  const found = loads.find((one) => one.name === name)
  if (found) return found
  const names = loads.map((one) => one.name)
  throw new DevstackError({
    kind: 'usage',
    code: 'EXPERIMENT_NO_LOAD',
    message: `The experiment has no load "${name}".${suggest(name, names)}`,
    hint: names.length > 0 ? `Its loads are ${names.join(', ')}.` : 'It has none.',
  })
}

/** The stack did not do what was waited for. */
export function late(what: string): DevstackError {
  return new DevstackError({
    kind: 'timeout',
    code: 'EXPERIMENT_NO_RECOVERY',
    message: `The stack did not recover in time: it was waited for until ${what}.`,
  })
}
