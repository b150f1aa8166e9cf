/** An inspection as one table. */
import { formatBytes, table } from '../../lib/index.ts'
import type { Inspection } from './inspection.ts'

interface Row {
  readonly member: string
  readonly role: string
  readonly position: string
  readonly behind: string
  readonly detail: string
}

/** One row for each member, and the lines about clusters as a whole below. Ends with a newline. */
export function formatInspection(inspection: Inspection, width: number): string {
  const { etcd, postgresql, redis, sentinel } = inspection
  const failed = (member: string, error: string): Row => ({
    member,
    role: 'silent',
    position: '',
    behind: '',
    detail: error,
  })
  const rows: Row[] = [
    ...etcd.members.map((one) =>
      'error' in one
        ? failed(one.member, one.error)
        : {
            member: one.member,
            role: one.role,
            position: `term ${one.term}, index ${one.index}`,
            behind: '',
            detail: `${formatBytes(one.sizeBytes)}, ${one.alarms.length > 0 ? `alarm ${one.alarms.join(', ')}` : 'no alarm'}, etcd ${one.version}`,
          },
    ),
    ...postgresql.members.map((one) =>
      'error' in one
        ? failed(one.member, one.error)
        : {
            member: one.member,
            role: one.role,
            position: `timeline ${one.timeline ?? '?'}`,
            behind: behind(one.lagBytes, one.lagSeconds),
            detail: one.state,
          },
    ),
    ...redis.members.map((one) =>
      'error' in one
        ? failed(one.member, one.error)
        : {
            member: one.member,
            role: one.role,
            position: `offset ${one.offset}`,
            behind: one.role === 'master' ? '' : behind(one.behindBytes, null),
            detail: `${one.link}, ${one.keys} keys`,
          },
    ),
    ...sentinel.members.map((one) =>
      'error' in one
        ? failed(one.member, one.error)
        : {
            member: one.member,
            role: `watches ${one.master}`,
            position: `epoch ${one.epoch}`,
            behind: '',
            detail: `${one.replicas} replicas, sees ${one.sentinels.join(', ') || 'no other'}${one.flags.length > 0 ? `, master ${one.flags.join(',')}` : ''}`,
          },
    ),
  ]
  const columns = (['member', 'role', 'position', 'behind', 'detail'] as const).map((title) => ({
    title,
    value: (row: Row) => row[title],
  }))
  const lines = [table(rows, { columns, width })]
  lines.push(
    etcd.revision === null
      ? 'etcd has no quorum: a linearizable read failed'
      : `etcd: ${etcd.leader ?? 'nobody'} leads, revision ${etcd.revision}`,
  )
  lines.push(
    `PostgreSQL: synchronous standby ${postgresql.synchronousStandby ?? 'none'}${postgresql.maintenance ? ', Patroni is paused' : ''}`,
  )
  if (postgresql.slots.length > 0) {
    const slots = postgresql.slots.map(
      ({ name, active, retainedBytes }) =>
        `${name} ${active ? 'active' : 'idle'}, ${formatBytes(Number(retainedBytes))} kept`,
    )
    lines.push(`slots: ${slots.join('; ')}`)
  }
  const last = postgresql.history.at(-1)
  if (last)
    lines.push(
      `last change of timeline: ${last.timeline} → ${last.timeline + 1}, ${last.at ?? 'at an unknown time'} (${last.reason})`,
    )
  lines.push(`asked in ${inspection.tookMs} ms`)
  return `${lines.join('\n')}\n`
}

function behind(bytes: number | null, seconds: number | null): string {
  const parts = [bytes === null ? '' : formatBytes(bytes), seconds === null ? '' : `${seconds.toFixed(1)} s`]
  return parts.filter(Boolean).join(', ')
}
