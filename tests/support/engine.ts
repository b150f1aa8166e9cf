/**
 * The container engine as the tests see it: a few calls of the Engine API over its socket, on purpose without any of the
 * product's own code, so that what a test says about the engine does not depend on what it tests.
 */
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import type { Readable } from 'node:stream'

/** What a scenario may count on: present, or brought by the engine stage of the test run. */
export const baseImage = 'debian:bookworm-slim'

/** Every project of a test begins with this, so that what a killed test run left can be told from a person's own stack. */
export const projectPrefix = 'dst-'

/** Label that carries the project's name on all that devstack makes. */
export const projectLabel = 'devstack.project'

export type EngineState =
  | { readonly state: 'ready'; readonly socket: string; readonly apiVersion: string }
  | { readonly state: 'missing'; readonly reason: string }

/** Path of the engine's socket: `DOCKER_HOST` when it names one, else Docker's default. */
export function engineSocket(environment: NodeJS.ProcessEnv = process.env): string {
  const host = environment['DOCKER_HOST'] ?? ''
  return host.startsWith('unix://') ? host.slice('unix://'.length) : '/var/run/docker.sock'
}

export interface EngineRequest {
  readonly method?: 'GET' | 'POST' | 'DELETE'
  readonly socket?: string
  readonly body?: Readable | object
  readonly headers?: Readonly<Record<string, string>>
  /** Default 60 s. */
  readonly timeoutMs?: number
}

export interface EngineResponse {
  readonly status: number
  readonly text: string
}

/** One call of the Engine API. Rejects when the engine can not be reached; an error status is an answer. */
export function engineCall(path: string, options: EngineRequest = {}): Promise<EngineResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<EngineResponse>()
  const { body } = options
  const json = body !== undefined && !isStream(body) ? JSON.stringify(body) : undefined
  const headers: Record<string, string> = { host: 'engine', ...options.headers }
  if (json !== undefined) headers['content-type'] = 'application/json'
  const call = request(
    {
      socketPath: options.socket ?? engineSocket(),
      path,
      method: options.method ?? 'GET',
      headers,
      timeout: options.timeoutMs ?? 60_000,
      agent: false,
    },
    (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      )
    },
  )
  call.on('error', reject)
  call.on('timeout', () => call.destroy(new Error(`the engine did not answer ${path} in time`)))
  if (isStream(body)) {
    body.on('error', (cause) => call.destroy(cause))
    body.pipe(call)
  } else call.end(json)
  return promise
}

function isStream(body: EngineRequest['body']): body is Readable {
  return body !== undefined && 'pipe' in body && typeof body.pipe === 'function'
}

/** Whether a scenario can run: an engine answers and the base image is there. Else the reason, for `not run: <reason>`. */
export async function scenarioEngine(socket = engineSocket()): Promise<EngineState> {
  try {
    const version = await engineCall('/version', { socket, timeoutMs: 10_000 })
    if (version.status !== 200)
      return { state: 'missing', reason: `the engine at ${socket} answered ${version.status}` }
    const image = await engineCall(`/images/${baseImage}/json`, { socket })
    if (image.status !== 200) return { state: 'missing', reason: `the image ${baseImage} is missing` }
    return { state: 'ready', socket, apiVersion: String(JSON.parse(version.text).ApiVersion) }
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? String(thrown)
    return { state: 'missing', reason: `no container engine answers at ${socket} (${code})` }
  }
}

/** A project name that no other test, test run or checkout uses: `dst-<name>-<6 hex>`. */
export function uniqueProject(name: string): string {
  return `${projectPrefix}${name}-${randomBytes(3).toString('hex')}`
}

export interface Inventory {
  readonly containers: readonly string[]
  readonly networks: readonly string[]
  readonly volumes: readonly string[]
}

/** Names of all that carries the project's label, stopped containers too; sorted. */
export async function inventory(project: string): Promise<Inventory> {
  const filters = labelFilter(`${projectLabel}=${project}`)
  const [containers, networks, volumes] = await Promise.all([
    listing<readonly { readonly Names: readonly string[] }[]>(`/containers/json?all=true&filters=${filters}`),
    listing<readonly { readonly Name: string }[]>(`/networks?filters=${filters}`),
    listing<{ readonly Volumes: readonly { readonly Name: string }[] | null }>(`/volumes?filters=${filters}`),
  ])
  return {
    containers: containers.map((container) => container.Names[0]!.slice(1)).sort(),
    networks: networks.map((network) => network.Name).sort(),
    volumes: (volumes.Volumes ?? []).map((volume) => volume.Name).sort(),
  }
}

/** Removes every container, network and volume of a project. For a `finally`: what is gone already is fine. */
export async function cleanUp(project: string): Promise<void> {
  const found = await inventory(project)
  await Promise.all(found.containers.map((name) => remove(`/containers/${name}?force=true&v=true`)))
  await Promise.all([
    ...found.networks.map((name) => remove(`/networks/${name}`)),
    ...found.volumes.map((name) => remove(`/volumes/${name}?force=true`)),
  ])
}

/** Projects that have a container, a network or a volume on the engine. */
export async function projects(): Promise<readonly string[]> {
  const filters = labelFilter(projectLabel)
  type Labelled = { readonly Labels: Readonly<Record<string, string>> | null }
  const [containers, networks, volumes] = await Promise.all([
    listing<readonly Labelled[]>(`/containers/json?all=true&filters=${filters}`),
    listing<readonly Labelled[]>(`/networks?filters=${filters}`),
    listing<{ readonly Volumes: readonly Labelled[] | null }>(`/volumes?filters=${filters}`),
  ])
  const all = [...containers, ...networks, ...(volumes.Volumes ?? [])]
  return [...new Set(all.map((entry) => entry.Labels?.[projectLabel]).filter((name) => name !== undefined))].sort()
}

function labelFilter(label: string): string {
  return encodeURIComponent(JSON.stringify({ label: [label] }))
}

async function listing<T>(path: string): Promise<T> {
  const answer = await engineCall(path)
  if (answer.status !== 200) throw new Error(`GET ${path} answered ${answer.status}: ${answer.text}`)
  return JSON.parse(answer.text) as T
}

async function remove(path: string): Promise<void> {
  const answer = await engineCall(path, { method: 'DELETE' })
  // 404: gone already; 409: its removal is under way
  if (answer.status >= 400 && answer.status !== 404 && answer.status !== 409)
    throw new Error(`DELETE ${path} answered ${answer.status}: ${answer.text}`)
}
