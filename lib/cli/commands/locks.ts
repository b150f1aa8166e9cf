import { join } from 'node:path'
import { formatHolder, openLocks } from '../../state/locks.ts'
import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { openConfig } from '../open-config.ts'

/** `devstack locks`: who holds what, and since when. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const { directory } = await openConfig(options, io)
  const holders = openLocks({ directory: join(directory, '.devstack') }).holders()
  if (options.json) io.stdout.write(`${JSON.stringify(holders, null, 2)}\n`)
  else if (holders.length === 0) io.stdout.write('No lock is held.\n')
  else
    for (const holder of holders)
      io.stdout.write(
        `${formatHolder(holder)}${holder.state === 'dead' ? ' (that process has ended; the next taker gets it)' : ''}\n`,
      )
  return 0
}
