/** Writes a report as a whole, never half. */
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { DevstackError, messageOf } from '../errors.ts'

/** Replaces `file` by `text` in one step, making its folder; `what` names it in the error: `The JUnit report`. */
export async function writeReport(file: string, text: string, what: string): Promise<void> {
  const partial = `${file}.${process.pid}.partial`
  try {
    await mkdir(dirname(file), { recursive: true })
    await writeFile(partial, text)
    await rename(partial, file)
  } catch (thrown) {
    await rm(partial, { force: true }).catch(() => {})
    throw new DevstackError({
      kind: 'state',
      code: 'REPORT_NOT_WRITTEN',
      message: `${what} could not be written to ${file}: ${messageOf(thrown)}`,
      cause: thrown,
    })
  }
}
