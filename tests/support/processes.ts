/** Processes of the test run: started in a group of their own, ended by id, and found again by a mark in their environment. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Name of the environment variable that marks everything a test file starts. */
export const markName = 'DEVSTACK_TEST_MARK'

export interface CapturedOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** Receives standard output and standard error, in order. */
  readonly logFile: string
  readonly deadlineMs: number
  readonly signal: AbortSignal
}

export interface CapturedResult {
  readonly exitCode: number | null
  readonly timedOut: boolean
  readonly durationMs: number
}

/** Runs a command without standard input; at its deadline its whole process group is killed. Never rejects. */
export async function runCaptured(options: CapturedOptions): Promise<CapturedResult> {
  const startedAt = performance.now()
  const log = openSync(options.logFile, 'a')
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', log, log],
    detached: true,
  })
  closeSync(log)
  const { promise, resolve } = Promise.withResolvers<number | null>()
  child.once('error', () => resolve(127))
  child.once('exit', (code) => resolve(code))
  const endGroup = () => {
    if (child.pid !== undefined) endProcess(-child.pid)
  }
  let timedOut = false
  const deadline = setTimeout(() => {
    timedOut = true
    endGroup()
  }, options.deadlineMs)
  options.signal.addEventListener('abort', endGroup, { once: true })
  if (options.signal.aborted) endGroup()
  const exitCode = await promise
  clearTimeout(deadline)
  options.signal.removeEventListener('abort', endGroup)
  return { exitCode, timedOut, durationMs: performance.now() - startedAt }
}

/** Kills a process, or with a negative id a process group; nothing happens when it is gone. */
export function endProcess(id: number): void {
  try {
    process.kill(id, 'SIGKILL')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown
  }
}

export interface Found {
  readonly id: number
  readonly command: string
}

/** Processes, zombies aside, whose environment holds `NAME=value`; the calling one is not among them. Linux only, else none. */
export function processesWith(name: string, value: string): readonly Found[] {
  if (process.platform !== 'linux') return []
  const wanted = `${name}=${value}`
  const found: Found[] = []
  for (const entry of readdirSync('/proc')) {
    const id = Number(entry)
    if (!Number.isInteger(id) || id === process.pid) continue
    try {
      if (!readFileSync(`/proc/${id}/environ`, 'utf8').split('\0').includes(wanted)) continue
      const command = readFileSync(`/proc/${id}/cmdline`, 'utf8').split('\0').join(' ').trim()
      // a zombie has no command line left
      if (command !== '') found.push({ id, command })
    } catch {
      // ended meanwhile, or another user's
    }
  }
  return found
}

/** Waits until no process carries the mark; gives those that are still there after `withinMs` (default 5 s). */
export async function leftovers(name: string, value: string, withinMs = 5000): Promise<readonly Found[]> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const found = processesWith(name, value)
    if (found.length === 0 || performance.now() > deadline) return found
    await sleep(50)
  }
}
