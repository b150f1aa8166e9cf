/** What each service of the HA stack must show before it counts as ready. */
import { type ContainerGate, gate, type ServiceHandle } from '../../lib/index.ts'
import { etcdMember } from './etcd.ts'
import { postgresCluster, postgresMember } from './patroni.ts'
import { postgresServer } from './postgres.ts'
import { redisNode } from './redis.ts'
import { sentinelNode, sentinelQuorum } from './sentinel.ts'

/** Gates by service name, those of the fast mode included. */
export function serviceGates(password: string): Record<string, ContainerGate<ServiceHandle>> {
  const gates: Record<string, ContainerGate<ServiceHandle>> = {
    postgres: gate({
      description: 'PostgreSQL accepts connections',
      question: 'PostgreSQL startup message',
      probe: postgresServer(),
      within: '60s',
    }),
    redis: gate({
      description: 'Redis answers',
      question: 'Redis INFO replication',
      probe: redisNode({ password }),
      within: '60s',
    }),
  }
  for (const number of [1, 2, 3]) {
    gates[`etcd${number}`] = gate({
      description: 'etcd member started, one leader, linearizable read',
      question: 'etcd /v3/maintenance/status, /v3/cluster/member/list, /v3/kv/range',
      probe: etcdMember({ members: 3 }),
      within: '60s',
    })
    gates[`postgres${number}`] = gate({
      description: 'PostgreSQL leader, or a streaming replica',
      question: 'Patroni GET /health',
      probe: postgresMember(),
      // each answer costs the member what it needs for starting
      backoff: { steady: 20, atMost: 150 },
      within: '120s',
    })
    gates[`redis${number}`] = gate({
      description: 'Redis master, or a replica whose link is up',
      question: 'Redis INFO replication',
      probe: redisNode({ password }),
      within: '60s',
    })
    gates[`sentinel${number}`] = gate({
      description: 'Sentinel quorum, every replica and Sentinel known',
      question: 'SENTINEL CKQUORUM, SENTINEL MASTER',
      probe: sentinelNode({ password }),
      within: '60s',
    })
  }
  return gates
}

/** One leader, each replica streaming, a synchronous standby: nothing acknowledged can be lost. */
export const postgresReplicated: ContainerGate<readonly ServiceHandle[]> = gate({
  description: 'PostgreSQL leader, replicas streaming, synchronous standby',
  question: 'Patroni GET /cluster',
  probe: postgresCluster(),
  within: '120s',
})

/** All Sentinels agree on the master and see each other: one that was recreated last must not be missed by the others. */
export function sentinelsAgree(password: string): ContainerGate<readonly ServiceHandle[]> {
  return gate({
    description: 'Sentinels agree and see each other',
    question: 'SENTINEL MASTER, SENTINELS, CKQUORUM on each',
    probe: sentinelQuorum({ password }),
    within: '60s',
  })
}
