/** The `resilience` pack: failures of the HA stack as experiments. */
import { definePack, type Pack, type TaskTree } from '../../lib/index.ts'
import { failoverTask } from './failover.ts'
import { healLeftFaults } from './faults.ts'

/** Experiments on the stack of `haStack()`: each loses something, measures what a client sees, and heals. */
export function resiliencePack(): Pack {
  return definePack({ name: 'resilience', tasks: resilienceTasks, recover: healLeftFaults })
}

function resilienceTasks(): TaskTree {
  return { 'test-failover': failoverTask() }
}
