/** What a task threw, as the error that a run tells. */
import { join, relative } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { Autopsy } from '../engine/events.ts'
import type { GraphNode } from '../engine/graph.ts'
import { DevstackError, toDevstackError } from '../errors.ts'
import { placeOf, type ShellOutput, shellFailed } from './shell.ts'

/** zx's answer, whichever copy of zx made it. */
export function isProcessOutput(value: unknown): boolean {
  return typeof value === 'object' && value !== null && /ProcessOutput$/.test((value as object).constructor?.name ?? '')
}

/**
 * zx rejects with what the command printed; anything else is told as it is, with its place when it is a bug of the task. Of a
 * command whose place is not known, the config's file is.
 */
export function failureOf(node: GraphNode, thrown: unknown, loaded: LoadedConfig): DevstackError {
  if (isProcessOutput(thrown)) return placed(shellFailed(node.id, thrown as ShellOutput), node, loaded)
  if (thrown instanceof DevstackError) {
    const { autopsy } = thrown as { autopsy?: Autopsy }
    if (autopsy && !loaded.registry.find('logs')) return withAutopsy(thrown, { ...autopsy, next: '' })
    return /^TASK_(COMMAND_|NO_DIRECTORY)/.test(thrown.code) ? placed(thrown, node, loaded) : thrown
  }
  const error = toDevstackError(thrown, 'task', 'TASK_FAILED')
  const place = thrown instanceof Error ? placeOf(thrown.stack) : undefined
  return new DevstackError({
    kind: 'task',
    code: 'TASK_FAILED',
    message: `Task "${node.id}" failed: ${error.message || 'it threw nothing that can be shown'}`,
    cause: thrown,
    ...(place ? { place } : {}),
  })
}

/** The error with another autopsy: one proposes the task `logs` of the stack, which not every config has. */
function withAutopsy(error: DevstackError, autopsy: Autopsy): DevstackError {
  const { message, cause } = error
  return Object.assign(new DevstackError({ ...error, message, cause }), { autopsy })
}

function placed(error: DevstackError, node: GraphNode, { registry, directory }: LoadedConfig): DevstackError {
  const origin = registry.origin(node.task)?.origin
  if (error.place || origin === undefined || origin.startsWith('pack ')) return error
  return new DevstackError({
    ...error,
    message: error.message,
    place: { file: relative(process.cwd(), join(directory, origin)) },
  })
}
