/**
 * Tells gates about the end of containers. One event stream per runtime is shared by all gates that wait; it is open
 * only while somebody waits.
 */
import type { EngineEvent, RuntimeReader } from '../runtime/runtime.ts'

export interface Watcher {
  /** Ids and names of the containers it wants to hear of. */
  readonly containers: readonly string[]
  event(event: EngineEvent): void
  /** The engine is gone: no event will come any more. */
  lost(error: unknown): void
}

interface Stream {
  readonly watchers: Set<Watcher>
  readonly controller: AbortController
}

const streams = new WeakMap<RuntimeReader, Stream>()

/** Hears of container events until the returned function is called. The last one to leave closes the stream. */
export function watchContainers(runtime: RuntimeReader, watcher: Watcher): () => void {
  let stream = streams.get(runtime)
  if (!stream) {
    stream = { watchers: new Set(), controller: new AbortController() }
    streams.set(runtime, stream)
    void pump(runtime, stream)
  }
  const joined = stream
  joined.watchers.add(watcher)
  return () => {
    joined.watchers.delete(watcher)
    if (joined.watchers.size > 0) return
    if (streams.get(runtime) === joined) streams.delete(runtime)
    joined.controller.abort()
  }
}

async function pump(runtime: RuntimeReader, stream: Stream): Promise<void> {
  const { signal } = stream.controller
  try {
    for await (const event of runtime.events({}, { signal })) {
      if (signal.aborted) return
      if (event.kind !== 'container') continue
      for (const watcher of [...stream.watchers]) {
        if (watcher.containers.some((wanted) => wanted === event.id || wanted === event.name)) watcher.event(event)
      }
    }
  } catch (error) {
    if (signal.aborted) return
    if (streams.get(runtime) === stream) streams.delete(runtime)
    for (const watcher of [...stream.watchers]) watcher.lost(error)
  }
}
