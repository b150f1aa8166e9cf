import { DevstackError } from '../errors.ts'

/** An error of the one who typed. */
export function usage(code: string, message: string, hint?: string): DevstackError {
  return new DevstackError({ kind: 'usage', code, message, hint })
}
