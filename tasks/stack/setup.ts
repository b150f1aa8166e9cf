/** `setup`: from a fresh machine to a healthy stack, and the proof of it: a row written on the leader, read on a replica. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Ambient,
  DevstackError,
  describeHolder,
  holderOf,
  type Needs,
  reachOf,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { ensureBaseImage } from './base-image.ts'
import { installEngine } from './engine-install.ts'
import { portNames } from './environment.ts'
import { projectContainers } from './handles.ts'
import { readHost } from './host.ts'
import { postgresLeader } from './patroni.ts'
import { checkEngine, checkHost, checkPorts, formatFindings, verdict } from './preflight.ts'

/** Finds an engine or, with consent, installs and starts one. */
export function engineTask(): Task<undefined> {
  return task({
    description: 'Find a container engine, or install one',
    label: 'engine',
    private: true,
    effect: 'change',
    observe: async ({ runtime, signal }) => {
      try {
        const info = await runtime.info({ signal })
        return { state: 'fresh', cause: `${info.kind} ${info.version} answers`, value: undefined }
      } catch {
        return { state: 'stale', cause: 'no container engine answers' }
      }
    },
    run: async ({ $, project, terminal, log, signal }) => {
      const host = readHost(project.directory)
      const yes = await terminal.confirm(
        'No container engine answers. Install Docker from this system’s packages and start it?',
      )
      if (!yes) {
        throw new DevstackError({
          kind: 'cancelled',
          code: 'ENGINE_DECLINED',
          message: 'Without a container engine the stack can not run.',
          hint: 'Start Docker or Podman, then run this again.',
          exitCode: 1,
        })
      }
      await installEngine({ $, host, log, signal, logFile: join(project.stateDirectory, 'dockerd.log') })
    },
  })
}

/** Looks at machine and engine; errors end the run, warnings are told. */
export function preflightTask(
  engine: Task<undefined>,
  variables: () => Promise<Readonly<Record<string, string>>>,
): Task<undefined> {
  return task({
    description: 'Check operating system, engine, memory, disk and ports',
    label: 'preflight',
    private: true,
    effect: 'read',
    needs: { engine },
    run: async (context) => {
      const { runtime, project, signal, log } = context
      const info = await runtime.info({ signal })
      const findings = [...checkHost(readHost(project.directory), info), checkEngine(info)]
      const own = (await projectContainers(context)).flatMap(({ ports }) => ports.map(({ hostPort }) => hostPort))
      const values = await variables()
      const wanted = Object.keys(portNames).map((variable) => ({
        port: Number(values[variable]),
        hostIp: '127.0.0.1',
        service: `${variable} in .env.local`,
      }))
      const containers = await runtime.containers({}, { signal })
      findings.push(
        ...(await checkPorts(wanted, {
          signal,
          ours: ({ port }) => own.includes(port),
          holder: async ({ port, hostIp }) => describeHolder(await holderOf({ port, hostIp, containers, local: true })),
        })),
      )
      const lines = formatFindings(findings.filter(({ level }) => level !== 'ok'))
      if (verdict(findings) === 'error') {
        throw new DevstackError({
          kind: 'runtime',
          code: 'PREFLIGHT_FAILED',
          message: 'This machine can not carry the stack.',
          details: lines,
          hint: 'Mend what is named, and run the command again.',
        })
      }
      for (const line of lines) log(line)
      log(`${findings.length} checks passed`)
    },
  })
}

/** The base image, pulled or built from packages. */
export function baseImageTask(before: Needs): Task<{ id: string; tag: string }> {
  return task({
    description: 'Get the base image',
    label: 'image debian:bookworm-slim',
    private: true,
    effect: 'create',
    needs: before,
    returns: z.object({ id: z.string(), tag: z.string() }),
    observe: async ({ runtime, signal }) => {
      const image = await runtime.image('debian:bookworm-slim', { signal })
      if (image) return { state: 'fresh', cause: 'it is here', value: { id: image.id, tag: 'debian:bookworm-slim' } }
      return { state: 'stale', cause: 'it is not here' }
    },
    run: async ({ $, runtime, project, log, signal }) => {
      const { id } = await ensureBaseImage({ $, images: runtime, host: readHost(project.directory), log, signal })
      return { id, tag: 'debian:bookworm-slim' }
    },
  })
}

/** Writes a row on the leader and reads it back on every replica. */
export function markerTask(ready: Needs): Task<undefined> {
  return task({
    description: 'Write a row on the leader and read it on a replica',
    label: 'marker',
    private: true,
    effect: 'change',
    needs: ready,
    run: async ({ needs, runtime, signal, log }) => {
      const members = Object.values(needs as Record<string, unknown>).filter(isPostgres)
      const { handle: leader } = await postgresLeader(members, { signal, reach: await reachOf(runtime, signal) })
      const token = `${Date.now()}`
      const table = 'CREATE TABLE IF NOT EXISTS devstack_marker (token text PRIMARY KEY, at timestamptz DEFAULT now())'
      await sql(runtime, leader, `${table}; INSERT INTO devstack_marker (token) VALUES ('${token}')`, signal)
      for (const replica of members.filter(({ service }) => service !== leader.service)) {
        await visible(runtime, replica, token, signal)
      }
      log(`a row written on ${leader.service} was read on ${members.length - 1} replicas`)
    },
  })
}

function isPostgres(value: unknown): value is ServiceHandle {
  return (
    typeof value === 'object' && value !== null && /^postgres\d+$/.test((value as { service?: string }).service ?? '')
  )
}

async function sql(runtime: Ambient['runtime'], at: ServiceHandle, text: string, signal: AbortSignal): Promise<string> {
  const command = [
    'psql',
    '--no-psqlrc',
    '--quiet',
    '--tuples-only',
    '--no-align',
    '--set=ON_ERROR_STOP=1',
    '--username=postgres',
    '--dbname=postgres',
    '--command',
    text,
  ]
  const { exitCode, stdout, stderr } = await runtime.exec(at.id, { command, signal })
  if (exitCode === 0) return stdout.trim()
  throw new DevstackError({
    kind: 'task',
    code: 'SQL_FAILED',
    message: `psql in ${at.service} failed: ${stderr.trim()}`,
  })
}

/** Streaming is not instantaneous: asks until the row is there. */
async function visible(
  runtime: Ambient['runtime'],
  replica: ServiceHandle,
  token: string,
  signal: AbortSignal,
): Promise<void> {
  const question = `SELECT count(*) FROM devstack_marker WHERE token = '${token}'`
  const until = performance.now() + 10_000
  for (;;) {
    const found = await sql(runtime, replica, question, signal).catch(() => {
      signal.throwIfAborted()
      return '0'
    })
    if (found === '1') return
    if (performance.now() > until) {
      throw new DevstackError({
        kind: 'gate',
        code: 'MARKER_NOT_REPLICATED',
        message: `The row written on the leader did not reach ${replica.service} within 10 s.`,
        hint: `See why with: devstack run logs ${replica.service}`,
      })
    }
    await delay(50, undefined, { signal })
  }
}

/** The last step of `setup`. */
export function setupTask(needs: () => Promise<Needs>): Task<undefined> {
  return task({
    description: 'From a fresh machine to a healthy stack: engine, images, credentials, services, a first row',
    effect: 'create',
    runLocks: ['stack'],
    needs,
    run: ({ log }) => {
      log('ready. Next: devstack run status')
    },
  })
}
