/** Asks by running a command inside the container. */
import type { ServiceHandle } from '../runtime/runtime.ts'
import { matches } from './http.ts'
import { type NamedProbe, named } from './poll.ts'

export interface ExecProbeOptions {
  /** Run as it is, without a shell. */
  readonly command: readonly string[]
  readonly user?: string
  readonly environment?: Readonly<Record<string, string>>
  /** Default 0. */
  readonly exitCode?: number
  /** What standard output must hold besides. A function gives `true`, or what is wrong. */
  readonly output?: string | RegExp | ((stdout: string) => boolean | string)
}

/** Healthy when the command ends with the expected exit code and says what is expected. */
export function exec(options: ExecProbeOptions): NamedProbe<ServiceHandle> {
  return named(
    (handle) => `in ${handle.service}: ${formatCommand(options.command)}`,
    async (handle, { signal, runtime }) => {
      const { command, user, environment, exitCode = 0 } = options
      // by its name, which is what a message of the engine's refusal then shows
      const result = await runtime.exec(handle.name, { command, user, environment, signal })
      if (result.exitCode !== exitCode) {
        const said = lastLine(result.stderr) ?? lastLine(result.stdout)
        return { healthy: false, detail: `exit code ${result.exitCode}${said === undefined ? '' : `: ${said}`}` }
      }
      const wrong = outputFault(result.stdout, options.output)
      if (wrong !== undefined) return { healthy: false, detail: wrong }
      return { healthy: true, detail: lastLine(result.stdout) ?? `exit code ${exitCode}` }
    },
  )
}

/** A command as a person would type it. */
export function formatCommand(command: readonly string[]): string {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}

/** The last line that is not blank, at most 200 characters. */
export function lastLine(text: string): string | undefined {
  const line = text.trimEnd().split('\n').at(-1)?.trim()
  if (!line) return undefined
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}

function outputFault(stdout: string, wanted: ExecProbeOptions['output']): string | undefined {
  if (wanted === undefined) return undefined
  const said = lastLine(stdout)
  const suffix = said === undefined ? ' (it is empty)' : `: ${said}`
  if (typeof wanted === 'string') {
    return stdout.includes(wanted) ? undefined : `the output does not contain "${wanted}"${suffix}`
  }
  if (wanted instanceof RegExp) {
    return matches(wanted, stdout) ? undefined : `the output does not match ${wanted}${suffix}`
  }
  const verdict = wanted(stdout)
  return verdict === true ? undefined : verdict === false ? `the output is not as expected${suffix}` : verdict
}
