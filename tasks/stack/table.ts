/** Services as a table: address, role, how long it took. */
import { type PortBinding, paint, table } from '../../lib/index.ts'

export interface ServiceRow {
  readonly service: string
  readonly state: string
  readonly healthy: boolean | undefined
  /** What the probe said: role, lag, quorum. */
  readonly detail: string
  readonly ports: readonly PortBinding[]
  readonly took?: string
}

/** The rows as text, with a final newline. */
export function formatServices(
  rows: readonly ServiceRow[],
  options: { readonly width: number; readonly colors: boolean },
): string {
  const withTook = rows.some(({ took }) => took !== undefined)
  const columns = [
    { title: 'service', value: ({ service }: ServiceRow) => service },
    {
      title: 'state',
      value: ({ state, healthy }: ServiceRow) =>
        healthy === undefined ? state : healthy ? 'healthy' : state === 'running' ? 'unhealthy' : state,
      paint: (text: string, { healthy }: ServiceRow) =>
        !options.colors || healthy === undefined ? text : healthy ? paint.green(text) : paint.red(text),
    },
    { title: 'address', value: ({ ports }: ServiceRow) => formatPorts(ports) },
    ...(withTook ? [{ title: 'took', value: ({ took }: ServiceRow) => took ?? '', align: 'right' as const }] : []),
    { title: 'detail', value: ({ detail }: ServiceRow) => detail },
  ]
  return `${table(rows, { columns, width: options.width })}\n`
}

/** `127.0.0.1:15432→5432`, the published ones alone. */
export function formatPorts(ports: readonly PortBinding[]): string {
  return ports
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostIp, hostPort }) => `${hostIp.includes(':') ? `[${hostIp}]` : hostIp}:${hostPort}`)
    .join(', ')
}
