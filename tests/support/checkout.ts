/** A project of a user in a temporary folder, and the devstack command run in it as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { cleanUp, uniqueProject } from './engine.ts'
import { endProcess } from './processes.ts'

const repository = dirname(dirname(import.meta.dirname))
/** What is run as `devstack`. */
export const executable = join(repository, 'bin', 'devstack.cjs')

type Files = Readonly<Record<string, string>>

export interface CheckoutOptions {
  /** Part of the project's name; default `test`. */
  readonly name?: string
  /** Text by path, relative to the folder. As a function it is told the unique project name to put into the config. */
  readonly files: Files | ((project: string) => Files)
  /** Packages besides devstack that its config imports; default zod. */
  readonly modules?: readonly string[]
  /** For every command run in it, on top of the caller's environment; undefined removes a variable. */
  readonly env?: NodeJS.ProcessEnv
}

export interface CommandOptions {
  /** Written to standard input, which is then closed; default: closed at once. */
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
  /** Milliseconds until the process group is killed and the test fails; default 120 s. */
  readonly timeout?: number
  /** Relative to the checkout. */
  readonly cwd?: string
}

/** How a command ended. `exitCode` is 128 + n after signal n, as shells report it. */
export interface Ended {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunningCommand {
  readonly child: ChildProcess
  /** Rejects at the timeout only. */
  readonly ended: Promise<Ended>
  /** Resolves once standard output and standard error together match; rejects when the command ends before. */
  seen(pattern: RegExp): Promise<void>
  /** Sends a signal to the command alone, as `kill` does. */
  signal(name: NodeJS.Signals): void
}

export interface Checkout {
  readonly directory: string
  /** Unique; a config sets it as its `name`. */
  readonly project: string
  write(files: Files): void
  start(args: readonly string[], options?: CommandOptions): RunningCommand
  run(args: readonly string[], options?: CommandOptions): Promise<Ended>
  /** Runs, asserts exit code 0 and gives standard output. */
  succeed(args: readonly string[], options?: CommandOptions): Promise<string>
  /** Runs, asserts this exit code (default 2) and that no stack trace is shown, and gives standard error. */
  refused(args: readonly string[], options?: CommandOptions & { readonly exitCode?: number }): Promise<string>
  /** Ends what still runs, removes the project from the engine when `engine` is set, and the folder. */
  remove(options?: { readonly engine?: boolean }): Promise<void>
}

/** Makes the folder. Call `remove` in a finally. */
export function checkout(options: CheckoutOptions): Checkout {
  const project = uniqueProject(options.name ?? 'test')
  // macOS: the temporary folder is a link, and devstack tells real paths
  const directory = realpathSync(mkdtempSync(join(tmpdir(), `${project}-`)))
  const home = join(directory, '.home')
  const running = new Set<ChildProcess>()

  const write = (files: Files) => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, path)), { recursive: true })
      writeFileSync(join(directory, path), text)
    }
  }
  mkdirSync(join(directory, 'node_modules'))
  mkdirSync(home)
  symlinkSync(repository, join(directory, 'node_modules', 'devstack'), 'dir')
  for (const name of options.modules ?? ['zod']) {
    mkdirSync(dirname(join(directory, 'node_modules', name)), { recursive: true })
    symlinkSync(join(repository, 'node_modules', name), join(directory, 'node_modules', name), 'dir')
  }
  write({ 'package.json': '{ "type": "module", "private": true }\n' })
  write(typeof options.files === 'function' ? options.files(project) : options.files)

  const start: Checkout['start'] = (args, { input, env, timeout = 120_000, cwd = '.' } = {}) => {
    const child = spawn(process.execPath, [executable, ...args], {
      cwd: join(directory, cwd),
      env: { ...process.env, HOME: home, ...options.env, ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      detached: true,
    })
    running.add(child)
    child.stdin?.on('error', () => {
      // it ended without reading: its exit code tells
    })
    child.stdin?.end(input)
    return follow(child, { what: `devstack ${args.join(' ')}`, timeout, ended: () => running.delete(child) })
  }
  const run: Checkout['run'] = (args, commandOptions) => start(args, commandOptions).ended

  return {
    directory,
    project,
    write,
    start,
    run,
    async succeed(args, commandOptions) {
      const ended = await run(args, commandOptions)
      assert.is(ended.exitCode, 0, describe(args, ended))
      return ended.stdout
    },
    async refused(args, { exitCode = 2, ...commandOptions } = {}) {
      const ended = await run(args, commandOptions)
      assert.is(ended.exitCode, exitCode, describe(args, ended))
      assert.not.match(ended.stderr, /^ {4}at .*:\d+:\d+\)?$/m, describe(args, ended))
      return ended.stderr
    },
    async remove({ engine = false } = {}) {
      for (const child of running) if (child.pid !== undefined) endProcess(-child.pid)
      if (engine) await cleanUp(project)
      rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

interface FollowOptions {
  readonly what: string
  readonly timeout: number
  readonly ended: () => void
}

function follow(child: ChildProcess, { what, timeout, ended }: FollowOptions): RunningCommand {
  const output = { stdout: '', stderr: '' }
  const watchers = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const watcher of watchers) watcher()
    })
  }
  const { promise, resolve, reject } = Promise.withResolvers<Ended>()
  const deadline = setTimeout(() => {
    if (child.pid !== undefined) endProcess(-child.pid)
    reject(new Error(`${what} did not end within ${timeout} ms\n${output.stdout}\n${output.stderr}`))
  }, timeout)
  const settle = () => {
    clearTimeout(deadline)
    ended()
  }
  child.once('error', (cause) => {
    settle()
    reject(cause)
  })
  child.once('close', (code, signal) => {
    settle()
    resolve({ exitCode: code ?? 128 + signalNumber(signal), ...output })
  })
  // who only waits for output must not be ended by this rejection
  promise.catch(() => undefined)
  return {
    child,
    ended: promise,
    async seen(pattern) {
      const { promise: match, resolve: found } = Promise.withResolvers<void>()
      const look = () => {
        if (pattern.test(output.stdout + output.stderr)) found()
      }
      watchers.add(look)
      look()
      const end = promise.then((result) => {
        if (!pattern.test(result.stdout + result.stderr))
          throw new Error(`${what} ended with ${result.exitCode} before ${pattern}\n${result.stdout}\n${result.stderr}`)
      })
      try {
        await Promise.race([match, end])
      } finally {
        watchers.delete(look)
      }
    },
    signal(name) {
      child.kill(name)
    },
  }
}

function signalNumber(signal: NodeJS.Signals | null): number {
  const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGKILL: 9, SIGTERM: 15 }
  return (signal && numbers[signal]) ?? 0
}

function describe(args: readonly string[], ended: Ended): string {
  return `devstack ${args.join(' ')} ended with ${ended.exitCode}\n${ended.stdout}\n${ended.stderr}`
}
