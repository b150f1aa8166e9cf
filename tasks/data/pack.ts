/** The `data` pack: migrations, seeds, backups and what brings them back. */
import { definePack, type Pack, type PackContext, type TaskTree } from '../../lib/index.ts'
import { backupTask, listTask, verifyTask } from './backup.ts'
import { flushCacheTask } from './cache.ts'
import { migrateTask, newMigrationTask } from './migrate.ts'
import { type DataPackOptions, type DataSettings, settingsOf } from './options.ts'
import { baseBackupTask, disableTask, enableTask, pitrStatusTask } from './pitr.ts'
import { recovery } from './recover.ts'
import { resetBackupTask, resetTask } from './reset.ts'
import { restoreTask } from './restore.ts'
import { sanitizeTask } from './sanitize.ts'
import { seedFromTask, seedTask } from './seed.ts'
import { findBackup } from './shelf.ts'
import { restoreSnapshotTask, snapshotListTask, snapshotTask } from './snapshot.ts'

/** Data of the stack: `use: [haStack(), dataPack({ migrations: 'migrations' })]`. */
export function dataPack(options: DataPackOptions = {}): Pack {
  let made: DataSettings | undefined
  const recover = recovery(() => made)
  return definePack({
    name: 'data',
    tasks: (place: PackContext): TaskTree => {
      made = settingsOf(options, place)
      return dataTasks(made)
    },
    recover,
  })
}

function dataTasks(settings: DataSettings): TaskTree {
  const resetBackup = resetBackupTask(settings)
  const seedFrom = seedFromTask(settings)
  return {
    reset: resetTask(settings, resetBackup),
    'reset:backup': resetBackup,
    migrate: migrateTask(settings),
    'migrate:new': newMigrationTask(settings),
    seed: seedTask(settings, seedFrom),
    'seed:from-snapshot': seedFrom,
    'flush-cache': flushCacheTask(settings),
    backup: backupTask(settings),
    'backup:list': listTask(settings),
    'backup:verify': verifyTask((id) => findBackup(settings.backups, id)),
    restore: restoreTask(settings),
    snapshot: snapshotTask(settings),
    'snapshot:list': snapshotListTask(settings),
    'restore-snapshot': restoreSnapshotTask(settings),
    sanitize: sanitizeTask(settings),
    'pitr:enable': enableTask(settings),
    'pitr:disable': disableTask(settings),
    'pitr:backup': baseBackupTask(settings),
    'pitr:status': pitrStatusTask(settings),
  }
}
