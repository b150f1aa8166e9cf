/**
 * The runtime on a Docker or Podman engine. Returns at once and connects with the first call; everything heavy (zod,
 * docker-modem, dockerode) is loaded then, so a command that needs no engine does not pay for it.
 */
import { DevstackError } from '../../errors.ts'
import type { EngineEvent, Runtime } from '../runtime.ts'
import type { ConnectOptions } from './discover.ts'
import type { Session } from './session.ts'

export type { ConnectOptions } from './discover.ts'

/** The calls in groups, each loaded with its first call: what only lists does not pay for building. */
const groups = {
  info: async ({ session }: Opened) => {
    const { engineInfo } = await import('./info.ts')
    return { info: (call?: { readonly signal?: AbortSignal }) => engineInfo(session, call?.signal) }
  },
  containers: async ({ session, options }: Opened) =>
    (await import('./containers.ts')).containerCalls(session, options),
  exec: async ({ session }: Opened) => (await import('./exec.ts')).execCalls(session),
  logs: async ({ session }: Opened) => (await import('./logs.ts')).logCalls(session),
  events: async ({ session }: Opened) => (await import('./events.ts')).eventCalls(session),
  images: async ({ session, options }: Opened) => (await import('./images.ts')).imageCalls(session, options),
  build: async ({ session, options }: Opened) => {
    const [{ buildCalls }, { imageCalls }] = await Promise.all([import('./build.ts'), import('./images.ts')])
    return buildCalls(session, imageCalls(session, options).image)
  },
  networks: async ({ session }: Opened) => (await import('./networks.ts')).networkCalls(session),
}
type Groups = typeof groups
type Calls<Name extends keyof Groups> = Awaited<ReturnType<Groups[Name]>>

interface Opened {
  readonly session: Session
  readonly options: ConnectOptions
  readonly loaded: Map<keyof Groups, Promise<unknown>>
}

/** A runtime on the first engine that answers (see discover.ts for the order). Nothing is read or opened before a call. */
export function connect(options: ConnectOptions): Runtime {
  let opening: Promise<Opened> | undefined
  let closed = false

  const open = (): Promise<Opened> => {
    if (opening) return opening
    const attempt = import('./session.ts').then(async ({ openSession }): Promise<Opened> => {
      return { session: await openSession(options), options, loaded: new Map() }
    })
    opening = attempt
    // A failure is not kept: the engine may be started meanwhile.
    attempt.then(
      (opened) => {
        if (closed) void shut(opened)
      },
      () => {
        if (opening === attempt) opening = undefined
      },
    )
    return attempt
  }

  const on = async <Name extends keyof Groups>(name: Name, signal?: AbortSignal): Promise<Calls<Name>> => {
    signal?.throwIfAborted()
    if (closed)
      throw new DevstackError({
        kind: 'runtime',
        code: 'RUNTIME_CLOSED',
        message: 'The connection to the container engine was closed.',
      })
    const opened = await (signal ? orAbort(open(), signal) : open())
    let calls = opened.loaded.get(name)
    if (!calls) {
      calls = groups[name](opened)
      opened.loaded.set(name, calls)
    }
    return calls as Promise<Calls<Name>>
  }

  return {
    info: async (call) => (await on('info', call?.signal)).info(call),
    containers: async (filter, call) => (await on('containers', call?.signal)).containers(filter, call),
    inspect: async (id, call) => (await on('containers', call?.signal)).inspect(id, call),
    async *logs(id, log) {
      yield* (await on('logs', log?.signal)).logs(id, log)
    },
    events: (filter, call) =>
      eagerly(
        on('events', call.signal).then((opened) => opened.events(filter, call)),
        call.signal,
      ),
    image: async (reference, call) => (await on('images', call?.signal)).image(reference, call),
    images: async (filter, call) => (await on('images', call?.signal)).images(filter, call),
    networks: async (filter, call) => (await on('networks', call?.signal)).networks(filter, call),
    volumes: async (filter, call) => (await on('networks', call?.signal)).volumes(filter, call),
    volumeSizes: async (call) => (await on('networks', call?.signal)).volumeSizes(call),
    create: async (spec, call) => (await on('containers', call?.signal)).create(spec, call),
    start: async (id, call) => (await on('containers', call?.signal)).start(id, call),
    stop: async (id, stop) => (await on('containers', stop?.signal)).stop(id, stop),
    kill: async (id, kill) => (await on('containers', kill?.signal)).kill(id, kill),
    pause: async (id, call) => (await on('containers', call?.signal)).pause(id, call),
    unpause: async (id, call) => (await on('containers', call?.signal)).unpause(id, call),
    restart: async (id, restart) => (await on('containers', restart?.signal)).restart(id, restart),
    wait: async (id, call) => (await on('containers', call?.signal)).wait(id, call),
    rename: async (id, name, call) => (await on('containers', call?.signal)).rename(id, name, call),
    remove: async (id, remove) => (await on('containers', remove?.signal)).remove(id, remove),
    exec: async (id, exec) => (await on('exec', exec.signal)).exec(id, exec),
    execInteractive: async (id, exec) => (await on('exec', exec.signal)).execInteractive(id, exec),
    copyOut: async (id, path, call) => (await on('images', call?.signal)).copyOut(id, path, call),
    copyIn: async (id, path, tar, call) => (await on('images', call?.signal)).copyIn(id, path, tar, call),
    connect: async (network, id, attachment, call) =>
      (await on('containers', call?.signal)).connect(network, id, attachment, call),
    disconnect: async (network, id, call) => (await on('containers', call?.signal)).disconnect(network, id, call),
    ensureNetwork: async (spec, call) => (await on('networks', call?.signal)).ensureNetwork(spec, call),
    removeNetwork: async (name, call) => (await on('networks', call?.signal)).removeNetwork(name, call),
    ensureVolume: async (spec, call) => (await on('networks', call?.signal)).ensureVolume(spec, call),
    removeVolume: async (name, call) => (await on('networks', call?.signal)).removeVolume(name, call),
    build: async (build) => (await on('build', build.signal)).build(build),
    pull: async (reference, pull) => (await on('images', pull?.signal)).pull(reference, pull),
    tag: async (reference, target, call) => (await on('images', call?.signal)).tag(reference, target, call),
    removeImage: async (reference, call) => (await on('images', call?.signal)).removeImage(reference, call),
    importImage: async (tar, reference, call) => (await on('images', call?.signal)).importImage(tar, reference, call),
    close() {
      closed = true
      opening?.then(shut, () => undefined)
    },
  }
}

/** Ends streams and idle connections. */
async function shut({ session, loaded }: Opened): Promise<void> {
  session.transport.close()
  const events = (await loaded.get('events')) as Calls<'events'> | undefined
  events?.close()
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
