/**
 * Health checks on Podman where no systemd runs its timers: nobody would ever run them, and a container with a health
 * check would stay `starting` for good. So they are asked for, at their own pace, while somebody looks.
 */
import { existsSync } from 'node:fs'
import type { Session } from './session.ts'

/** Between two checks while the container is not healthy yet, so that a gate does not wait for a long interval. */
const eagerMs = 250

export interface HealthChecks {
  /** Runs the check of a container when one is due. Never rejects but for an aborted signal. */
  run(
    container: { readonly id: string; readonly status: string; readonly intervalMs: number },
    signal?: AbortSignal,
  ): Promise<boolean>
}

/** Undefined where the engine runs health checks by itself. */
export function podmanHealthChecks(session: Session): HealthChecks | undefined {
  if (session.kind !== 'podman' || !session.local || existsSync('/run/systemd/system')) return undefined
  const last = new Map<string, number>()
  return {
    async run({ id, status, intervalMs }, signal) {
      const now = performance.now()
      const pause = status === 'healthy' ? intervalMs : Math.min(eagerMs, intervalMs)
      if (now - (last.get(id) ?? Number.NEGATIVE_INFINITY) < pause) return false
      last.set(id, now)
      // A check that fails, or a container that has just ended, shows in the inspection that follows.
      await session.transport
        .call({
          method: 'GET',
          path: `/libpod/containers/${id}/healthcheck`,
          signal,
          doing: { what: `Checking the health of container "${id.slice(0, 12)}"`, thing: 'container', name: id },
        })
        .catch(() => undefined)
      signal?.throwIfAborted()
      return true
    },
  }
}
