/** The `resilience` pack: failures of the HA stack as experiments. */
import { definePack, type Pack, type TaskTree } from '../../lib/index.ts'
import { cascadeTask } from './cascade.ts'
import { chaosTask } from './chaos.ts'
import { etcdLossTask } from './etcd-loss.ts'
import { experimentsTask } from './experiments.ts'
import { failoverTask } from './failover.ts'
import { leftFaults } from './fault-record.ts'
import { inspectTask } from './inspect.ts'
import { pauseResumeTask } from './pause-resume.ts'
import { redisFailoverTask } from './redis-failover.ts'
import { rollingRestartTask } from './rolling-restart.ts'
import { simulateTask } from './simulate.ts'
import { splitBrainTask } from './split-brain.ts'
import { backupUnderLoadTask, zeroLossTask } from './zero-loss.ts'

/** Experiments on the stack of `haStack()`: each loses something, measures what a client sees, and heals. */
export function resiliencePack(): Pack {
  return definePack({
    name: 'resilience',
    tasks: resilienceTasks,
    urgent: ({ stateDirectory }) => leftFaults(stateDirectory).length > 0,
    // every run comes by here
    recover: async (context) => {
      if (leftFaults(context.project.stateDirectory).length === 0) return
      const { healLeftFaults } = await import('./faults.ts')
      await healLeftFaults(context)
    },
  })
}

function resilienceTasks(): TaskTree {
  return {
    'test-failover': failoverTask(),
    'test-failover:redis': redisFailoverTask(),
    'test-etcd-loss': etcdLossTask(),
    'test-split-brain': splitBrainTask(),
    'test-cascade': cascadeTask(),
    'test-rolling-restart': rollingRestartTask(),
    'test-pause-resume': pauseResumeTask(),
    'test-backup-under-load': backupUnderLoadTask(),
    'validate-zero-loss': zeroLossTask(),
    'test-fault': simulateTask(),
    chaos: chaosTask(),
    inspect: inspectTask(),
    experiments: experimentsTask(),
  }
}
