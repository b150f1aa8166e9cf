/** Containers: from creating to removing. */

import { access } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { ContainerSpec, Runtime } from '../runtime.ts'
import * as answers from './answers.ts'
import { detailsOf, type Inspected, summaryOf } from './container-answers.ts'
import { type ConnectOptions, isCode } from './discover.ts'
import { type Doing, refused, wordsOf } from './failures.ts'
import type { HealthChecks } from './podman-health.ts'
import type { Session } from './session.ts'

type Calls = Pick<
  Runtime,
  | 'containers'
  | 'inspect'
  | 'create'
  | 'start'
  | 'stop'
  | 'kill'
  | 'pause'
  | 'unpause'
  | 'restart'
  | 'wait'
  | 'rename'
  | 'remove'
  | 'connect'
  | 'disconnect'
>

/** Something done to a container, which is told by its name once that was seen; `verb` is followed by what it is done to. */
export function aboutContainer({ names }: Session, idOrName: string, verb: string, rest = ''): Doing {
  const name = names.get(idOrName) ?? idOrName
  return { what: `${verb} container "${name}"${rest}`, thing: 'container', name }
}

const path = (idOrName: string, rest = ''): string => `/containers/${encodeURIComponent(idOrName)}${rest}`

/** A label filter as engines take it. */
export function labelFilter(filter: Readonly<Record<string, string | undefined>>): string | undefined {
  const label = Object.entries(filter).map(([name, value]) => (value === undefined ? name : `${name}=${value}`))
  return label.length === 0 ? undefined : JSON.stringify({ label })
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.ceil(ms / 1000))

/** The calls about containers. */
export function containerCalls(session: Session, options: ConnectOptions): Calls {
  const { transport } = session
  const about = (verb: string, idOrName: string, rest?: string): Doing => aboutContainer(session, idOrName, verb, rest)
  const seen = <T extends { readonly id: string; readonly name: string }>(container: T): T => {
    session.names.set(container.id, container.name)
    return container
  }
  let checks: Promise<HealthChecks | undefined> | undefined
  const healthChecks = (): Promise<HealthChecks | undefined> => {
    checks ??= import('./podman-health.ts').then(({ podmanHealthChecks }) => podmanHealthChecks(session))
    return checks
  }

  const post = async (
    idOrName: string,
    call: {
      readonly verb: string
      readonly at: string
      readonly query?: Readonly<Record<string, string | number | undefined>>
      readonly signal?: AbortSignal | undefined
      readonly allow?: readonly number[]
    },
  ) =>
    transport.call(
      {
        method: 'POST',
        path: path(idOrName, call.at),
        ...(call.query && { query: call.query }),
        signal: call.signal,
        doing: about(call.verb, idOrName),
      },
      call.allow,
    )

  /** Runs a call; when a published port is in use, its error says by what. */
  const namingPorts = async (idOrName: string, signal: AbortSignal | undefined, call: () => Promise<unknown>) => {
    try {
      await call()
    } catch (error) {
      const { portInUse } = await import('./port-in-use.ts')
      throw await portInUse(error, { idOrName, session, containers: () => calls.containers({}, { signal }) })
    }
  }

  const calls: Calls = {
    async containers(filter, call) {
      const doing = { what: 'Listing containers' }
      const { text } = await transport.call({
        method: 'GET',
        path: '/containers/json',
        query: { all: true, filters: labelFilter(filter) },
        signal: call?.signal,
        doing,
      })
      return answers.read(answers.containerList, text, doing).map((one) => seen(summaryOf(one)))
    },

    async inspect(idOrName, call) {
      const doing = about('Inspecting', idOrName)
      const request = { method: 'GET', path: path(idOrName, '/json'), signal: call?.signal, doing } as const
      const look = async (): Promise<Inspected | undefined> => {
        const { status, text } = await transport.call(request, [404])
        return status === 404 ? undefined : answers.read(answers.containerInspect, text, doing)
      }
      const found = await look()
      if (!found) return undefined
      const first = seen(detailsOf(found))
      if (session.kind !== 'podman' || first.state !== 'running' || !found.Config.Healthcheck?.Test?.length)
        return first
      const run = await healthChecks()
      const intervalMs = (found.Config.Healthcheck.Interval ?? 0) / 1e6 || 30_000
      const due = { id: first.id, status: first.health?.status ?? 'none', intervalMs }
      if (!(await run?.run(due, call?.signal))) return first
      const after = await look()
      return after && detailsOf(after)
    },

    async create(spec, call) {
      const doing = about('Creating', spec.name)
      const { createBody, furtherNetworks } = await import('./body.ts')
      if (session.kind === 'podman' && session.local) await checkMounts(spec, doing)
      const { text } = await transport.call({
        method: 'POST',
        path: '/containers/create',
        query: { name: spec.name, platform: spec.platform },
        body: createBody(spec, {
          kind: session.kind,
          api: session.api,
          ...(options.project && { directory: options.project.directory }),
        }),
        signal: call?.signal,
        doing,
      })
      const { Id: id, Warnings: warnings } = answers.read(answers.created, text, doing)
      session.names.set(id, spec.name)
      try {
        for (const { network, ...attachment } of furtherNetworks(spec))
          await calls.connect(network, id, attachment, call)
      } catch (error) {
        // Half-made is not made: the next run would adopt a container that lacks a network.
        await calls.remove(id).catch(() => undefined)
        throw error
      }
      return { id, warnings }
    },

    async start(idOrName, call) {
      await namingPorts(idOrName, call?.signal, () =>
        post(idOrName, { verb: 'Starting', at: '/start', signal: call?.signal }),
      )
    },

    async stop(idOrName, stop) {
      await post(idOrName, {
        verb: 'Stopping',
        at: '/stop',
        query: { t: seconds(stop?.graceMs) },
        signal: stop?.signal,
      })
    },

    async kill(idOrName, kill) {
      await post(idOrName, { verb: 'Killing', at: '/kill', query: { signal: kill?.signalName }, signal: kill?.signal })
    },

    async pause(idOrName, call) {
      for (let tried = 1; ; tried += 1) {
        try {
          return await tolerate(/already paused/i, () =>
            post(idOrName, { verb: 'Pausing', at: '/pause', signal: call?.signal }),
          )
        } catch (thrown) {
          // on cgroup v1 a container that starts processes while it is being frozen thaws again
          if (tried === 5 || !/unable to freeze/i.test(wordsOf(thrown) ?? '')) throw thrown
        }
      }
    },

    async unpause(idOrName, call) {
      await tolerate(/is not paused/i, () => post(idOrName, { verb: 'Resuming', at: '/unpause', signal: call?.signal }))
    },

    async restart(idOrName, restart) {
      const query = { t: seconds(restart?.graceMs) }
      await namingPorts(idOrName, restart?.signal, () =>
        post(idOrName, { verb: 'Restarting', at: '/restart', query, signal: restart?.signal }),
      )
    },

    async wait(idOrName, call) {
      const { text } = await post(idOrName, {
        verb: 'Waiting for',
        at: '/wait',
        query: { condition: 'not-running' },
        signal: call?.signal,
      })
      return answers.read(answers.waited, text, about('Waiting for', idOrName)).StatusCode
    },

    async rename(idOrName, name, call) {
      await post(idOrName, { verb: 'Renaming', at: '/rename', query: { name }, signal: call?.signal })
      if (session.names.has(idOrName)) session.names.set(idOrName, name)
    },

    async remove(idOrName, remove) {
      const request = {
        method: 'DELETE',
        path: path(idOrName),
        query: { force: true, v: remove?.volumes === true },
        signal: remove?.signal,
        doing: about('Removing', idOrName),
      } as const
      let { status, text } = await transport.call(request, [404, 409])
      // Podman refuses while a crashed container is just being started again
      for (let tried = 1; status === 409 && tried < 20 && /state improper/i.test(text); tried += 1) {
        await delay(100, undefined, remove?.signal ? { signal: remove.signal } : {})
        ;({ status, text } = await transport.call(request, [404, 409]))
      }
      if (status !== 409) return
      // Somebody else removes it; done is when it is gone.
      if (!/removal .*(in progress|already)/i.test(text))
        throw refused({ status, message: text }, about('Removing', idOrName))
      await post(idOrName, {
        verb: 'Waiting for the removal of',
        at: '/wait',
        query: { condition: 'removed' },
        signal: remove?.signal,
        allow: [404],
      })
    },

    async connect(network, idOrName, attachment, call) {
      const { endpoint } = await import('./body.ts')
      await transport.call({
        method: 'POST',
        path: `/networks/${encodeURIComponent(network)}/connect`,
        body: { Container: idOrName, EndpointConfig: endpoint(attachment) },
        signal: call?.signal,
        doing: about('Connecting', idOrName, ` to network "${network}"`),
      })
    },

    async disconnect(network, idOrName, call) {
      await transport.call({
        method: 'POST',
        path: `/networks/${encodeURIComponent(network)}/disconnect`,
        body: { Container: idOrName, Force: true },
        signal: call?.signal,
        doing: about('Disconnecting', idOrName, ` from network "${network}"`),
      })
    },
  }
  return calls
}

/** Podman would silently make an empty folder where the host has none; Docker refuses, and so do we. */
async function checkMounts(spec: ContainerSpec, doing: Doing): Promise<void> {
  for (const mount of spec.mounts) {
    if (mount.type !== 'bind' || mount.create) continue
    const there = await access(mount.source).then(
      () => true,
      (error) => !isCode(error, 'ENOENT'),
    )
    if (!there) throw refused({ status: 400, message: `bind source path does not exist: ${mount.source}` }, doing)
  }
}

/** Runs a call; a refusal that says the state is already the wanted one is success. */
async function tolerate(said: RegExp, call: () => Promise<unknown>): Promise<void> {
  try {
    await call()
  } catch (error) {
    if (!said.test(wordsOf(error) ?? '')) throw error
  }
}
