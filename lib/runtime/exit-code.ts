/** Exit codes in words. */

/** An exit code with what it means: above 128 it was a signal (POSIX shells' convention, which engines follow). */
export function exitText(code: number | null): string {
  if (code === null) return 'no exit code'
  const meaning: Readonly<Record<number, string>> = {
    125: 'the engine could not run it',
    126: 'its command is not executable',
    127: 'its command was not found',
    129: 'SIGHUP',
    130: 'SIGINT',
    134: 'SIGABRT',
    137: 'SIGKILL',
    139: 'SIGSEGV',
    143: 'SIGTERM',
  }
  return `exit code ${code}${meaning[code] === undefined ? '' : ` (${meaning[code]})`}`
}
