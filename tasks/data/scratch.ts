/** Throwaway containers from the stack's own images: to prove a backup, to sanitize a copy, to read an old state. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ContainerSpec,
  DevstackError,
  endpoint,
  handleOf,
  messageOf,
  parseIdentity,
  reachOf,
  type ServiceHandle,
  stateOf,
  thisProcess,
} from '../../lib/index.ts'
import { postgresPort } from '../stack/patroni.ts'
import { type Server, withClient } from './cluster.ts'
import { writePrivate } from './files.ts'
import type { Working } from './options.ts'

/** Carries the project's name. Not `devstack.project`: they are no part of the stack. */
const scratchLabel = 'devstack.scratch'

export interface ScratchOptions extends Partial<Pick<ContainerSpec, 'user' | 'mounts' | 'networkMode' | 'ports'>> {
  readonly image: string
  readonly command: readonly string[]
  readonly entrypoint?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** A container for the time of `use`; removed with its data whatever happens. */
export async function withScratch<T>(
  working: Working,
  options: ScratchOptions,
  use: (handle: ServiceHandle) => Promise<T>,
): Promise<T> {
  const { runtime, project, signal } = working
  const name = `${project.name}-scratch-${randomBytes(4).toString('hex')}`
  const { image, command, entrypoint, environment, ...more } = options
  const marker = join(scratchMarkers(project.stateDirectory), name)
  mkdirSync(dirname(marker), { recursive: true })
  writePrivate(marker, JSON.stringify(thisProcess()))
  const { id } = await runtime.create(
    {
      name,
      project: project.name,
      service: 'scratch',
      image,
      command,
      ...(entrypoint ? { entrypoint } : {}),
      environment: environment ?? {},
      labels: { [scratchLabel]: project.name },
      ports: [],
      mounts: [],
      networks: [],
      restart: { name: 'no' },
      shmSizeBytes: 256 * 1024 * 1024,
      ...more,
    },
    { signal },
  )
  try {
    await runtime.start(id, { signal })
    const details = await runtime.inspect(id, { signal })
    if (!details) throw new Error(`${name} is gone right after its start`)
    return await use(handleOf(details, 'scratch'))
  } finally {
    // also after an abort, hence without its signal
    await runtime.remove(id, { volumes: true })
    rmSync(marker, { force: true })
  }
}

/** An empty PostgreSQL with the roles of a new cluster, ready to take a dump. */
export async function withScratchPostgres<T>(
  working: Working,
  image: string,
  use: (server: Server) => Promise<T>,
): Promise<T> {
  const password = randomBytes(18).toString('base64url')
  const options: ScratchOptions = {
    image,
    command: ['single'],
    environment: { POSTGRES_PASSWORD: password, APP_PASSWORD: password, DEVSTACK_FSYNC: 'off' },
    ports: [{ hostIp: '127.0.0.1', hostPort: 0, containerPort: postgresPort, protocol: 'tcp' }],
  }
  return withScratch(working, options, async (handle) => {
    const address = endpoint(handle, postgresPort, await reachOf(working.runtime, working.signal))
    const server = { handle, address, password }
    await untilAnswers(working, server)
    return use(server)
  })
}

/** Returns once the server takes a connection. Throws SCRATCH_FAILED when its container ends, or after `patienceMs` (two minutes). */
export async function untilAnswers(
  working: Working,
  server: Server,
  { patienceMs = 120_000 }: { readonly patienceMs?: number } = {},
): Promise<void> {
  const { runtime, signal } = working
  const until = performance.now() + patienceMs
  for (;;) {
    try {
      return await withClient(server, { database: 'postgres', signal }, async (client) => {
        await client.query('SELECT 1')
      })
    } catch (thrown) {
      signal.throwIfAborted()
      const details = await runtime.inspect(server.handle.id, { signal })
      if (details?.state === 'running' && performance.now() < until) {
        await delay(100, undefined, { signal })
        continue
      }
      const lines: string[] = []
      if (details) for await (const { text } of runtime.logs(server.handle.id, { tail: 10, signal })) lines.push(text)
      throw new DevstackError({
        kind: 'runtime',
        code: 'SCRATCH_FAILED',
        message: `The throwaway PostgreSQL did not start: ${messageOf(thrown)}.`,
        details: lines,
        hint: 'Run the command again; if it stays so, look at the free memory and disk of the engine.',
        cause: thrown,
      })
    }
  }
}

/** Folder with a file for every throwaway container that may exist, so that looking for them costs no call. */
export function scratchMarkers(stateDirectory: string): string {
  return join(stateDirectory, 'scratch')
}

/** Of these containers, removes those whose makers are dead; tells which are gone for good. */
export async function removeDeadScratch(
  working: Pick<Working, 'runtime' | 'project' | 'signal'>,
  names: readonly string[],
): Promise<{ readonly removed: readonly string[]; readonly done: readonly string[] }> {
  const { runtime, project, signal } = working
  const folder = scratchMarkers(project.stateDirectory)
  const dead = names.filter((name) => {
    try {
      const identity = parseIdentity(JSON.parse(readFileSync(join(folder, name), 'utf8')))
      return identity === undefined || stateOf(identity) === 'dead'
    } catch {
      return false
    }
  })
  const present = (await runtime.containers({ [scratchLabel]: project.name }, { signal })).map(({ name }) => name)
  const removed = dead.filter((name) => present.includes(name))
  await Promise.all(removed.map((name) => runtime.remove(name, { volumes: true, signal })))
  return { removed, done: dead }
}
