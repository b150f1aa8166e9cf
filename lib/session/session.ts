/**
 * Everything one devstack process holds while it runs tasks: the loaded config, the engine connection, the sinks of events,
 * redaction, and the person at the terminal. Tasks see it through `Ambient` alone.
 */
import { join } from 'node:path'
import type { LoadedConfig } from '../config/load.ts'
import type { Project, Terminal } from '../context.ts'
import { randomHex } from '../engine/checksum.ts'
import { milliseconds } from '../engine/task.ts'
import type { Redactor } from '../report/redact.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { StopDelays, Urgency } from './processes.ts'

export interface Session {
  readonly loaded: LoadedConfig
  readonly project: Project
  readonly runtime: Runtime
  readonly terminal: Terminal
  readonly redactor: Redactor
  readonly signal: AbortSignal
  readonly urgency: Urgency
  readonly delays: StopDelays
  readonly flags: { readonly yes: boolean; readonly noBackup: boolean }
  readonly force: boolean
  readonly cache: boolean
  /** Clears progress output for an interactive task. */
  readonly suspend: () => () => void
}

/** Where tasks live, in the words of `Ambient`. */
export function projectOf(loaded: LoadedConfig): Project {
  return {
    get name() {
      return loaded.project
    },
    directory: loaded.directory,
    config: loaded.file,
    stateDirectory: join(loaded.directory, '.devstack'),
    environment: loaded.environment,
  }
}

/** Delays of the config, else 5 s each. */
export function delaysOf(loaded: LoadedConfig): StopDelays {
  return {
    interruptMs: milliseconds(loaded.config.cancel?.interrupt ?? 5000),
    terminateMs: milliseconds(loaded.config.cancel?.terminate ?? 5000),
  }
}

/** How long a task may take to end after it was cancelled: the time of all signals, and a little to tidy up. */
export function graceOf(loaded: LoadedConfig): number {
  const { interruptMs, terminateMs } = delaysOf(loaded)
  return interruptMs + terminateMs + milliseconds(loaded.config.cancel?.abandon ?? 5000)
}

/** A run's id: sorts by time, names nothing else on this machine. */
export function newRunId(now: Date = new Date()): string {
  const stamp = now.toISOString().replaceAll(/[-:]/g, '').replace('T', '-').slice(0, 15)
  return `${stamp}-${randomHex(6)}`
}
