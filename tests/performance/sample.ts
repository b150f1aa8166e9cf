/** One command measured from outside: wall time, and processor time (user and system) of it and all it started. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Invocation {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
}

export interface Sample {
  readonly wallMs: number
  readonly cpuMs: number
}

/** Clock ticks (10 ms) of this process's ended children. */
function childTicks(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ')
  return Number(fields[13]) + Number(fields[14])
}

/** Runs it to its end. Throws when it fails, with its last output, and when it takes longer than `limitMs`; it is ended then. */
export async function sample(given: Invocation, limitMs: number): Promise<Sample> {
  const before = childTicks()
  const begun = performance.now()
  const child = spawn(given.command, given.args, {
    cwd: given.cwd,
    env: given.env ?? process.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString('latin1')).slice(-4000)
    })
  }
  const { promise, resolve, reject } = Promise.withResolvers<number | null>()
  child.once('error', reject)
  child.once('exit', resolve)
  // asked to end, a runner takes its children along; one that does not end goes with its whole group
  const late = setTimeout(() => child.kill('SIGTERM'), limitMs)
  const tooLate = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), limitMs + 10_000)
  const code = await promise.finally(() => {
    clearTimeout(late)
    clearTimeout(tooLate)
  })
  const wallMs = performance.now() - begun
  if (wallMs > limitMs) throw new Error(`took longer than ${limitMs / 1000} s`)
  if (code !== 0) throw new Error(`ended with ${code}: ${output.trim().split('\n').slice(-3).join(' / ')}`)
  return { wallMs, cpuMs: (childTicks() - before) * 10 }
}

/** The middle one; `of` is not empty. */
export function median(of: readonly number[]): number {
  return [...of].sort((a, b) => a - b)[of.length >> 1]!
}
