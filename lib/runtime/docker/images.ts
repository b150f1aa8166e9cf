/** Images: looking, pulling, tagging, importing. */
import type { Readable } from 'node:stream'
import { DevstackError } from '../../errors.ts'
import type { Image, PullProgress, Runtime } from '../runtime.ts'
import * as answers from './answers.ts'
import { aboutContainer, labelFilter } from './containers.ts'
import { registryLogin } from './credentials.ts'
import type { ConnectOptions } from './discover.ts'
import { type Doing, failure, wordsOf } from './failures.ts'
import type { Session } from './session.ts'
import { jsonMessages } from './streams.ts'

type Calls = Pick<Runtime, 'image' | 'images' | 'pull' | 'tag' | 'removeImage' | 'importImage' | 'copyIn' | 'copyOut'>

const about = (verb: string, name: string): Doing => ({ what: `${verb} image "${name}"`, thing: 'image', name })

/** `registry:5000/a/b:1` as name and tag; the tag is `latest` unless given, and a digest stays with the name. */
export function splitReference(reference: string): { readonly name: string; readonly tag?: string } {
  if (reference.includes('@')) return { name: reference }
  const colon = reference.lastIndexOf(':')
  if (colon > reference.lastIndexOf('/')) return { name: reference.slice(0, colon), tag: reference.slice(colon + 1) }
  return { name: reference, tag: 'latest' }
}

/** The calls about images, and the two that copy files. */
export function imageCalls(session: Session, options: ConnectOptions): Calls {
  const { transport } = session

  const find = async (reference: string, signal?: AbortSignal): Promise<Image | undefined> => {
    const doing = about('Inspecting', reference)
    const request = { method: 'GET', path: `/images/${pathOf(reference)}/json`, signal, doing } as const
    const { status, text } = await transport.call(request, [404])
    if (status === 404) return undefined
    const found = answers.read(answers.imageInspect, text, doing)
    return {
      id: answers.digest(found.Id),
      tags: found.RepoTags.map(answers.familiar),
      labels: found.Config?.Labels ?? {},
      sizeBytes: found.Size,
      user: found.Config?.User ?? '',
      createdAt: answers.instant(found.Created),
    }
  }

  const present = async (reference: string, doing: Doing, signal?: AbortSignal): Promise<Image> => {
    const image = await find(reference, signal)
    if (image) return image
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_IMAGE_MISSING',
      message: `${doing.what}: the engine says it is done, and there is no image "${reference}".`,
    })
  }

  const calls: Calls = {
    image: (reference, call) => find(reference, call?.signal),

    async images(filter, call) {
      const doing = { what: 'Listing images' }
      const { text } = await transport.call({
        method: 'GET',
        path: '/images/json',
        query: { filters: labelFilter(filter) },
        signal: call?.signal,
        doing,
      })
      const found = await Promise.all(
        answers.read(answers.imageList, text, doing).map(({ Id }) => find(Id, call?.signal)),
      )
      return found.filter((image) => image !== undefined)
    },

    async pull(reference, pull) {
      const { signal, onProgress, platform } = pull ?? {}
      const doing = about('Pulling', reference)
      const { name, tag } = splitReference(reference)
      try {
        const docker = await transport.docker()
        const login = await registryLogin(reference, { ...options, signal })
        const query = { fromImage: name, ...(tag && { tag }), ...(platform && { platform }), abortSignal: signal }
        const stream = (await docker.createImage(login, query)) as Readable
        for await (const message of jsonMessages(stream)) {
          const error = message['error']
          if (typeof error === 'string') throw { status: 500, message: error }
          onProgress?.(progress(message))
        }
      } catch (error) {
        if (signal?.aborted) throw signal.reason
        throw pullFailure(reference, failure(error, doing, signal))
      }
      return present(reference, doing, signal)
    },

    async tag(reference, target, call) {
      const { name, tag } = splitReference(target)
      await transport.call({
        method: 'POST',
        path: `/images/${pathOf(reference)}/tag`,
        query: { repo: name, tag },
        signal: call?.signal,
        doing: about('Tagging', reference),
      })
    },

    async removeImage(reference, call) {
      const request = {
        method: 'DELETE',
        path: `/images/${pathOf(reference)}`,
        signal: call?.signal,
        doing: about('Removing', reference),
      } as const
      await transport.call(request, [404])
    },

    async importImage(tar, reference, call) {
      const doing = about('Importing', reference)
      let id: string | undefined
      try {
        const docker = await transport.docker()
        // Named afterwards: Podman 4 drops the tag of an import, and takes `latest` from another image instead.
        const stream = (await docker.importImage(tar, {
          ...(call?.signal && { abortSignal: call.signal }),
        })) as unknown as Readable
        for await (const message of jsonMessages(stream)) {
          if (typeof message['error'] === 'string') throw { status: 500, message: message['error'] }
          const status = String(message['status'] ?? message['stream'] ?? '').trim()
          if (/^(sha256:)?[0-9a-f]{64}$/.test(status)) id = status
        }
      } catch (error) {
        throw failure(error, doing, call?.signal)
      }
      if (id === undefined) throw failure(new Error('the engine ended without an image'), doing)
      await calls.tag(id, reference, call)
      return present(reference, doing, call?.signal)
    },

    async copyOut(idOrName, path, call) {
      const doing = aboutContainer(session, idOrName, `Copying ${path} out of`)
      return transport.stream({
        method: 'GET',
        path: `/containers/${encodeURIComponent(idOrName)}/archive`,
        query: { path },
        signal: call?.signal,
        doing,
      })
    },

    async copyIn(idOrName, path, tar, call) {
      const doing = aboutContainer(session, idOrName, `Copying to ${path} in`)
      await transport.call({
        method: 'PUT',
        path: `/containers/${encodeURIComponent(idOrName)}/archive`,
        query: { path },
        file: tar instanceof Uint8Array ? Buffer.from(tar) : tar,
        signal: call?.signal,
        doing,
      })
    },
  }
  return calls
}

/** Slashes belong to the path of an image, so they stay; the rest is made safe. */
const pathOf = (reference: string): string =>
  reference.split('/').map(encodeURIComponent).join('/').replaceAll('%3A', ':').replaceAll('%40', '@')

function progress(message: Readonly<Record<string, unknown>>): PullProgress {
  const detail = (message['progressDetail'] ?? {}) as { current?: unknown; total?: unknown }
  const number = (value: unknown): number => (typeof value === 'number' ? value : 0)
  return {
    layer: typeof message['id'] === 'string' ? message['id'] : '',
    status: String(message['status'] ?? message['stream'] ?? '').trim(),
    done: number(detail.current),
    total: number(detail.total),
  }
}

/** Why a pull failed, in one sentence, with what can be done. */
function pullFailure(reference: string, error: unknown): unknown {
  if (!(error instanceof DevstackError)) return error
  if (error.code === 'RUNTIME_GONE' || error.code === 'RUNTIME_DISK_FULL') return error
  const said = (wordsOf(error) ?? error.message).trim()
  const [why, hint] = reasonOf(said)
  return new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_PULL_FAILED',
    message: `Image "${reference}" cannot be pulled: ${why}.`,
    hint,
    details: [said],
    cause: error.cause,
  })
}

function reasonOf(said: string): readonly [string, string] {
  if (/toomanyrequests|rate limit/i.test(said))
    return ['the registry limits how often this address may pull', 'Log in (`docker login`), or wait.']
  if (/manifest .*unknown|manifest for .* not found|no matching manifest/i.test(said))
    return ['the registry has no such tag or platform', 'Mend the tag in the compose file.']
  if (/unauthorized|authentication required|denied|no basic auth|forbidden|incorrect username/i.test(said))
    return ['the registry does not know it, or wants a login', 'Mend the name, or log in: `docker login REGISTRY`.']
  if (/not found|name unknown|does not exist/i.test(said)) return ['the registry does not have it', 'Mend the name.']
  if (
    /no such host|dial tcp|connection refused|i\/o timeout|network is unreachable|TLS handshake|deadline exceeded|request canceled|EOF|server misbehaving|no route to host|pinging container registry/i.test(
      said,
    )
  )
    return [
      'no registry can be reached from here',
      'Check the network or the proxy of the engine; or import the image.',
    ]
  if (/x509|certificate/i.test(said))
    return ['the certificate of the registry is not trusted', 'Give the engine its CA (/etc/docker/certs.d).']
  return ['the engine refused', "See the engine's words above."]
}
