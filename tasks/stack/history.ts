/** `history`: how the environment fared, kept as one line of JSON for each observation in `.devstack/history.jsonl`. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Ambient, DevstackError, labels, openLocks, suggest, type Task, table, task, z } from '../../lib/index.ts'
import { type ClockReading, longTime, machineClock } from './clock.ts'
import { type DerivedState, deriveState, describeChange, type EnvironmentState } from './state.ts'
import type { ServiceRow } from './table.ts'

const recordSchema = z.object({
  /** Milliseconds since the epoch. */
  at: z.number(),
  state: z.enum(['uninitialized', 'provisioning', 'healthy', 'degraded', 'failed', 'paused', 'stopped']),
  cause: z.string(),
  /** The task that looked. */
  by: z.string(),
  services: z.record(z.string(), z.object({ state: z.string(), healthy: z.boolean().optional(), detail: z.string() })),
  clock: z.object({ wall: z.number(), uptime: z.number(), awake: z.number(), boot: z.string().optional() }).optional(),
})
export type HistoryRecord = z.infer<typeof recordSchema>

/** Above this the older half goes. */
const largestBytes = 1_000_000

/** The file of a project. */
export function historyFile(project: { readonly stateDirectory: string }): string {
  return join(project.stateDirectory, 'history.jsonl')
}

/** All records, oldest first; lines that are no records (a crash left half of one) are passed over. */
export function readHistory(file: string): readonly HistoryRecord[] {
  if (!existsSync(file)) return []
  return parseRecords(readFileSync(file, 'utf8').split('\n'))
}

/** Lines as records; what is none is passed over. */
export function parseRecords(lines: readonly string[]): readonly HistoryRecord[] {
  return lines.flatMap((line) => {
    if (line === '') return []
    try {
      const parsed = recordSchema.safeParse(JSON.parse(line))
      return parsed.success ? [parsed.data] : []
    } catch {
      return []
    }
  })
}

/** Adds a record in one write; a file above the bound loses its older half. */
export function appendHistory(file: string, record: HistoryRecord, bound = largestBytes): void {
  mkdirSync(dirname(file), { recursive: true })
  if (existsSync(file) && statSync(file).size > bound) {
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
    const draft = `${file}.${process.pid}.tmp`
    writeFileSync(draft, `${lines.slice(Math.ceil(lines.length / 2)).join('\n')}\n`)
    renameSync(draft, file)
  }
  appendFileSync(file, `${JSON.stringify(record)}\n`)
}

type Around = Ambient & { readonly signal: AbortSignal }

/** The state of the environment now, given what the services answered. */
async function observeState(rows: readonly ServiceRow[], context: Around): Promise<DerivedState> {
  const { project, runtime, signal } = context
  const kept =
    existsSync(join(project.directory, '.env.local')) ||
    (await runtime.volumes({ [labels.project]: project.name }, { signal })).length > 0
  const holders = openLocks({ directory: project.stateDirectory }).holders()
  const working = holders.some(({ lock, state, pid }) => lock === 'stack' && state === 'alive' && pid !== process.pid)
  return deriveState({ services: rows, working, initialized: kept })
}

/** Keeps what was seen. A history that can not be written is no reason to fail: the state is told all the same. */
export async function keep(by: string, rows: readonly ServiceRow[], context: Around): Promise<DerivedState> {
  const derived = await observeState(rows, context)
  const services = Object.fromEntries(
    rows.map(({ service, state, healthy, detail }) => [
      service,
      { state, detail, ...(healthy === undefined ? {} : { healthy }) },
    ]),
  )
  try {
    const clock: ClockReading = machineClock()
    appendHistory(historyFile(context.project), { at: clock.wall, ...derived, by, services, clock })
  } catch {
    // a full or read-only disk shows elsewhere
  }
  return derived
}

interface Episode {
  readonly from: number
  readonly to: number
  readonly state: EnvironmentState
  readonly before: EnvironmentState | undefined
  readonly cause: string
  readonly by: string
  readonly looks: number
}

/** Records in a row with the same state as one; each lasts until the next begins. */
export function episodes(records: readonly HistoryRecord[], now: number): readonly Episode[] {
  const found: Episode[] = []
  for (const { at, state, cause, by } of records) {
    const last = found.at(-1)
    if (last?.state === state) found[found.length - 1] = { ...last, cause, looks: last.looks + 1, to: now }
    else {
      if (last) found[found.length - 1] = { ...last, to: at }
      found.push({ from: at, to: now, state, before: last?.state, cause, by, looks: 1 })
    }
  }
  return found
}

/** The task. */
export function historyTask(): Task<undefined> {
  return task({
    description: 'Show how the state of the environment changed over time',
    effect: 'read',
    interactive: true,
    params: z.object({
      last: z.coerce.number().int().positive().default(20).describe('this many, newest last'),
      service: z.string().optional().describe('the health of this service, look by look'),
      json: z.boolean().default(false).describe('print the records as lines of JSON'),
    }),
    run: ({ params, project, terminal }) => {
      const records = readHistory(historyFile(project))
      if (params.json) {
        for (const one of records.slice(-params.last)) terminal.write(`${JSON.stringify(one)}\n`)
        return
      }
      if (records.length === 0) {
        terminal.write('Nothing was observed yet. Look with: devstack run status\n')
        return
      }
      const width = terminal.columns
      if (params.service !== undefined) {
        const name = params.service
        const known = [...new Set(records.flatMap(({ services }) => Object.keys(services)))].toSorted()
        if (!known.includes(name)) throw neverSeen(name, known)
        const rows = records.flatMap(({ at, services }) => {
          const seen = services[name]
          return seen ? [{ at, state: seen.healthy ? 'healthy' : seen.state, detail: seen.detail }] : []
        })
        const columns = [
          { title: 'at', value: ({ at }: { at: number }) => timeOf(at) },
          { title: 'state', value: ({ state }: { state: string }) => state },
          { title: 'detail', value: ({ detail }: { detail: string }) => detail },
        ]
        terminal.write(`${table(rows.slice(-params.last), { columns, width })}\n`)
        return
      }
      const columns = [
        { title: 'since', value: ({ from }: Episode) => timeOf(from) },
        { title: 'state', value: ({ state }: Episode) => state },
        { title: 'for', value: ({ from, to }: Episode) => longTime(to - from), align: 'right' as const },
        { title: 'seen', value: ({ looks }: Episode) => String(looks), align: 'right' as const },
        { title: 'by', value: ({ by }: Episode) => by },
        { title: 'change', value: ({ before, state }: Episode) => describeChange(before, state) },
        { title: 'cause', value: ({ cause }: Episode) => cause },
      ]
      terminal.write(`${table(episodes(records, Date.now()).slice(-params.last), { columns, width })}\n`)
    },
  })
}

function neverSeen(name: string, known: readonly string[]): DevstackError {
  return new DevstackError({
    kind: 'usage',
    code: 'HISTORY_UNKNOWN_SERVICE',
    message: `No service "${name}" was ever observed here.${suggest(name, known)}`,
    hint: known.length > 0 ? `Observed were ${known.join(', ')}.` : 'Look with: devstack run status',
  })
}

function timeOf(at: number): string {
  const time = new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString()
  return `${time.slice(0, 10)} ${time.slice(11, 19)}`
}
