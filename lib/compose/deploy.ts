import {
  bytes,
  count,
  duration,
  fields,
  integer,
  numeric,
  type Reader,
  refuse,
  unsupportedError,
  word,
} from './readers.ts'
import { composeError, isNull, type Node } from './tree.ts'

const swarm = 'It means something to a swarm only'

const limits = fields({ cpus: numeric({ minimum: 0 }), memory: bytes, pids: integer })

const reservations = fields({
  cpus: numeric({ minimum: 0 }),
  memory: bytes,
  devices: refuse(),
  generic_resources: refuse(),
})

const isEmpty = (node: Node) => isNull(node) || (node.kind === 'list' && node.items.length === 0)

const restartPolicy = fields({
  condition: word('none', 'on-failure', 'any'),
  max_attempts: count,
  delay: (node, path) => {
    if (duration(node, path) !== 0) throw unsupportedError(path, node, 'The engine chooses the delay itself')
  },
  window: (node, path) => {
    if (duration(node, path) !== 0) throw unsupportedError(path, node, 'The engine chooses the window itself')
  },
})

const deployFields = fields({
  mode: (node, path) => {
    if (word('replicated', 'global', 'replicated-job', 'global-job')(node, path) !== 'replicated')
      throw unsupportedError(`${path} other than replicated`, node, swarm)
  },
  replicas: (node, path) => {
    if (count(node, path) !== 1)
      throw unsupportedError(`${path} other than 1`, node, 'Write one service for each container')
  },
  resources: fields({ limits, reservations }),
  restart_policy: restartPolicy,
  endpoint_mode: refuse(swarm),
  labels: refuse('Put the labels on the service itself', isEmpty),
  placement: refuse(swarm),
  rollback_config: refuse(swarm),
  update_config: fields({
    order: word('start-first', 'stop-first'),
    parallelism: (node, path) => {
      if (count(node, path) !== 1) throw unsupportedError(`${path} other than 1`, node, 'Each service is one container')
    },
    delay: refuse(swarm),
    failure_action: refuse(swarm),
    max_failure_ratio: refuse(swarm),
    monitor: refuse(swarm),
  }),
})

/** `deploy:` as far as a single engine can honour it. */
export const deploy: Reader = (node, path) => {
  const read = deployFields(node, path)
  const policy = read['restart_policy'] as { condition?: string; max_attempts?: number } | undefined
  if (policy?.max_attempts !== undefined && policy.condition !== 'on-failure') {
    throw composeError(
      'UNSUPPORTED',
      `${path}.restart_policy.max_attempts is not supported without condition: on-failure`,
      {
        at: node,
        hint: 'Engines count attempts after failures only',
      },
    )
  }
  return read
}
