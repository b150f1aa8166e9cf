/** Commands of tasks: zx for scripts, a plain spawn for single commands. What they print becomes events. */
import { type ChildProcess, spawn as nodeSpawn, type SpawnOptions } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { relative, resolve } from 'node:path'
import { StringDecoder } from 'node:string_decoder'
import type { ProcessPromise, Shell } from 'zx'
import type { ExecCommandOptions } from '../context.ts'
import { DevstackError, type Place } from '../errors.ts'
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
  const { $, log } = require('zx/core') as typeof import('zx/core')
  /** Commands that have begun, by zx's id: its answer does not say what it is the answer to. */
  const begun = new Map<string, { readonly cmd: string; readonly cwd: string }>()
  const waiting = new Map<string, ProcessPromise>()
  const bound = $({
    cwd: options.cwd,
    env: { ...options.env, [markVariable]: options.processes.mark },
    verbose: false,
    quiet: true,
    detached: !options.interactive,
    stdio: options.interactive ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    log: (entry) => {
      log(entry)
      if (entry.kind === 'cmd') begun.set(entry.id, { cmd: entry.cmd, cwd: resolve(options.cwd, entry.cwd) })
      if (entry.kind !== 'end') return
      const command = begun.get(entry.id)
      const promise = waiting.get(entry.id)
      begun.delete(entry.id)
      waiting.delete(entry.id)
      // the answer is there once zx has gone on; whoever awaits it is told later
      if (command && promise && entry.exitCode !== 0)
        queueMicrotask(() => void (promise.output && failed.set(promise.output, command)))
    },
    // zx's own kill of a tree looks at parents alone; ours finds what has left the tree
    spawn: ((file: string, args: readonly string[], settings: SpawnOptions) => {
      if (options.signal.aborted) throw options.signal.reason
      const cwd = resolve(options.cwd, String(settings.cwd ?? '.'))
      const child = nodeSpawn(file, args, { ...settings, cwd })
      watch(child, options, options.onOutput)
      return child
    }) as unknown as typeof import('node:child_process').spawn,
  })
  return rememberingPromises(bound, waiting)
}

/** What failed: the command's text and where it ran, by the answer that zx rejects with. */
const failed = new WeakMap<object, { readonly cmd: string; readonly cwd: string }>()

/** Gives each command's promise to `waiting`, also of a `$` with further options. */
function rememberingPromises(shell: Shell, waiting: Map<string, ProcessPromise>): Shell {
  return new Proxy(shell, {
    apply: (target, self, args) => {
      const made: unknown = Reflect.apply(target, self, args)
      if (typeof made === 'function') return rememberingPromises(made as Shell, waiting)
      if (made instanceof Promise) waiting.set((made as ProcessPromise).id, made as ProcessPromise)
      return made
    },
  })
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
  const called = new Error()
  const [file, args] = typeof line === 'string' ? ['/bin/sh', ['-c', line]] : [line[0]!, line.slice(1)]
  const cwd = resolve(options.cwd, more.cwd ?? '.')
  const child = nodeSpawn(file, args, {
    cwd,
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
    if (missing && !existsSync(cwd)) throw noDirectory(cwd, shown, placeOf(called.stack))
    throw new DevstackError({
      kind: 'task',
      code: missing ? 'TASK_COMMAND_NOT_FOUND' : 'TASK_COMMAND_FAILED',
      message: missing ? `"${file}" was not found.` : ended.message,
      hint: missing ? 'Install it, or correct PATH or the command.' : undefined,
      cause: ended,
      place: placeOf(called.stack),
    })
  }
  if (ended.code !== 0) {
    throw commandFailed({ shown, code: ended.code, signal: ended.signal, output: last, place: placeOf(called.stack) })
  }
  return { stdout }
}

/** What zx rejects with: the answer of a command that failed. */
export interface ShellOutput {
  readonly exitCode: number | null
  readonly signal: string | null
  readonly stderr: string
  readonly stdall?: string
  /** Why it could not even start. */
  readonly cause?: unknown
  readonly _dto?: { readonly from?: string }
}

/** The error of a command of `$`; `node` stands for a command that is not known. */
export function shellFailed(node: string, output: ShellOutput): DevstackError {
  const { cmd = node, cwd } = failed.get(output) ?? {}
  const place = placeOf(output._dto?.from)
  if (output.cause && cwd !== undefined && !existsSync(cwd)) return noDirectory(cwd, cmd, place)
  const { exitCode: code, signal, stdall, stderr } = output
  return commandFailed({ shown: cmd, code, signal, output: stdall ?? stderr, place })
}

interface FailedCommand {
  readonly shown: string
  readonly code: number | null
  readonly signal: string | null
  readonly output: string
  readonly place: Place | undefined
}

/** A command that ended with another code than 0; its last lines are kept. */
function commandFailed({ shown, code, signal, output, place }: FailedCommand): DevstackError {
  const end = signal === null ? `exit code ${code}` : `signal ${signal}`
  const lines = output.trimEnd().split('\n').slice(-10)
  return new DevstackError({
    kind: 'task',
    code: 'TASK_COMMAND_FAILED',
    message: `\`${onOneLine(shown)}\` failed with ${end}${code === 127 ? ' (command not found)' : ''}.`,
    details: lines.length === 1 && lines[0] === '' ? [] : lines,
    place,
  })
}

function noDirectory(cwd: string, shown: string, place: Place | undefined): DevstackError {
  return new DevstackError({
    kind: 'task',
    code: 'TASK_NO_DIRECTORY',
    message: `The working directory ${cwd} of \`${onOneLine(shown)}\` does not exist.`,
    hint: 'Create it in a task that this one needs, or correct `cwd`.',
    place,
  })
}

function onOneLine(command: string): string {
  const line = command.trim().replace(/\s*\n\s*/g, ' ')
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}

/** The first frame of a stack that is the user's. */
export function placeOf(stack = ''): Place | undefined {
  for (const frame of stack.split('\n')) {
    const match = /(?:file:\/\/)?(\/[^():]+\.[cm]?[jt]s)(?:\?[^:]*)?:(\d+):(\d+)/.exec(frame)
    if (!match || match[1]!.includes('/node_modules/') || match[1]!.includes('/dist/')) continue
    const file = relative(process.cwd(), match[1]!)
    return { file: file.startsWith('..') ? match[1]! : file, line: Number(match[2]), column: Number(match[3]) }
  }
  return undefined
}
