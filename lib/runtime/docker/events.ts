/** The engine's events: one stream for all who listen, opened with the first and closed with the last. */
import { setTimeout as delay } from 'node:timers/promises'
import type { z } from 'zod'
import type { EngineEvent, Runtime } from '../runtime.ts'
import { engineEvent } from './answers.ts'
import { failure } from './failures.ts'
import type { Session } from './session.ts'
import { jsonMessages } from './streams.ts'

/** How long a lost engine may stay away before listeners are told. */
const patienceMs = 5_000

interface Listener {
  readonly filter: Readonly<Record<string, string | undefined>>
  push(event: EngineEvent): void
  fail(error: unknown): void
}

/** `events` on an engine, and the way to end its stream. */
export function eventCalls(session: Session): Pick<Runtime, 'events'> & { close(): void } {
  const listeners = new Set<Listener>()
  let upstream: AbortController | undefined

  const listen = async (controller: AbortController, from: number): Promise<void> => {
    const { signal } = controller
    const doing = { what: 'Listening to the engine' }
    // The last instant that was seen, in nanoseconds as text: the stream goes on from there after a break.
    let since: string | undefined = session.local ? (from / 1000).toFixed(3) : undefined
    const seen = new Set<string>()
    let lostAt: number | undefined
    while (!signal.aborted) {
      try {
        const stream = await session.transport.stream({
          method: 'GET',
          path: '/events',
          query: { since, filters: JSON.stringify({ type: ['container', 'network', 'volume', 'image'] }) },
          signal,
          doing,
        })
        lostAt = undefined
        for await (const message of jsonMessages(stream as AsyncIterable<Uint8Array>)) {
          const parsed = engineEvent.safeParse(message)
          if (!parsed.success) continue
          const nanoseconds = BigInt(Math.trunc(parsed.data.timeNano / 1000)) * 1000n
          const key = `${parsed.data.timeNano} ${parsed.data.Actor.ID} ${parsed.data.Action}`
          if (seen.has(key)) continue
          const second = `${nanoseconds / 1_000_000_000n}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}`
          if (second !== since) {
            since = second
            if (seen.size > 512) seen.clear()
          }
          seen.add(key)
          const event = engineFact(parsed.data)
          for (const listener of listeners) if (matches(listener.filter, event)) listener.push(event)
        }
        // The engine closed the stream in order: it is going down, or it restarts.
        await delay(100, undefined, { signal })
      } catch (error) {
        if (signal.aborted) return
        lostAt ??= performance.now()
        if (performance.now() - lostAt > patienceMs) {
          const told = failure(error, doing)
          for (const listener of listeners) listener.fail(told)
          return
        }
        await delay(200, undefined, { signal }).catch(() => undefined)
      }
    }
  }

  const open = (): void => {
    if (upstream) return
    const controller = new AbortController()
    upstream = controller
    void listen(controller, Date.now()).finally(() => {
      if (upstream === controller) upstream = undefined
    })
  }

  return {
    events(filter, { signal }) {
      const waiting: EngineEvent[] = []
      let failed: { error: unknown } | undefined
      let wake = (): void => undefined
      const listener: Listener = {
        filter,
        push(event) {
          waiting.push(event)
          wake()
        },
        fail(error) {
          failed = { error }
          wake()
        },
      }
      const leave = (): void => {
        signal.removeEventListener('abort', leave)
        listeners.delete(listener)
        if (listeners.size === 0) {
          upstream?.abort()
          upstream = undefined
        }
        wake()
      }
      // Listening starts with the call and not with the first `next()`, so that nothing between the two is missed.
      if (!signal.aborted) {
        listeners.add(listener)
        signal.addEventListener('abort', leave)
        open()
      }
      return (async function* () {
        try {
          while (!signal.aborted) {
            const event = waiting.shift()
            if (event) {
              yield event
              continue
            }
            if (failed) throw failed.error
            await new Promise<void>((resolve) => {
              wake = resolve
            })
          }
        } finally {
          leave()
        }
      })()
    },
    close() {
      upstream?.abort()
      upstream = undefined
      listeners.clear()
    },
  }
}

function engineFact(message: z.output<typeof engineEvent>): EngineEvent {
  const { Type, Action, Actor, time, timeNano } = message
  const attributes = Actor.Attributes
  const exitCode = attributes['exitCode'] ?? attributes['containerExitCode']
  const kind = Type === 'network' || Type === 'volume' || Type === 'image' ? Type : 'container'
  return {
    kind,
    // After `exec_create:` stands the whole command, which may hold a password.
    action: Action.startsWith('exec_') ? Action.replace(/:.*$/s, '') : (podmanActions[Action] ?? Action),
    id: Actor.ID,
    name: attributes['name'] ?? Actor.ID,
    labels: attributes,
    ...(exitCode !== undefined && { exitCode: Number(exitCode) }),
    at: timeNano > 0 ? Math.floor(timeNano / 1e6) : time * 1000,
  }
}

/** Podman's words for what Docker calls otherwise. */
const podmanActions: Readonly<Record<string, string>> = { died: 'die', remove: 'destroy' }

const matches = (filter: Readonly<Record<string, string | undefined>>, event: EngineEvent): boolean =>
  Object.entries(filter).every(
    ([name, value]) => event.labels[name] !== undefined && (value === undefined || event.labels[name] === value),
  )
