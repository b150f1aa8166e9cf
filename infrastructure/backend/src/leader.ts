import { formatHost, type Host } from './hosts.ts'

/** What one member said of itself. `system` is the cluster's identifier, `timeline` rises with each promotion. */
export type Standing =
  | { readonly role: 'leader'; readonly system: string; readonly timeline: number }
  | { readonly role: 'replica' }

export interface Leader {
  readonly host: Host
  readonly system: string
  readonly timeline: number
}

/** Asks one member. Rejects when it can not be reached or does not answer in the probe's own time; honours the signal. */
export type Probe = (host: Host, signal: AbortSignal) => Promise<Standing>

/** No member took writes; the message says what each of them said. */
export class NoLeader extends Error {
  override readonly name = 'NoLeader'
}

export interface LeaderSearch {
  readonly hosts: readonly Host[]
  readonly probe: Probe
  readonly signal: AbortSignal
  /** The last leader followed: one of the same cluster on an older timeline is stale, and refused. */
  readonly known?: Leader | undefined
  /** How long to wait for others once one said that it leads, in ms. Default 100. */
  readonly graceMs?: number
}

/**
 * Asks all members at once and returns the leader on the newest timeline.
 * A frozen or cut-off member must not hold the answer up, hence the race; two members may both claim to lead while the
 * old one has not noticed, hence the grace and the timeline. Rejects with NoLeader when nobody does.
 */
export async function findLeader(search: LeaderSearch): Promise<Leader> {
  const { hosts, probe, known } = search
  const round = new AbortController()
  const signal = AbortSignal.any([search.signal, round.signal])
  const said = new Map<Host, string>()
  const leaders: Leader[] = []
  const first = Promise.withResolvers<void>()
  const all = Promise.all(
    hosts.map(async (host) => {
      try {
        const standing = await probe(host, signal)
        if (standing.role === 'replica') said.set(host, 'is a replica')
        else if (known !== undefined && known.system === standing.system && standing.timeline < known.timeline)
          said.set(host, `leads an old timeline, ${standing.timeline} after ${known.timeline}`)
        else {
          leaders.push({ host, system: standing.system, timeline: standing.timeline })
          first.resolve()
        }
      } catch (thrown) {
        said.set(host, thrown instanceof Error ? thrown.message : String(thrown))
      }
    }),
  )
  let timer: NodeJS.Timeout | undefined
  try {
    await Promise.race([first.promise, all])
    if (leaders.length > 0) {
      const grace = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, search.graceMs ?? 100)
      })
      await Promise.race([all, grace])
    }
  } finally {
    clearTimeout(timer)
    round.abort()
  }
  search.signal.throwIfAborted()
  const newest = leaders.sort((a, b) => b.timeline - a.timeline)[0]
  if (newest !== undefined) return newest
  const reasons = hosts.map((host) => `${formatHost(host)} ${said.get(host) ?? 'did not answer'}`)
  throw new NoLeader(`no PostgreSQL member takes writes: ${reasons.join('; ')}`)
}
