/** A command in a container with this terminal, or this pipe, for its input and output. */
import { type Ambient, DevstackError, type ServiceHandle } from '../../lib/index.ts'

export interface AttachedCommand {
  readonly command: readonly string[]
  readonly user?: string
  readonly environment?: Readonly<Record<string, string>>
}

/** Runs it to its end. Throws EXEC_FAILED with the command's own exit code. */
export async function attachTo(
  { name, service }: Pick<ServiceHandle, 'name' | 'service'>,
  attached: AttachedCommand,
  { runtime, signal, terminal }: Pick<Ambient, 'runtime' | 'terminal'> & { readonly signal: AbortSignal },
): Promise<void> {
  const exitCode = await terminal.attach((streams) =>
    runtime.execInteractive(name, { ...attached, signal, ...streams }),
  )
  if (exitCode === 0) return
  throw new DevstackError({
    kind: 'task',
    code: 'EXEC_FAILED',
    message: `${attached.command[0]} in ${service} ended with exit code ${exitCode}.`,
    exitCode,
  })
}
