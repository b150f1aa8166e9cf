/** `reset`: the stack as if it had never run. Its steps `reset:down` and `reset:up` are the stack pack's. */
import { existsSync } from 'node:fs'
import { after, named, type Task, task, z } from '../../lib/index.ts'
import { upParams } from '../stack/up.ts'
import { automaticBackup } from './backup.ts'
import { postgresRuns } from './cluster.ts'
import { migrateAll } from './migrate.ts'
import type { DataSettings } from './options.ts'
import { bringBack } from './restore.ts'
import { fillSeeds } from './seed.ts'

const value = z.object({ backup: z.string().optional() })
type Kept = z.infer<typeof value>

/** The first step: what is there is kept, unless it is said that it need not be. */
export function resetBackupTask(settings: DataSettings): Task<Kept> {
  return task({
    description: 'Back up what reset destroys',
    private: true,
    effect: 'create',
    locks: ['postgres'],
    returns: value,
    run: async (context): Promise<Kept> => {
      if (!context.flags.noBackup && !(await postgresRuns(context))) {
        context.log('PostgreSQL does not run, so no backup is taken')
        return {}
      }
      const backup = await automaticBackup(settings, context, { before: 'reset', skip: context.flags.noBackup })
      return backup === undefined ? {} : { backup }
    },
  })
}

/** The task. Its undo brings the data back into the new cluster. */
export function resetTask(settings: DataSettings, kept: Task<Kept>): Task<Kept> {
  return task({
    description: 'Destroy the stack with its data, start it anew, migrate and seed; a backup is taken first',
    effect: 'change',
    locks: ['postgres'],
    runLocks: ['stack'],
    params: upParams.pick({ fast: true, ephemeral: true }),
    needs: (form) => ({ kept, up: after(named('reset:up'), { params: form }) }),
    returns: value,
    run: async (context): Promise<Kept> => {
      if (existsSync(settings.migrations)) await migrateAll(settings, context)
      else context.log(`there are no migrations in ${settings.migrations}`)
      if (existsSync(settings.seeds)) await fillSeeds(settings, context)
      else context.log(`there are no seeds in ${settings.seeds}`)
      const { backup } = context.needs.kept
      if (backup !== undefined) context.log(`what was there before: devstack run restore ${backup}`)
      return context.needs.kept
    },
    undo: async (context) => {
      const { backup } = context.value
      if (backup !== undefined) await bringBack(settings, context, backup)
    },
  })
}
