/** What every task gets beside the engine's own context. This file is types alone; lib/session/ makes the values. */
import type { Shell } from 'zx'
import type { Runtime } from './runtime/runtime.ts'

/** The project that a task belongs to. */
export interface Project {
  /** Name that tells this checkout's containers from another's; lower case, `<folder>-<4 hex of the path>` unless set. */
  readonly name: string
  /** Absolute path of the folder of the config. */
  readonly directory: string
  /** Absolute path of the config, for a command that is to use the same; absent when there is no such file. */
  readonly config?: string
  /** `.devstack/` below it: journals, cache, locks, prepared files. */
  readonly stateDirectory: string
  /** `process.env` with `.env` and `.env.local` of the project below it. Read only. */
  readonly environment: Readonly<Record<string, string>>
}

/** The streams of this process, for a command inside a container that a person talks to. */
export interface AttachedStreams {
  readonly stdin: NodeJS.ReadableStream
  readonly stdout: NodeJS.WritableStream
  readonly tty: boolean
  readonly size?: { readonly columns: number; readonly rows: number }
}

/** Who ran the command, as far as a task may talk to them. */
export interface Terminal {
  /** Standard output and input are a terminal, so a person can be asked. */
  readonly interactive: boolean
  readonly columns: number
  readonly colors: boolean
  /** Writes to standard output, redacted. For tasks whose output is their result (`interactive: true`). */
  write(text: string): void
  /** Asks a yes/no question; `--yes` answers true. Without a terminal and without `--yes` throws CONFIRMATION_NEEDED. */
  confirm(question: string): Promise<boolean>
  /**
   * Lends standard input and output to something that talks to the person itself (a shell in a container): raw mode on a
   * terminal, back to normal afterwards whatever happens.
   */
  attach<T>(use: (streams: AttachedStreams) => Promise<T>): Promise<T>
  /** Lets the user choose with the arrow keys; without a terminal throws CHOICE_NEEDED naming the choices. */
  choose(question: string, choices: readonly { readonly value: string; readonly label: string }[]): Promise<string>
}

/** How `exec` runs a command. */
export interface ExecCommandOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Relative to the task's working directory, which is the default. */
  readonly cwd?: string
  readonly input?: string
  /** Keep what is printed out of the events; it is still returned. Default false. */
  readonly quiet?: boolean
  /** False gives an empty `stdout`, so that a long log takes no memory. Default true. */
  readonly capture?: boolean
}

export interface Row {
  /** Milliseconds its steps took. */
  readonly durationMs: number
  /** The last answer of its gate: role, lag, quorum. */
  readonly answer?: string
}

/** What every task gets beside the values of its needs, its params and its signal. */
export interface Ambient {
  /** zx: runs commands with the task's `cwd`, `env` and signal; what they print becomes events. Never goes through interpolation unquoted. */
  readonly $: Shell
  /**
   * Runs one command without zx: words as they are, or text for `/bin/sh -c`. Output becomes events, and what came on
   * standard output is returned as UTF-8 text. Throws TASK_COMMAND_FAILED with the exit code.
   */
  exec(command: string | readonly string[], options?: ExecCommandOptions): Promise<{ readonly stdout: string }>
  /** The container engine; connected on first use. */
  readonly runtime: Runtime
  readonly project: Project
  /** The task's environment: the project's with the task's `envFiles` and `env` on top. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly terminal: Terminal
  /** Masks a value in everything shown or stored from now on. */
  secret(value: string): void
  /** Tells the user something in full that stays on the screen, above what still runs. */
  note(text: string): void
  /** How the rows of this run went so far: services and tasks by name. */
  rows(): ReadonlyMap<string, Row>
  /** Says how the command line was answered: `--yes`, `--no-backup` ... */
  readonly flags: { readonly yes: boolean; readonly noBackup: boolean }
}
