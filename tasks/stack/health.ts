/** `health` and `status`: asks each service what its gate would ask, once. */
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Ambient,
  type Answer,
  type ContainerGate,
  type ContainerSummary,
  DevstackError,
  handleOf,
  healthyGate,
  runningOrDoneGate,
  type ServiceHandle,
  type Task,
  task,
  z,
} from '../../lib/index.ts'
import { chosen, notUp, projectContainers, serviceOf } from './handles.ts'
import { keep } from './history.ts'
import type { DerivedState } from './state.ts'
import { formatServices, type ServiceRow } from './table.ts'

export interface HealthOptions {
  /** Gates by service; one without is asked by its own healthcheck, else whether it runs, or ended well for good. */
  readonly gates: (context: Around) => Promise<Gates>
  /** Services that must be there. */
  readonly expected: (context: Around) => Promise<readonly string[]>
}

type Gates = Readonly<Record<string, ContainerGate<ServiceHandle> | readonly ContainerGate<ServiceHandle>[]>>
type Around = Ambient & { readonly signal: AbortSignal }

/** One answer for each service, missing ones included. */
export async function readHealth(
  context: Around,
  options: HealthOptions,
  names?: readonly string[],
): Promise<readonly ServiceRow[]> {
  const [containers, gates, expected] = await Promise.all([
    projectContainers(context),
    options.gates(context),
    options.expected(context),
  ])
  const wanted = names && names.length > 0 ? chosen(containers, names) : containers
  const rows = await Promise.all(wanted.map((container) => rowOf(container, gates, context)))
  if (names && names.length > 0) return rows
  const missing = expected.filter((name) => !containers.some((container) => serviceOf(container) === name))
  return [
    ...rows,
    ...missing.map(
      (service): ServiceRow => ({
        service,
        state: 'missing',
        healthy: false,
        detail: 'there is no container',
        ports: [],
      }),
    ),
  ]
}

/** Looks at every service and keeps what was seen for `history`. */
export async function record(by: string, context: Around, options: HealthOptions): Promise<DerivedState> {
  return keep(by, await readHealth(context, options), context)
}

async function rowOf(container: ContainerSummary, gates: Gates, context: Around): Promise<ServiceRow> {
  const service = serviceOf(container)
  const { state, status, ports } = container
  const given = gates[service]
  let answer: Answer = { healthy: false, detail: status }
  if (state === 'running' && given !== undefined) answer = await askAll([given].flat(), container, context)
  else if (state === 'running' || (state === 'exited' && given === undefined)) answer = await askOwn(container, context)
  return { service, state, ports, healthy: answer.healthy, detail: answer.detail }
}

/** The first bad answer, or the last good one. */
async function askAll(
  gates: readonly ContainerGate<ServiceHandle>[],
  container: ContainerSummary,
  context: Around,
): Promise<Answer> {
  let answer: Answer = { healthy: true, detail: container.status }
  for (const gate of gates) {
    if (gate.ask) answer = await gate.ask(handleOf(container, serviceOf(container)), context)
    if (!answer.healthy) break
  }
  return answer
}

/** A server is asked by its healthcheck, here and now; without one it is healthy while it runs, and a job once it is done. */
async function askOwn(container: ContainerSummary, context: Around): Promise<Answer> {
  const { runtime, signal } = context
  const { id, state, status } = container
  const health = (await runtime.inspect(id, { signal }))?.health
  const tested = health !== undefined && health.status !== 'none'
  if (tested && state === 'running') return askAll([healthyGate()], container, context)
  const answer = await askAll([runningOrDoneGate()], container, context)
  // a server that ended, however well, does not serve
  return answer.healthy && state === 'exited' && !tested
    ? answer
    : { healthy: answer.healthy && !tested, detail: status }
}

const common = { services: z.array(z.string()).optional().describe('only these, separated by commas') }

/** `health`: exit code 0 healthy, 1 unhealthy, 2 usage, 3 the deadline passed. */
export function healthTask(options: HealthOptions): Task<undefined> {
  return task({
    description: 'Ask every service whether it is really healthy',
    effect: 'read',
    interactive: true,
    params: z.object({
      ...common,
      json: z.boolean().default(false).describe('print JSON'),
      wait: z.boolean().default(false).describe('wait until all are healthy'),
      timeout: z.coerce.number().positive().default(60).describe('with --wait: seconds until it gives up'),
    }),
    run: async (context) => {
      const { params, terminal, signal } = context
      const until = performance.now() + params.timeout * 1000
      for (;;) {
        const rows = await readHealth(context, options, params.services)
        const healthy = rows.length > 0 && rows.every((row) => row.healthy)
        const late = performance.now() >= until
        if (healthy || !params.wait || late) {
          if (whole(params.services)) await keep('health', rows, context)
          print(rows, { healthy, json: params.json, terminal })
          if (healthy) return
          if (rows.length === 0) throw notUp()
          throw unhealthy(rows, params.wait && late ? params.timeout : undefined)
        }
        await delay(100, undefined, { signal })
      }
    },
  })
}

function print(
  rows: readonly ServiceRow[],
  { healthy, json, terminal }: Pick<Ambient, 'terminal'> & { readonly healthy: boolean; readonly json: boolean },
): void {
  if (json) {
    const services = rows.map(({ service, state, healthy: one, detail }) => ({ service, state, healthy: one, detail }))
    terminal.write(`${JSON.stringify({ healthy, services }, null, 2)}\n`)
  } else if (rows.length > 0) terminal.write(formatServices(rows, { width: terminal.columns, colors: terminal.colors }))
}

function whole(names: readonly string[] | undefined): boolean {
  return names === undefined || names.length === 0
}

function unhealthy(rows: readonly ServiceRow[], waited: number | undefined): DevstackError {
  const bad = rows.filter((row) => !row.healthy)
  const names = bad.map(({ service }) => service).join(', ')
  return new DevstackError({
    kind: waited === undefined ? 'gate' : 'timeout',
    code: waited === undefined ? 'STACK_UNHEALTHY' : 'STACK_UNHEALTHY_IN_TIME',
    message: `${bad.length} of ${rows.length} services ${bad.length === 1 ? 'is' : 'are'} unhealthy${waited === undefined ? '' : ` after ${waited} s`}: ${names}.`,
    hint: bad.some(({ state }) => state === 'paused')
      ? 'What is paused goes on with: devstack run resume'
      : `See why with: devstack run logs ${bad[0]!.service}`,
  })
}

/** `status`: what is there, without a verdict. */
export function statusTask(options: HealthOptions): Task<undefined> {
  return task({
    description: 'Show the services, their addresses and roles',
    aliases: ['ps'],
    effect: 'read',
    interactive: true,
    params: z.object({ ...common, json: z.boolean().default(false).describe('print JSON') }),
    run: async (context) => {
      const { params, terminal } = context
      const rows = await readHealth(context, options, params.services)
      const up = rows.some(({ state }) => state !== 'missing')
      const state = whole(params.services) ? await keep('status', rows, context) : undefined
      if (params.json)
        terminal.write(`${JSON.stringify(state ? { ...state, services: rows } : { services: rows }, null, 2)}\n`)
      else {
        if (up) terminal.write(formatServices(rows, { width: terminal.columns, colors: terminal.colors }))
        if (state) terminal.write(`${state.state}: ${state.cause}\n`)
        if (!up) terminal.write('The stack is not up. Start it with: devstack run up\n')
      }
    },
  })
}
