/**
 * Where a container engine may listen, in the order in which it is asked. Reads files and environment only; nothing is
 * connected to here. Sources: docs.docker.com on DOCKER_HOST and contexts, podman-system-service(1).
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { DevstackError, messageOf, suggest } from '../../errors.ts'

/** What TLS needs; PEM texts. */
export interface TlsFiles {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly verify: boolean
}

export type Address =
  | { readonly kind: 'socket'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: TlsFiles }

/** An address where an engine may answer, and who named it. */
export interface Candidate {
  /** `DOCKER_HOST`, `docker context "x"`, `default socket` ... */
  readonly source: string
  /** As a person writes it: `unix:///var/run/docker.sock`. */
  readonly text: string
  readonly address: Address
}

export interface ConnectOptions {
  /** The environment to look for DOCKER_HOST, DOCKER_CONTEXT, XDG_RUNTIME_DIR, CONTAINER_HOST ... in. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Home directory; default HOME of the environment, else the user's. */
  readonly home?: string
  /** Lets `tcp://` be used without TLS; default: whether DEVSTACK_ALLOW_TCP of the environment is 1. */
  readonly allowUnencryptedTcp?: boolean
  /** The checkout, kept on what is created as label `devstack.directory`. */
  readonly project?: { readonly directory: string }
}

const systemSockets = { docker: '/var/run/docker.sock', podman: '/run/podman/podman.sock' }

/**
 * The candidates in order. DOCKER_HOST or a chosen docker context is the only candidate when there is one: who names an
 * engine does not want another. Throws RUNTIME_ADDRESS_INVALID, RUNTIME_UNENCRYPTED, RUNTIME_SSH_UNSUPPORTED and
 * RUNTIME_CONTEXT_UNKNOWN.
 */
export async function candidates(options: ConnectOptions): Promise<readonly Candidate[]> {
  const { environment } = options
  const home = options.home ?? environment['HOME'] ?? homedir()
  const configDirectory = environment['DOCKER_CONFIG'] || join(home, '.docker')
  const host = environment['DOCKER_HOST']
  if (host) return [await named('DOCKER_HOST', host, options, () => environmentTls(environment, configDirectory))]
  const context = environment['DOCKER_CONTEXT'] || (await currentContext(configDirectory))
  if (context !== undefined && context !== 'default') return [await fromContext(context, configDirectory, options)]

  const socket = (source: string, path: string): Candidate => ({
    source,
    text: `unix://${path}`,
    address: { kind: 'socket', path },
  })
  const runtimeDirectory = environment['XDG_RUNTIME_DIR']
  const found = [socket('default socket', systemSockets.docker)]
  if (runtimeDirectory) found.push(socket('rootless Docker', join(runtimeDirectory, 'docker.sock')))
  found.push(socket('Docker Desktop', join(home, '.docker/run/docker.sock')))
  found.push(socket('Docker Desktop', join(home, '.docker/desktop/docker.sock')))
  const containerHost = environment['CONTAINER_HOST']
  if (containerHost) found.push(await named('CONTAINER_HOST', containerHost, options, async () => undefined))
  if (runtimeDirectory) found.push(socket('rootless Podman', join(runtimeDirectory, 'podman/podman.sock')))
  found.push(socket('Podman', systemSockets.podman))
  return found
}

/** An address as text, read. `tls` is asked for only when the address is tcp. */
async function named(
  source: string,
  text: string,
  options: ConnectOptions,
  tls: () => Promise<TlsFiles | undefined>,
): Promise<Candidate> {
  const scheme = /^([a-z]+):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === 'unix' || (scheme === undefined && text.startsWith('/'))) {
    const path = text.replace(/^unix:\/\//i, '') || systemSockets.docker
    return { source, text: `unix://${path}`, address: { kind: 'socket', path } }
  }
  if (scheme === 'ssh')
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_SSH_UNSUPPORTED',
      message: `${source} names ${text}, and engines over ssh are not supported.`,
      hint: 'Forward the socket, `ssh -NL /tmp/engine.sock:/var/run/docker.sock HOST`, and set DOCKER_HOST=unix:///tmp/engine.sock.',
    })
  const known = scheme === undefined ? /:\d+$/.test(text) : ['tcp', 'http', 'https'].includes(scheme)
  if (!known) throw invalid(source, text)
  let url: URL
  try {
    url = new URL(scheme === undefined ? `tcp://${text}` : text)
  } catch {
    throw invalid(source, text)
  }
  if (!url.hostname) throw invalid(source, text)
  const files = await tls()
  const encrypted = files ?? (scheme === 'https' ? { verify: true } : undefined)
  const allowed = options.allowUnencryptedTcp ?? options.environment['DEVSTACK_ALLOW_TCP'] === '1'
  if (!encrypted && !allowed)
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_UNENCRYPTED',
      message: `${source} names ${text}, an engine without TLS: whoever reaches that port owns its host.`,
      hint: 'Use TLS (DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH), a unix socket, or, when only you reach that port, set DEVSTACK_ALLOW_TCP=1.',
    })
  const port = Number(url.port || (encrypted ? 2376 : 2375))
  const address: Address = { kind: 'tcp', host: url.hostname.replace(/^\[|\]$/g, ''), port }
  return { source, text, address: encrypted ? { ...address, tls: encrypted } : address }
}

const invalid = (source: string, text: string): DevstackError =>
  new DevstackError({
    kind: 'runtime',
    code: 'RUNTIME_ADDRESS_INVALID',
    message: `${source} is "${text}", which is no address of an engine.`,
    hint: 'Write unix:///path/to.sock, tcp://host:2376 or host:2376.',
  })

async function environmentTls(
  environment: ConnectOptions['environment'],
  configDirectory: string,
): Promise<TlsFiles | undefined> {
  if (!environment['DOCKER_TLS_VERIFY']) return undefined
  return readTls(environment['DOCKER_CERT_PATH'] || configDirectory, true, 'DOCKER_CERT_PATH')
}

async function readTls(directory: string, verify: boolean, source: string): Promise<TlsFiles> {
  const read = async (name: string): Promise<string | undefined> => {
    try {
      return await readFile(join(directory, name), 'utf8')
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined
      throw new DevstackError({
        kind: 'runtime',
        code: 'RUNTIME_TLS_UNREADABLE',
        message: `${join(directory, name)}, named by ${source}, cannot be read: ${messageOf(error)}.`,
        hint: 'Make the file readable for this user, or point DOCKER_CERT_PATH elsewhere.',
        cause: error,
      })
    }
  }
  const [ca, cert, key] = await Promise.all([read('ca.pem'), read('cert.pem'), read('key.pem')])
  return { verify, ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) }
}

async function currentContext(configDirectory: string): Promise<string | undefined> {
  const config = await readJson(join(configDirectory, 'config.json'))
  const name = isRecord(config) ? config['currentContext'] : undefined
  return typeof name === 'string' && name !== '' ? name : undefined
}

async function fromContext(name: string, configDirectory: string, options: ConnectOptions): Promise<Candidate> {
  const id = createHash('sha256').update(name).digest('hex')
  const file = join(configDirectory, 'contexts/meta', id, 'meta.json')
  const meta = await readJson(file)
  const endpoints = isRecord(meta) ? meta['Endpoints'] : undefined
  const endpoint = isRecord(endpoints) ? endpoints['docker'] : undefined
  const host = isRecord(endpoint) ? endpoint['Host'] : undefined
  if (typeof host !== 'string')
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_CONTEXT_UNKNOWN',
      message: `The docker context "${name}" is ${meta === undefined ? 'not there' : 'without a docker endpoint'} (${file}).${suggest(name, ['default'])}`,
      hint: 'See `docker context ls`; `docker context use default`, or unset DOCKER_CONTEXT.',
    })
  const verify = !(isRecord(endpoint) && endpoint['SkipTLSVerify'] === true)
  return named(`docker context "${name}"`, host, options, async () => {
    const files = await readTls(join(configDirectory, 'contexts/tls', id, 'docker'), verify, `docker context "${name}"`)
    return files.ca || files.cert || !verify ? files : undefined
  })
}

/** A JSON file's content; undefined when there is none. */
async function readJson(file: string): Promise<unknown> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT') || isCode(error, 'ENOTDIR') || isCode(error, 'EACCES')) return undefined
    throw error
  }
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new DevstackError({
      kind: 'runtime',
      code: 'RUNTIME_DOCKER_CONFIG',
      message: `${file} is no JSON: ${messageOf(error)}.`,
      hint: 'Mend the file, or set DOCKER_HOST, which needs none.',
      place: { file },
      cause: error,
    })
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The thrown thing carries this system error code. */
export const isCode = (thrown: unknown, code: string): boolean =>
  thrown instanceof Error && (thrown as NodeJS.ErrnoException).code === code
