/** Talking to the person at the terminal: questions, choices, and output that is a task's result. */
import type { Terminal } from '../context.ts'
import { DevstackError } from '../errors.ts'
import { coloursWanted } from '../report/format.ts'

export interface TerminalOptions {
  /** Looked at when needed: Node makes them at the first look, which takes time. */
  readonly streams: { readonly stdin: NodeJS.ReadStream; readonly stdout: NodeJS.WriteStream }
  readonly yes: boolean
  readonly environment: Readonly<Record<string, string>>
  readonly redact: (text: string) => string
  /** Clears progress output while a person is asked; call the result to bring it back. */
  readonly suspend: () => () => void
  readonly signal: AbortSignal
}

/** The terminal of a session. Prompts come from Inquirer, loaded when one is needed. */
export function createTerminal(options: TerminalOptions): Terminal {
  const { streams } = options
  const isInteractive = (): boolean => streams.stdin.isTTY === true && streams.stdout.isTTY === true
  return {
    get interactive() {
      return isInteractive()
    },
    // nobody cuts lines in a pipe or a file
    get columns() {
      return streams.stdout.columns || Number(options.environment['COLUMNS']) || (streams.stdout.isTTY ? 80 : 200)
    },
    get colors() {
      return coloursWanted({ isTTY: streams.stdout.isTTY === true, environment: options.environment })
    },
    write: (text) => {
      streams.stdout.write(options.redact(text))
    },
    async attach(use) {
      const { stdin, stdout } = streams
      const interactive = isInteractive()
      const resume = options.suspend()
      if (interactive) stdin.setRawMode(true)
      try {
        const size = interactive ? { size: { columns: stdout.columns, rows: stdout.rows } } : {}
        return await use({ stdin, stdout, tty: interactive, ...size })
      } finally {
        if (interactive) stdin.setRawMode(false)
        // a stream that is still read keeps the process alive
        stdin.pause()
        stdin.unref?.()
        resume()
      }
    },
    async confirm(question) {
      if (options.yes) return true
      if (!isInteractive()) {
        throw new DevstackError({
          kind: 'usage',
          code: 'CONFIRMATION_NEEDED',
          message: `This needs a confirmation, and there is no terminal to ask on: ${question}`,
          hint: 'Give --yes to confirm.',
        })
      }
      const { default: confirm } = await import('@inquirer/confirm')
      return asked(options, (context) => confirm({ message: question, default: false }, context))
    },
    async choose(question, choices) {
      if (!isInteractive()) {
        throw new DevstackError({
          kind: 'usage',
          code: 'CHOICE_NEEDED',
          message: `${question} There is no terminal to choose on.`,
          details: choices.map(({ value, label }) => `${value}  ${label}`),
          hint: 'Name one on the command line.',
        })
      }
      const { default: select } = await import('@inquirer/select')
      return asked(options, (context) =>
        select({ message: question, choices: choices.map(({ value, label }) => ({ value, name: label })) }, context),
      )
    },
  }
}

async function asked<T>(
  options: TerminalOptions,
  prompt: (context: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const resume = options.suspend()
  try {
    return await prompt({ signal: options.signal })
  } catch (thrown) {
    if (thrown instanceof Error && /^(ExitPromptError|AbortPromptError|CancelPromptError)$/.test(thrown.name)) {
      throw new DevstackError({
        kind: 'cancelled',
        code: 'CANCELLED',
        message: 'Cancelled at the question; nothing was changed.',
      })
    }
    throw thrown
  } finally {
    resume()
  }
}
