/** What the data pack is told by the config. */
import { resolve } from 'node:path'
import { type Ambient, DevstackError, type PackContext, type Progress, suggest } from '../../lib/index.ts'
import type { SanitizeRules } from './rules.ts'

/** What `dataPack` takes. */
export interface DataPackOptions {
  /** Folder of SQL migrations, relative to the config; default `migrations`. */
  readonly migrations?: string
  /** Folder of SQL files that `seed` runs in order, relative to the config; default `seeds`. */
  readonly seeds?: string
  /** Where backups are kept, relative to the config; default `backups`. */
  readonly backups?: string
  /** Where snapshots of volumes are kept, relative to the config; default `snapshots`. */
  readonly snapshots?: string
  /** Newest backups that are kept; default 10. */
  readonly keep?: number
  /** Database that migrations and seeds are for; default `app`. */
  readonly database?: string
  /** Role that owns it and that migrations run as; its password is `<ROLE>_PASSWORD` in `.env.local`. Default `app`. */
  readonly role?: string
  /** What becomes of each column in a sanitized backup. */
  readonly sanitize?: SanitizeRules
}

/** The options with their defaults, and every folder absolute. */
export interface DataSettings {
  readonly directory: string
  readonly project: string
  readonly environment: Readonly<Record<string, string>>
  readonly migrations: string
  readonly seeds: string
  readonly backups: string
  readonly snapshots: string
  readonly keep: number
  readonly database: string
  readonly role: string
  readonly sanitize: SanitizeRules | undefined
}

/** What every step of the pack works with: a task's context, or that of a recovery. */
export interface Working extends Pick<Ambient, 'runtime' | 'project'> {
  readonly signal: AbortSignal
  log(text: string): void
  progress(progress: Progress): void
}

const known: Readonly<Record<keyof DataPackOptions, true>> = {
  ...{ migrations: true, seeds: true, backups: true, snapshots: true },
  ...{ keep: true, database: true, role: true, sanitize: true },
}

/** Fills in defaults. Throws DATA_PACK_OPTION for a key that is none, and for a `keep` that is no whole number from 1. */
export function settingsOf(options: DataPackOptions, place: PackContext): DataSettings {
  for (const key of Object.keys(options)) {
    if (!Object.hasOwn(known, key)) throw badOption(`has no option "${key}".${suggest(key, Object.keys(known))}`)
  }
  const { keep = 10 } = options
  if (!Number.isInteger(keep) || keep < 1) throw badOption(`needs a whole number from 1 for keep, got ${keep}.`)
  const folder = (path: string | undefined, fallback: string): string => resolve(place.directory, path ?? fallback)
  return {
    directory: place.directory,
    project: place.project,
    environment: place.environment,
    migrations: folder(options.migrations, 'migrations'),
    seeds: folder(options.seeds, 'seeds'),
    backups: folder(options.backups, 'backups'),
    snapshots: folder(options.snapshots, 'snapshots'),
    keep,
    database: options.database ?? 'app',
    role: options.role ?? 'app',
    sanitize: options.sanitize,
  }
}

function badOption(what: string): DevstackError {
  return new DevstackError({
    kind: 'config',
    code: 'DATA_PACK_OPTION',
    message: `dataPack() in the config ${what}`,
    hint: `Its options are ${Object.keys(known).join(', ')}.`,
  })
}
