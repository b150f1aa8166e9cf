/** A runtime that can only look: what a plan is made with, so that planning provably changes nothing. */
import { DevstackError } from '../errors.ts'
import type { Runtime, RuntimeReader } from './runtime.ts'

/** The calls that change nothing. Everything else throws RUNTIME_READ_ONLY, also what a later version adds. */
const readers: Readonly<Record<keyof RuntimeReader, true>> = {
  info: true,
  containers: true,
  inspect: true,
  logs: true,
  events: true,
  image: true,
  images: true,
  networks: true,
  volumes: true,
  volumeSizes: true,
}

/** The runtime with its writing calls barred: each rejects with RUNTIME_READ_ONLY, naming the call. `close` still closes. */
export function readOnlyRuntime(runtime: Runtime): RuntimeReader & Runtime {
  return new Proxy(runtime, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver)
      if (typeof value !== 'function' || property === 'close' || property in readers) return value
      return async () => {
        throw new DevstackError({
          kind: 'runtime',
          code: 'RUNTIME_READ_ONLY',
          message: `A plan may only look, and "${String(property)}" would change the engine.`,
          hint: 'Move the call into the `run` of the task.',
        })
      }
    },
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
  })
}
