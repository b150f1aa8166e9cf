/** Commands in running containers. */
import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { ExecOptions, Runtime } from '../runtime.ts'
import { execCreated, execInspect, read } from './answers.ts'
import { aboutContainer } from './containers.ts'
import { isCode } from './discover.ts'
import { type Doing, failure, refused } from './failures.ts'
import type { Session } from './session.ts'
import { type Frame, frames } from './streams.ts'

interface Start {
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly user?: string | undefined
  readonly workingDirectory?: string | undefined
  readonly stdin: boolean
  readonly tty: boolean
  readonly signal?: AbortSignal | undefined
}

/** A mark in the environment by which an aborted command and its children are found in the container. */
const mark = 'DEVSTACK_EXEC'

/** The calls that run commands in containers. */
export function execCalls(session: Session): Pick<Runtime, 'exec' | 'execInteractive'> {
  const { transport } = session

  const begin = async (idOrName: string, start: Start): Promise<{ id: string; connection: Duplex; doing: Doing }> => {
    const doing = aboutContainer(session, idOrName, `Running ${start.command[0] ?? 'nothing'} in`)
    const { text } = await transport.call({
      method: 'POST',
      path: `/containers/${encodeURIComponent(idOrName)}/exec`,
      body: {
        AttachStdin: start.stdin,
        AttachStdout: true,
        AttachStderr: true,
        Tty: start.tty,
        Cmd: start.command,
        Env: Object.entries(start.environment).map(([name, value]) => `${name}=${value}`),
        ...(start.user !== undefined && { User: start.user }),
        ...(start.workingDirectory !== undefined && { WorkingDir: start.workingDirectory }),
      },
      signal: start.signal,
      doing,
    })
    const { Id: id } = read(execCreated, text, doing)
    try {
      const connection = await transport.hijack({
        method: 'POST',
        path: `/exec/${id}/start`,
        body: { Detach: false, Tty: start.tty },
        signal: start.signal,
        doing,
      })
      return { id, connection, doing }
    } catch (error) {
      // The engine may have started it before it heard of the abort.
      const token = start.environment[mark]
      if (start.signal?.aborted && token !== undefined) await endOnAbort(idOrName, { id, token, user: start.user })
      throw error
    }
  }

  const exitCode = async (id: string, doing: Doing, signal?: AbortSignal): Promise<number> => {
    // The output can end a moment before the engine has noted the exit.
    for (let pause = 1; ; pause = Math.min(pause * 2, 100)) {
      const { text } = await transport.call({ method: 'GET', path: `/exec/${id}/json`, signal, doing })
      const state = read(execInspect, text, doing)
      if (!state.Running && typeof state.ExitCode === 'number') return state.ExitCode
      await delay(pause, undefined, signal && { signal })
    }
  }

  /** Engines have no call that ends an exec: its processes are found by their mark, from inside the container. */
  const kill = async (
    idOrName: string,
    { id, token, user }: { id: string; token: string; user?: string | undefined },
  ) => {
    const doing = aboutContainer(session, idOrName, 'Ending a command in')
    const signal = AbortSignal.timeout(3_000)
    for (const name of ['TERM', 'KILL']) {
      const script = `for f in /proc/[0-9]*/environ; do grep -q ${mark}=${token} "$f" 2>/dev/null && p=\${f#/proc/} && kill -${name} "\${p%/environ}"; done; true`
      const killer = await begin(idOrName, {
        command: ['/bin/sh', '-c', script],
        environment: {},
        user,
        stdin: false,
        tty: false,
        signal,
      })
      killer.connection.resume()
      await exitCode(killer.id, doing, signal)
      killer.connection.destroy()
      for (let tries = 0; tries < 10; tries += 1) {
        const { text } = await transport.call({ method: 'GET', path: `/exec/${id}/json`, signal, doing })
        if (!read(execInspect, text, doing).Running) return
        await delay(50, undefined, { signal })
      }
    }
  }

  const endOnAbort = async (
    idOrName: string,
    exec: { id: string; token: string; user?: string | undefined },
  ): Promise<void> => {
    // Where there is no shell, or the container is paused or gone, the command is left to the container's own end.
    await kill(idOrName, exec).catch(() => undefined)
  }

  return {
    async exec(idOrName, options) {
      const { signal, stdin, onOutput } = options
      const token = randomUUID()
      const { id, connection, doing } = await begin(idOrName, {
        ...shared(options, token),
        stdin: stdin !== undefined,
        tty: false,
      })
      const abort = (): void => {
        connection.destroy()
      }
      signal?.addEventListener('abort', abort, { once: true })
      const output: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] }
      try {
        connection.on('error', () => undefined)
        if (stdin !== undefined) feed(connection, stdin)
        for await (const frame of received(connection, false)) {
          if (onOutput) onOutput(frame.bytes, frame.stream)
          else output[frame.stream].push(frame.bytes)
        }
        signal?.throwIfAborted()
        const code = await exitCode(id, doing, signal)
        const missing =
          code === 126 || code === 127 ? commandMissing([...output.stdout, ...output.stderr], doing) : undefined
        if (missing) throw missing
        const text = (chunks: readonly Uint8Array[]): string => Buffer.concat(chunks).toString('utf8')
        return { exitCode: code, stdout: text(output.stdout), stderr: text(output.stderr) }
      } catch (error) {
        if (signal?.aborted) await endOnAbort(idOrName, { id, token, user: options.user })
        throw failure(error, doing, signal)
      } finally {
        signal?.removeEventListener('abort', abort)
        connection.destroy()
      }
    },

    async execInteractive(idOrName, options) {
      const { signal, stdin, stdout, tty } = options
      const token = randomUUID()
      const { id, connection, doing } = await begin(idOrName, { ...shared(options, token), stdin: true, tty })
      const resize = async (): Promise<void> => {
        const size = sizeOf(stdout) ?? options.size
        if (!tty || !size) return
        await transport
          .call({
            method: 'POST',
            path: `/exec/${id}/resize`,
            query: { h: size.rows, w: size.columns },
            signal,
            doing,
          })
          // A command that has ended already has no terminal any more.
          .catch(() => undefined)
      }
      const onResize = (): void => void resize()
      const abort = (): void => void connection.destroy()
      signal?.addEventListener('abort', abort, { once: true })
      stdout.on('resize', onResize)
      connection.on('error', () => undefined)
      stdin.pipe(connection)
      try {
        await resize()
        for await (const frame of received(connection, tty)) stdout.write(frame.bytes)
        signal?.throwIfAborted()
        return await exitCode(id, doing, signal)
      } catch (error) {
        if (signal?.aborted) await endOnAbort(idOrName, { id, token, user: options.user })
        throw failure(error, doing, signal)
      } finally {
        signal?.removeEventListener('abort', abort)
        stdout.removeListener('resize', onResize)
        stdin.unpipe(connection)
        connection.destroy()
      }
    },
  }
}

const shared = (options: Omit<ExecOptions, 'stdin' | 'onOutput'>, token: string) => ({
  command: options.command,
  // Only what can be aborted needs to be found again.
  environment: { ...options.environment, ...(options.signal && { [mark]: token }) },
  user: options.user,
  workingDirectory: options.workingDirectory,
  signal: options.signal,
})

/** What a command prints. That it ended without reading its input is no failure: the exit code tells. */
async function* received(connection: Duplex, raw: boolean): AsyncGenerator<Frame> {
  try {
    yield* frames(connection as AsyncIterable<Uint8Array>, { raw })
  } catch (error) {
    if (!isCode(error, 'EPIPE')) throw error
  }
}

function feed(connection: Duplex, stdin: NonNullable<ExecOptions['stdin']>): void {
  if (typeof stdin === 'string' || stdin instanceof Uint8Array) {
    connection.end(stdin)
    return
  }
  stdin.on('error', (error) => connection.destroy(error))
  stdin.pipe(connection)
}

/** Engines report a command that cannot be started as output and exit code 126 or 127. */
function commandMissing(output: readonly Uint8Array[], doing: Doing): unknown {
  const said = Buffer.concat(output).toString('utf8').trim()
  return /^OCI runtime exec failed|^(Error: )?(\w+: )?exec failed:/i.test(said)
    ? refused({ status: 400, message: said }, doing)
    : undefined
}

function sizeOf(stream: NodeJS.WritableStream): { columns: number; rows: number } | undefined {
  const { columns, rows } = stream as Partial<{ columns: number; rows: number }>
  return columns && rows ? { columns, rows } : undefined
}
