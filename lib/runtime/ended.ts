/** Why a container ended, as an error: what gates and autopsies say about it. */
import { DevstackError } from '../errors.ts'
import type { ContainerDetails } from './runtime.ts'

/** Restarts from which on a container counts as crashing again and again. */
const loop = 3

/**
 * The failure that an ended (or restarting) container stands for: RUNTIME_OUT_OF_MEMORY, RUNTIME_CRASH_LOOP or
 * RUNTIME_EXITED. Undefined while it runs, was never started, or ended well with exit code 0.
 */
export function endOf(details: ContainerDetails): DevstackError | undefined {
  const { name, state, exitCode, restarts, error, oomKilled } = details
  const ended = state === 'exited' || state === 'dead' || state === 'restarting'
  if (!ended) return undefined
  const logs = `See \`docker logs ${name}\`.`
  if (oomKilled)
    return runtimeError('RUNTIME_OUT_OF_MEMORY', {
      message: `Container "${name}" was killed: it wanted more memory than it may have.`,
      hint: 'Raise its memory limit (`mem_limit`, `deploy.resources.limits.memory`), or give the engine more memory.',
    })
  if (restarts >= loop)
    return runtimeError('RUNTIME_CRASH_LOOP', {
      message: `Container "${name}" crashes again and again: ${restarts} restarts, last with ${exitText(exitCode)}.`,
      hint: logs,
    })
  if (exitCode === 0 && state === 'exited' && error === '') return undefined
  return runtimeError('RUNTIME_EXITED', {
    message: `Container "${name}" ended with ${exitText(exitCode)}${error === '' ? '' : `: ${error}`}.`,
    // Podman 4 does not always say that it was for lack of memory.
    hint: exitCode === 137 ? `Somebody killed it, or it wanted more memory than it may have. ${logs}` : logs,
  })
}

const runtimeError = (code: string, { message, hint }: { readonly message: string; readonly hint: string }) =>
  new DevstackError({ kind: 'runtime', code, message, hint })

/** An exit code with what it means: above 128 it was a signal (POSIX shells' convention, which engines follow). */
export function exitText(code: number | null): string {
  if (code === null) return 'no exit code'
  const meaning: Readonly<Record<number, string>> = {
    125: 'the engine could not run it',
    126: 'its command is not executable',
    127: 'its command was not found',
    129: 'SIGHUP',
    130: 'SIGINT',
    134: 'SIGABRT',
    137: 'SIGKILL',
    139: 'SIGSEGV',
    143: 'SIGTERM',
  }
  return `exit code ${code}${meaning[code] === undefined ? '' : ` (${meaning[code]})`}`
}
