/**
 * The runtime on a Docker or Podman engine. Returns at once and connects with the first call; everything heavy (zod,
 * docker-modem, dockerode) is loaded then, so a command that needs no engine does not pay for it.
 */
import { DevstackError } from '../../errors.ts'
import type { EngineEvent, EngineInfo, Runtime } from '../runtime.ts'
import type { ConnectOptions } from './discover.ts'

export type { ConnectOptions } from './discover.ts'

type Engine = Runtime

/** A runtime on the first engine that answers (see discover.ts for the order). Nothing is read or opened before a call. */
export function connect(options: ConnectOptions): Runtime {
  let opening: Promise<Engine> | undefined
  let closed = false

  const engine = async (signal?: AbortSignal): Promise<Engine> => {
    signal?.throwIfAborted()
    if (closed)
      throw new DevstackError({
        kind: 'runtime',
        code: 'RUNTIME_CLOSED',
        message: 'The connection to the container engine was closed.',
      })
    if (!opening) {
      const attempt = open(options)
      opening = attempt
      // A failure is not kept: the engine may be started meanwhile.
      attempt.then(
        (opened) => {
          if (closed) opened.close()
        },
        () => {
          if (opening === attempt) opening = undefined
        },
      )
    }
    return signal ? orAbort(opening, signal) : opening
  }

  return {
    info: async (call) => (await engine(call?.signal)).info(call),
    containers: async (filter, call) => (await engine(call?.signal)).containers(filter, call),
    inspect: async (id, call) => (await engine(call?.signal)).inspect(id, call),
    async *logs(id, log) {
      yield* (await engine(log?.signal)).logs(id, log)
    },
    events: (filter, call) =>
      eagerly(
        engine(call.signal).then((opened) => opened.events(filter, call)),
        call.signal,
      ),
    image: async (reference, call) => (await engine(call?.signal)).image(reference, call),
    images: async (filter, call) => (await engine(call?.signal)).images(filter, call),
    networks: async (filter, call) => (await engine(call?.signal)).networks(filter, call),
    volumes: async (filter, call) => (await engine(call?.signal)).volumes(filter, call),
    volumeSizes: async (call) => (await engine(call?.signal)).volumeSizes(call),
    create: async (spec, call) => (await engine(call?.signal)).create(spec, call),
    start: async (id, call) => (await engine(call?.signal)).start(id, call),
    stop: async (id, stop) => (await engine(stop?.signal)).stop(id, stop),
    kill: async (id, kill) => (await engine(kill?.signal)).kill(id, kill),
    pause: async (id, call) => (await engine(call?.signal)).pause(id, call),
    unpause: async (id, call) => (await engine(call?.signal)).unpause(id, call),
    restart: async (id, restart) => (await engine(restart?.signal)).restart(id, restart),
    wait: async (id, call) => (await engine(call?.signal)).wait(id, call),
    remove: async (id, remove) => (await engine(remove?.signal)).remove(id, remove),
    exec: async (id, exec) => (await engine(exec.signal)).exec(id, exec),
    execInteractive: async (id, exec) => (await engine(exec.signal)).execInteractive(id, exec),
    copyOut: async (id, path, call) => (await engine(call?.signal)).copyOut(id, path, call),
    copyIn: async (id, path, tar, call) => (await engine(call?.signal)).copyIn(id, path, tar, call),
    connect: async (network, id, attachment, call) =>
      (await engine(call?.signal)).connect(network, id, attachment, call),
    disconnect: async (network, id, call) => (await engine(call?.signal)).disconnect(network, id, call),
    ensureNetwork: async (spec, call) => (await engine(call?.signal)).ensureNetwork(spec, call),
    removeNetwork: async (name, call) => (await engine(call?.signal)).removeNetwork(name, call),
    ensureVolume: async (spec, call) => (await engine(call?.signal)).ensureVolume(spec, call),
    removeVolume: async (name, call) => (await engine(call?.signal)).removeVolume(name, call),
    build: async (build) => (await engine(build.signal)).build(build),
    pull: async (reference, pull) => (await engine(pull?.signal)).pull(reference, pull),
    tag: async (reference, target, call) => (await engine(call?.signal)).tag(reference, target, call),
    removeImage: async (reference, call) => (await engine(call?.signal)).removeImage(reference, call),
    importImage: async (tar, reference, call) => (await engine(call?.signal)).importImage(tar, reference, call),
    close() {
      closed = true
      opening?.then(
        (opened) => opened.close(),
        () => undefined,
      )
    },
  }
}

async function open(options: ConnectOptions): Promise<Engine> {
  const [session, containers, exec, logs, events, images, build, networks, info] = await Promise.all([
    import('./session.ts').then(({ openSession }) => openSession(options)),
    import('./containers.ts'),
    import('./exec.ts'),
    import('./logs.ts'),
    import('./events.ts'),
    import('./images.ts'),
    import('./build.ts'),
    import('./networks.ts'),
    import('./info.ts'),
  ])
  const image = images.imageCalls(session, options)
  const event = events.eventCalls(session)
  return {
    info: (call): Promise<EngineInfo> => info.engineInfo(session, call?.signal),
    ...containers.containerCalls(session, options),
    ...exec.execCalls(session),
    ...logs.logCalls(session),
    events: event.events,
    ...image,
    ...build.buildCalls(session, image.image),
    ...networks.networkCalls(session),
    close() {
      event.close()
      session.transport.close()
    },
  }
}

/** The promise's outcome, or the signal's reason when that comes first. */
async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Listening starts before the first `next()`; an aborted signal ends it without an error. */
function eagerly(opening: Promise<AsyncIterable<EngineEvent>>, signal: AbortSignal): AsyncIterable<EngineEvent> {
  // Told when it is asked for, not as an unhandled rejection.
  opening.catch(() => undefined)
  return (async function* () {
    let events: AsyncIterable<EngineEvent>
    try {
      events = await opening
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    yield* events
  })()
}
