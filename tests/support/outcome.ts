/**
 * What a test file's output says happened. uvu's own exit code is not enough: a hook that throws, or a test that throws
 * something that is no error, leaves it 0. Its totals tell the truth.
 */

export interface Failure {
  /** `suite › test`, or empty when the file as a whole failed. */
  readonly test: string
  readonly message: string
  /** The line of the test file that failed, `file:line:column`, where the output names one. */
  readonly place: string | undefined
}

export interface Outcome {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  readonly failures: readonly Failure[]
  /** Reasons from lines `not run: <reason>`. */
  readonly notRun: readonly string[]
}

export interface Ending {
  readonly output: string
  /** null when a signal ended the process. */
  readonly exitCode: number | null
  readonly timedOut: boolean
  readonly deadlineMs: number
}

const failHeader = /^ {3}FAIL {2}(?:(.*?) {2})?"(.*)"$/
const totals = /^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/m
// also behind the name of a suite, where a hook finds out
const notRunLine = /(?:^|\s)not run: (.+)$/gm

/** Reads uvu's output and the way the process ended. Whatever is not clearly a success is a failure with a cause. */
export function readOutcome(ending: Ending): Outcome {
  const { output, exitCode, timedOut, deadlineMs } = ending
  const notRun = [...output.matchAll(notRunLine)].map((match) => match[1]!.trim())
  const failures = readFailures(output)
  const found = totals.exec(output)
  const total = Number(found?.[1] ?? 0)
  const passed = Number(found?.[2] ?? 0)
  const skipped = Number(found?.[3] ?? 0)
  const fileFailed = (message: string): Failure => ({ test: '', message, place: undefined })

  if (timedOut) failures.push(fileFailed(`did not end within ${Math.round(deadlineMs / 1000)} s and was ended`))
  else if (exitCode === null) failures.push(fileFailed('was ended by a signal'))
  else if (!found && exitCode !== 0)
    failures.push(fileFailed(`crashed with exit code ${exitCode}: ${lastWords(output)}`))
  else if (!found && notRun.length === 0) failures.push(fileFailed('ended without reporting a test'))
  else if (found && total === 0 && skipped === 0 && notRun.length === 0) failures.push(fileFailed('has no test'))
  else if (total - passed > failures.length)
    failures.push(fileFailed(`${total - passed - failures.length} more did not pass: a hook or a thrown non-error`))
  else if (exitCode !== 0 && failures.length === 0)
    failures.push(fileFailed(`ended with exit code ${exitCode}: ${lastWords(output)}`))

  return {
    passed,
    failed: Math.max(total - passed, failures.length),
    skipped: skipped + notRun.length,
    failures,
    notRun,
  }
}

function readFailures(output: string): Failure[] {
  const failures: Failure[] = []
  const lines = output.split('\n')
  for (const [index, line] of lines.entries()) {
    const header = failHeader.exec(line)
    if (!header) continue
    const rest = lines.slice(index + 1)
    const end = rest.findIndex((next) => failHeader.test(next))
    const body = end === -1 ? rest : rest.slice(0, end)
    const frame = body.find((next) => /^ {4}at .*\.test\.ts:\d+/.test(next))
    failures.push({
      test: [header[1], header[2]].filter(Boolean).join(' › '),
      message: body.find((next) => next.trim() !== '')?.trim() ?? '',
      place: frame === undefined ? undefined : /(?:file:\/\/)?(\/[^\s()]*:\d+:\d+)/.exec(frame)?.[1],
    })
  }
  return failures
}

/** The last line that says something: of a stack trace its message, not its frames. */
function lastWords(output: string): string {
  const lines = output.split('\n').map((line) => line.trim())
  const error = lines.findLast((line) => /^(?:\w*Error|Uncaught|\[?\w*Error)\b.*:/.test(line))
  return error ?? lines.findLast((line) => line !== '' && !line.startsWith('at ')) ?? 'no output'
}
