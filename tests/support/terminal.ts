/** A command on a pseudo-terminal, with keys pressed when something is on the screen. Uses util-linux' script(1). */
import { spawn, spawnSync } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'
import { endProcess } from './processes.ts'

export interface Key {
  /** Pressed once everything shown since the last key, without escape sequences, matches. */
  readonly after: RegExp
  readonly press: string
}

/** What keys send. */
export const keys = { interrupt: '\x03', endOfInput: '\x04', enter: '\r', up: '\x1b[A', down: '\x1b[B' } as const

export interface TerminalOptions {
  readonly keyboard?: readonly Key[]
  /** Default 100 x 30. */
  readonly columns?: number
  readonly rows?: number
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Milliseconds; default 120 s. */
  readonly timeout?: number
}

export interface TerminalSession {
  readonly exitCode: number
  /** Everything written to the terminal, escape sequences included. */
  readonly raw: string
  /** The same without escape sequences and carriage returns. */
  readonly text: string
}

/** Why tests on a terminal can not run here, for `not run: <reason>`; undefined when they can. */
export function terminalMissing(): string | undefined {
  const probe = spawnSync('script', ['-qec', 'true', '/dev/null'], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, SHELL: '/bin/sh' },
  })
  return probe.status === 0 ? undefined : 'script(1) of util-linux is missing'
}

/** Runs one line of shell on a terminal and resolves with what was shown. Rejects at the timeout, when it is killed. */
export function onTerminal(line: string, options: TerminalOptions = {}): Promise<TerminalSession> {
  const { keyboard = [], columns = 100, rows = 30, timeout = 120_000 } = options
  // without exec the shell would stand between the terminal and the command, and take its signals
  const child = spawn('script', ['-qec', `stty rows ${rows} cols ${columns}; exec ${line}`, '/dev/null'], {
    cwd: options.cwd,
    env: { ...process.env, TERM: 'xterm-256color', ...options.env, SHELL: '/bin/sh' },
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  })
  const { promise, resolve, reject } = Promise.withResolvers<TerminalSession>()
  const left = [...keyboard]
  let raw = ''
  let since = 0
  const deadline = setTimeout(() => {
    if (child.pid !== undefined) endProcess(-child.pid)
    const waiting = left[0] === undefined ? '' : `, still waiting for ${left[0].after}`
    reject(new Error(`"${line}" did not end within ${timeout} ms${waiting}\n${plain(raw)}`))
  }, timeout)
  child.stdin.on('error', () => {
    // it ended: its exit code tells
  })
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    raw += chunk
    const next = left[0]
    if (next === undefined || !next.after.test(plain(raw.slice(since)))) return
    left.shift()
    since = raw.length
    child.stdin.write(next.press)
  })
  child.once('error', (cause) => {
    clearTimeout(deadline)
    reject(cause)
  })
  child.once('close', (code) => {
    clearTimeout(deadline)
    resolve({ exitCode: code ?? 1, raw, text: plain(raw) })
  })
  return promise
}

function plain(raw: string): string {
  return stripVTControlCharacters(raw).replaceAll('\r', '')
}
