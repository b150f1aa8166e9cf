/** Commands of tasks: zx for scripts, a plain spawn for single commands. What they print becomes events. */
import { type ChildProcess, spawn as nodeSpawn, type SpawnOptions } from 'node:child_process'
import { createRequire } from 'node:module'
import { StringDecoder } from 'node:string_decoder'
import type { Shell } from 'zx'
import type { ExecCommandOptions } from '../context.ts'
import { DevstackError } from '../errors.ts'
import { markVariable, type ProcessSet } from './processes.ts'

export interface ShellOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly processes: ProcessSet
  readonly signal: AbortSignal
  readonly onOutput: (stream: 'stdout' | 'stderr', text: string) => void
  /** The terminal is the command's: nothing is captured, and Ctrl-C reaches it directly. */
  readonly interactive: boolean
}

const require = createRequire(import.meta.url)

/** zx's `$`, bound to a task. zx is loaded at the first use, as many tasks need none. */
export function taskShell(options: ShellOptions): Shell {
  const { $ } = require('zx/core') as typeof import('zx/core')
  const bound = $({
    cwd: options.cwd,
    env: { ...options.env, [markVariable]: options.processes.mark },
    verbose: false,
    quiet: true,
    detached: !options.interactive,
    stdio: options.interactive ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    // zx's own kill of a tree looks at parents alone; ours finds what has left the tree
    spawn: ((file: string, args: readonly string[], settings: SpawnOptions) => {
      if (options.signal.aborted) throw options.signal.reason
      const child = nodeSpawn(file, args, settings)
      watch(child, options, options.onOutput)
      return child
    }) as unknown as typeof import('node:child_process').spawn,
  })
  return bound
}

/** Adds it to the processes of the run, and reads what it prints as text. */
function watch(child: ChildProcess, { processes }: ShellOptions, onText: ShellOptions['onOutput']): void {
  processes.add(child)
  for (const stream of ['stdout', 'stderr'] as const) {
    // a letter of several bytes may come in two pieces
    const decoder = new StringDecoder('utf8')
    child[stream]?.on('data', (chunk: Buffer) => {
      const text = decoder.write(chunk)
      if (text !== '') onText(stream, text)
    })
    child[stream]?.on('end', () => {
      const rest = decoder.end()
      if (rest !== '') onText(stream, rest)
    })
  }
}

/** Most of what a command printed, kept for its error. */
const keptOutput = 64 * 1024

/** Runs one command; see `Ambient.exec`. */
export async function execCommand(
  line: string | readonly string[],
  options: ShellOptions,
  more: ExecCommandOptions = {},
): Promise<{ readonly stdout: string }> {
  if (options.signal.aborted) throw options.signal.reason
  const [file, args] = typeof line === 'string' ? ['/bin/sh', ['-c', line]] : [line[0]!, line.slice(1)]
  const child = nodeSpawn(file, args, {
    cwd: more.cwd ?? options.cwd,
    env: { ...options.env, ...more.env, [markVariable]: options.processes.mark },
    detached: !options.interactive,
    stdio: options.interactive ? 'inherit' : [more.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let last = ''
  watch(child, options, (stream, text) => {
    if (!more.quiet) options.onOutput(stream, text)
    last = (last + text).slice(-keptOutput)
    if (stream === 'stdout' && more.capture !== false) stdout += text
  })
  if (more.input !== undefined) {
    // a command may end without reading all of it
    child.stdin?.on('error', () => {})
    child.stdin?.end(more.input)
  }
  const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null } | Error>((resolve) => {
    child.once('error', resolve)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  if (options.signal.aborted) throw options.signal.reason
  const shown = typeof line === 'string' ? line : line.join(' ')
  if (ended instanceof Error) {
    const missing = (ended as NodeJS.ErrnoException).code === 'ENOENT'
    throw new DevstackError({
      kind: 'task',
      code: missing ? 'TASK_COMMAND_NOT_FOUND' : 'TASK_COMMAND_FAILED',
      message: missing
        ? `"${file}" was not found (or the folder ${more.cwd ?? options.cwd} is missing).`
        : ended.message,
      hint: missing ? 'Install it, or correct PATH or the command.' : undefined,
      cause: ended,
    })
  }
  if (ended.code !== 0) throw commandFailed(shown, ended.code, ended.signal, last)
  return { stdout }
}

/** A command that ended with another code than 0; its last lines are kept. */
export function commandFailed(
  shown: string,
  code: number | null,
  signal: string | null,
  output: string,
): DevstackError {
  const end = signal === null ? `exit code ${code}` : `signal ${signal}`
  const lines = output.trimEnd().split('\n').slice(-10)
  return new DevstackError({
    kind: 'task',
    code: 'TASK_COMMAND_FAILED',
    message: `\`${shown.length > 200 ? `${shown.slice(0, 199)}…` : shown}\` failed with ${end}${code === 127 ? ' (command not found)' : ''}.`,
    details: lines.length === 1 && lines[0] === '' ? [] : lines,
  })
}
