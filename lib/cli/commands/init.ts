import type { Invocation } from '../args.ts'
import type { Io } from '../io.ts'
import { directoryOf } from '../open.ts'

/** `devstack init`: writes a config from what the folder holds. */
export async function command({ options }: Invocation, io: Io): Promise<number> {
  const { initialize } = await import('../init/index.ts')
  return initialize({ directory: directoryOf(options, io), options, io })
}
