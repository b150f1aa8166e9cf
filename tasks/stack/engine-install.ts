/**
 * Brings a container engine to a Debian or Ubuntu machine that has none: package, then service. Nothing here asks for
 * consent; the task that calls it has asked before.
 */
import { spawn } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Shell } from 'zx'
import { DevstackError } from '../../lib/index.ts'
import { type Host, isDebianFamily } from './host.ts'

const defaultSocket = '/var/run/docker.sock'
const packages = ['docker.io', 'iptables', 'iproute2']

/** What would be done to the machine. `commands` are run in order; `service` says who starts the engine. */
export interface EnginePlan {
  readonly commands: readonly (readonly string[])[]
  readonly service: 'systemd' | 'detached'
}

/**
 * Decides how an engine comes to this machine, as commands a person can read before consenting. Throws
 * ENGINE_INSTALL_UNSUPPORTED off Debian and Ubuntu and ENGINE_NEEDS_ROOT for an ordinary user, with the commands to type.
 */
export function planEngine(host: Host): EnginePlan {
  const service = host.systemd ? 'systemd' : 'detached'
  const commands: (readonly string[])[] = []
  if (host.programs['dockerd'] === undefined) {
    if (host.platform !== 'linux' || !isDebianFamily(host.release) || host.programs['apt-get'] === undefined) {
      const name = host.release['PRETTY_NAME'] ?? host.platform
      throw new DevstackError({
        kind: 'runtime',
        code: 'ENGINE_INSTALL_UNSUPPORTED',
        message: `devstack installs a container engine on Debian and Ubuntu only; this is ${name}.`,
        hint: 'Install Docker (https://docs.docker.com/engine/install/) or Podman, start it, and run the command again.',
      })
    }
    const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-o', 'DPkg::Lock::Timeout=120']
    commands.push([...apt, 'update', '-q'], [...apt, 'install', '-q', '-y', '--no-install-recommends', ...packages])
  }
  if (service === 'systemd') commands.push(['systemctl', 'enable', '--now', 'docker'])
  if (!host.root) {
    const lines = commands.map((command) => `sudo ${command.join(' ')}`)
    if (service === 'detached') lines.push('sudo sh -c "dockerd >/var/log/dockerd.log 2>&1 &"')
    lines.push('sudo usermod -aG docker "$USER"   # then log in again')
    throw new DevstackError({
      kind: 'runtime',
      code: 'ENGINE_NEEDS_ROOT',
      message: 'Only root can install and start a container engine.',
      details: lines,
      hint: 'Run these commands, then this one again.',
    })
  }
  return { commands, service }
}

export interface InstallOptions {
  readonly $: Shell
  readonly host: Host
  readonly log: (text: string) => void
  readonly signal: AbortSignal
  /** Where the output of an engine that we start ourselves goes. */
  readonly logFile: string
}

/** A running engine. `pid` is set when it is a process that we started, not a service of the machine. */
export interface StartedEngine {
  readonly socket: string
  readonly pid?: number
}

/** Installs what is missing and starts the engine; resolves once it answers. */
export async function installEngine(options: InstallOptions): Promise<StartedEngine> {
  const { $, host, log, signal, logFile } = options
  const plan = planEngine(host)
  for (const command of plan.commands) {
    log(command.filter((word) => !word.includes('=') && word !== 'env' && word !== '-o').join(' '))
    const { exitCode, stdout, stderr } = await $({ nothrow: true })`${command}`
    if (exitCode !== 0) throw commandFailed(command, exitCode, `${stdout}\n${stderr}`)
  }
  // a package's own service script may have started it by now
  if (plan.service === 'systemd') {
    await waitForEngine({ socket: defaultSocket, signal, withinMs: 60_000 })
    return { socket: defaultSocket }
  }
  if (await engineAnswers(defaultSocket, signal)) return { socket: defaultSocket }
  log(`starting dockerd, log in ${logFile}`)
  return startEngine({ program: host.programs['dockerd'] ?? '/usr/sbin/dockerd', logFile, signal })
}

function commandFailed(command: readonly string[], exitCode: number | null, output: string): DevstackError {
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  return new DevstackError({
    kind: 'runtime',
    code: 'ENGINE_INSTALL_FAILED',
    message: `"${command.join(' ')}" ended with exit code ${exitCode}.`,
    details: lines.slice(-20),
    hint: 'Fix what it says, or install Docker or Podman by hand, and run the command again.',
  })
}

export interface StartOptions {
  readonly program: string
  /** Arguments for dockerd; default none. */
  readonly args?: readonly string[]
  readonly logFile: string
  readonly signal: AbortSignal
  /** Default: Docker's own. */
  readonly socket?: string
  /** Where dockerd and its containerd keep their process ids; default: Docker's own places. */
  readonly pidFiles?: { readonly dockerd: string; readonly containerd: string }
  /** Deadline for its first answer; default 60 s. */
  readonly withinMs?: number
}

/**
 * Starts dockerd as a process of its own that outlives this one; resolves once it answers. Process id files that an
 * engine killed hard left behind are removed first: dockerd does not start when their number is in use again, by
 * whatever process, or by a zombie that nobody has collected.
 */
export async function startEngine(options: StartOptions): Promise<StartedEngine> {
  const { program, args = [], logFile, signal, socket = defaultSocket, withinMs = 60_000 } = options
  const pidFiles = options.pidFiles ?? {
    dockerd: '/var/run/docker.pid',
    containerd: '/var/run/docker/containerd/containerd.pid',
  }
  dropStalePidFile(pidFiles.dockerd, 'dockerd')
  dropStalePidFile(pidFiles.containerd, 'containerd')
  signal.throwIfAborted()
  const output = openSync(logFile, 'w')
  const child = spawn(program, args, { cwd: '/', stdio: ['ignore', output, output], detached: true })
  closeSync(output)
  const ended = new AbortController()
  let end = 'was ended'
  child.once('error', (cause) => {
    end = `could not be started: ${cause.message}`
    ended.abort()
  })
  child.once('exit', (code) => {
    end = code === null ? 'was ended by a signal' : `ended with exit code ${code}`
    ended.abort()
  })
  child.unref()
  const lastLines = () => (existsSync(logFile) ? readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-20) : [])
  try {
    await waitForEngine({ socket, signal: AbortSignal.any([signal, ended.signal]), withinMs })
  } catch (cause) {
    if (!ended.signal.aborted) child.kill('SIGTERM')
    if (signal.aborted) throw cause
    throw new DevstackError({
      kind: 'runtime',
      code: 'ENGINE_START_FAILED',
      message: ended.signal.aborted ? `dockerd ${end}.` : `dockerd did not answer within ${withinMs / 1000} s.`,
      details: lastLines(),
      hint: `Its whole log is in ${logFile}.`,
      cause,
    })
  }
  child.removeAllListeners()
  return child.pid === undefined ? { socket } : { socket, pid: child.pid }
}

/** Removes a process id file unless that process runs and is the program it should be. Linux; elsewhere nothing happens. */
export function dropStalePidFile(path: string, program: string): void {
  if (!existsSync(path) || process.platform !== 'linux') return
  const id = Number.parseInt(readFileSync(path, 'utf8'), 10)
  if (runningProgram(id) !== program) rmSync(path, { force: true })
}

/** The name of a running process' program; undefined when there is none, and for a zombie, which has ended already. */
function runningProgram(id: number): string | undefined {
  try {
    // `pid (name) state ...`, proc_pid_stat(5)
    const [, name, state] = /^\d+ \((.*)\) (.)/s.exec(readFileSync(`/proc/${id}/stat`, 'utf8')) ?? []
    return state === 'Z' || state === 'X' ? undefined : name
  } catch {
    return undefined
  }
}

interface WaitOptions {
  readonly socket: string
  readonly signal: AbortSignal
  readonly withinMs: number
}

async function waitForEngine({ socket, signal, withinMs }: WaitOptions): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await engineAnswers(socket, signal))) {
    signal.throwIfAborted()
    if (performance.now() > deadline) {
      throw new DevstackError({
        kind: 'timeout',
        code: 'ENGINE_NOT_ANSWERING',
        message: `No container engine answered at ${socket} within ${withinMs / 1000} s.`,
        hint: 'Look at `systemctl status docker` and `journalctl -u docker`.',
      })
    }
    await sleep(50, undefined, { signal })
  }
}

/** Whether an engine answers `GET /_ping` at this socket with 200 within 5 s. Never rejects. */
export function engineAnswers(socket: string, signal?: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const call = request({ socketPath: socket, path: '/_ping', timeout: 5000, agent: false, signal }, (response) => {
    response.resume()
    response.once('end', () => resolve(response.statusCode === 200))
    response.once('error', () => resolve(false))
  })
  call.once('error', () => resolve(false))
  call.once('timeout', () => call.destroy())
  call.end()
  return promise
}

/** Ends an engine that `startEngine` started: asks, waits for its end, and kills it after `graceMs` (default 30 s). */
export async function stopEngine(pid: number, graceMs = 30_000): Promise<void> {
  const deadline = performance.now() + graceMs
  if (!send(pid, 'SIGTERM')) return
  while (send(pid, 0)) {
    if (performance.now() > deadline) {
      send(pid, 'SIGKILL')
      return
    }
    await sleep(50)
  }
}

function send(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name)
    return true
  } catch {
    return false
  }
}
