/** `reset`: the stack as if it had never run. Its steps `reset:down` and `reset:up` are the stack pack's. */
import { existsSync } from 'node:fs'
import { after, DevstackError, labels, named, type Task, task, z } from '../../lib/index.ts'
import { projectContainers, serviceOf } from '../stack/handles.ts'
import { upParams } from '../stack/up.ts'
import { automaticBackup } from './backup.ts'
import { migrateAll } from './migrate.ts'
import type { DataSettings, Working } from './options.ts'
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
      const { flags } = context
      const silent = flags.noBackup ? undefined : await silentPostgres(context)
      if (silent === 'nothing there') {
        context.log('PostgreSQL has no data here, so no backup is taken')
        return {}
      }
      if (silent !== undefined) {
        throw new DevstackError({
          kind: 'state',
          code: 'RESET_NO_BACKUP',
          message: `PostgreSQL ${silent}, so what it holds can not be backed up before it is destroyed. Nothing was destroyed.`,
          hint: `Start it first: devstack run ${silent === 'is paused' ? 'resume' : 'up'} (or lose it on purpose: devstack run reset --no-backup)`,
        })
      }
      const backup = await automaticBackup(settings, context, { before: 'reset', skip: flags.noBackup })
      return backup === undefined ? {} : { backup }
    },
  })
}

/** Why PostgreSQL can not be asked for its data; `undefined` when it runs. */
async function silentPostgres(working: Working): Promise<'is paused' | 'does not run' | 'nothing there' | undefined> {
  const states = (await projectContainers(working))
    .filter((one) => /^postgres\d*$/.test(serviceOf(one)))
    .map(({ state }) => state)
  if (states.includes('running')) return undefined
  if (states.includes('paused')) return 'is paused'
  const { runtime, project, signal } = working
  const volumes = await runtime.volumes({ [labels.project]: project.name }, { signal })
  return volumes.some(({ name }) => /postgres/.test(name)) ? 'does not run' : 'nothing there'
}

/** The task. Its undo brings the data back into the new cluster. */
export function resetTask(settings: DataSettings, kept: Task<Kept>): Task<Kept> {
  return task({
    description: 'Destroy the stack with its data, start it anew, migrate and seed; a backup is taken first',
    effect: 'destroy',
    // the volumes are named by the step that destroys them
    destroys: ({ flags }) => (flags.noBackup ? [`what ${settings.project} holds, without a backup of it`] : []),
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
