/** The container engine, loaded with its client only when a task first asks for it. */
import type { Runtime } from '../runtime/runtime.ts'

/** Methods that give an async iterable rather than a promise. */
const iterating = new Set(['logs', 'events'])

/** A runtime that connects on its first call. */
export function lazyRuntime(environment: Readonly<Record<string, string>>): Runtime {
  let connected: Promise<Runtime> | undefined
  const connect = (): Promise<Runtime> => {
    connected ??= import('../runtime/docker/connect.ts').then(({ connect: open }) => open({ environment }))
    return connected
  }
  return new Proxy({} as Runtime, {
    get: (_, name) => {
      if (typeof name !== 'string' || name === 'then') return undefined
      if (name === 'close') return () => void connected?.then((runtime) => runtime.close())
      if (iterating.has(name)) {
        return async function* (...args: unknown[]) {
          const runtime = (await connect()) as unknown as Record<
            string,
            (...values: unknown[]) => AsyncIterable<unknown>
          >
          yield* runtime[name]!(...args)
        }
      }
      return async (...args: unknown[]) => {
        const runtime = (await connect()) as unknown as Record<string, (...values: unknown[]) => unknown>
        return runtime[name]!(...args)
      }
    },
  })
}
