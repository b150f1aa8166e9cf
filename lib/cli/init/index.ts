import type { Options } from '../args.ts'
import type { Io } from '../io.ts'

export async function initialize(_given: { directory: string; options: Options; io: Io }): Promise<number> {
  return 0
}
