import * as assert from 'uvu/assert'
import { DevstackError } from '../../lib/errors.ts'

/** The DevstackError that a call throws or rejects with; fails when it does neither, or throws anything else. */
export async function refusal(run: () => unknown): Promise<DevstackError> {
  try {
    await run()
  } catch (thrown) {
    if (thrown instanceof DevstackError) return thrown
    throw thrown
  }
  assert.unreachable('nothing was thrown')
  throw new Error('not reached')
}
