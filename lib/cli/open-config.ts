/** The config for a command, once what can not wait for the next run is mended: a fault of a killed experiment. */
import type { LoadedConfig } from '../config/load.ts'
import { projectOf } from '../session/session.ts'
import type { Io } from './io.ts'
import { readConfig } from './open.ts'
import type { Options } from './options.ts'

/** The config that applies. Mending says so on standard error; when it fails, that is said and the command goes on. */
export async function openConfig(options: Options, io: Io): Promise<LoadedConfig> {
  const loaded = await readConfig(options, io)
  const project = projectOf(loaded)
  const urgent = loaded.packs.filter((pack) => pack.urgent?.(project))
  if (urgent.length > 0) await (await import('./mend.ts')).mend(urgent, { loaded, options, io })
  return loaded
}
