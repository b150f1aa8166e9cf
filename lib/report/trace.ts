/**
 * A trace file in Chrome's trace-event format, which ui.perfetto.dev and chrome://tracing open: one lane a concurrent
 * slot, gates inside their task, arrows along the needs.
 */
import type { RunEvent } from '../engine/events.ts'
import { writeReport } from './file.ts'
import type { Sink } from './reporter.ts'
import { exhausted } from './view.ts'

/** Writes the trace to `file` on `close()`. */
export function createTraceReporter(options: { readonly file: string }): Sink {
  const trace = createTrace()
  return {
    report: trace.add,
    close: () => writeReport(options.file, trace.format(), 'The trace'),
  }
}

interface Span {
  readonly node: string
  readonly lane: number
  readonly start: number
  end?: number
}
type Entry = Readonly<Record<string, unknown>>

/** Collects events and gives the JSON document. Times are microseconds from the start of the run. */
export function createTrace(): { add(event: RunEvent): void; format(): string } {
  const entries: Entry[] = []
  const spans = new Map<string, Span>()
  const gates = new Map<string, number>()
  const needs = new Map<string, readonly string[]>()
  const lanes: boolean[] = []
  let origin: number | undefined
  let title = 'devstack'

  const time = (at: number) => Math.round((at - (origin ?? at)) * 1000)
  const instant = (event: { at: number; node: string }, name: string, args: Entry = {}) =>
    entries.push({ name, ph: 'i', s: 't', ts: time(event.at), pid: 1, tid: laneOf(event.node), args })
  const laneOf = (node: string) => (spans.get(node)?.lane ?? -1) + 1

  const begin = (node: string, at: number) => {
    const running = spans.get(node)
    if (running && running.end === undefined) return
    let lane = lanes.indexOf(false)
    if (lane < 0) lane = lanes.length
    lanes[lane] = true
    spans.set(node, { node, lane, start: time(at) })
  }

  const end = (node: string, at: number, args: Entry) => {
    const span = spans.get(node)
    if (!span || span.end !== undefined) return
    span.end = time(at)
    lanes[span.lane] = false
    const { lane, start } = span
    entries.push({ name: node, cat: 'task', ph: 'X', ts: start, dur: span.end - start, pid: 1, tid: lane + 1, args })
  }

  const add = (event: RunEvent) => {
    origin ??= event.at
    switch (event.type) {
      case 'run-started':
        title = `devstack ${event.targets.map((target) => target.task).join(' ')}`
        for (const step of event.steps) needs.set(step.node, step.needs)
        break
      case 'run-finished':
        for (const span of spans.values()) end(span.node, event.at, { state: 'unfinished' })
        entries.push({
          name: `run ${event.state}`,
          ph: 'i',
          s: 'g',
          ts: time(event.at),
          pid: 1,
          tid: 0,
          args: { criticalPath: event.criticalPath, criticalMs: event.criticalMs },
        })
        break
      case 'note':
        entries.push({ name: event.text, ph: 'i', s: 'g', ts: time(event.at), pid: 1, tid: 0 })
        break
      case 'node-started':
      case 'undo-started':
        begin(event.node, event.at)
        break
      case 'node-ready':
      case 'node-done':
      case 'node-undone':
        end(event.node, event.at, { state: event.type.slice('node-'.length) })
        break
      case 'node-reused':
      case 'node-skipped':
      case 'node-cancelled':
        end(event.node, event.at, { state: event.type.slice('node-'.length), cause: event.cause })
        break
      case 'node-failed':
      case 'undo-failed':
        end(event.node, event.at, { state: 'failed', code: event.error.code, message: event.error.message })
        break
      case 'cleanup-failed':
        instant(event, 'cleanup failed', { message: event.error.message })
        break
      case 'node-retry':
        instant(event, `attempt ${event.attempt} failed`, { message: event.error.message })
        break
      case 'gate-waiting':
        gates.set(`${event.node}\0${event.gate}`, time(event.at))
        break
      case 'gate-held': {
        const { node, gate, asked, at } = event
        const start = gates.get(`${node}\0${gate}`) ?? time(at - event.waitedMs)
        gates.delete(`${node}\0${gate}`)
        const span = spans.get(node)
        const args = { asked }
        if (span && span.end === undefined && start >= span.start)
          entries.push({
            name: gate,
            cat: 'gate',
            ph: 'X',
            ts: start,
            dur: time(at) - start,
            pid: 1,
            tid: span.lane + 1,
            args,
          })
        else {
          // a gate on an edge holds before the task has a lane
          const shared = { name: gate, cat: 'gate', id: `${node} ${gate}`, pid: 1, tid: 0 }
          entries.push({ ...shared, ph: 'b', ts: start, args }, { ...shared, ph: 'e', ts: time(at) })
        }
        break
      }
      case 'node-waiting':
      case 'node-output':
      case 'node-progress':
      case 'gate-answer':
      case 'lock-waiting':
        break
      default:
        exhausted(event)
    }
  }

  /** An arrow from the end of each need to the start of what needed it. */
  const arrows = (): Entry[] => {
    let id = 0
    const list: Entry[] = []
    for (const [node, sources] of needs) {
      const to = spans.get(node)
      if (!to) continue
      for (const source of sources) {
        const from = spans.get(source)
        if (from?.end === undefined || from.end > to.start) continue
        id += 1
        const shared = { name: 'needs', cat: 'needs', id, pid: 1 }
        // an arrow is bound to the slice it lies in, so it leaves just before that ends
        list.push({ ...shared, ph: 's', ts: Math.max(from.start, from.end - 1), tid: from.lane + 1 })
        list.push({ ...shared, ph: 'f', bp: 'e', ts: to.start, tid: to.lane + 1 })
      }
    }
    return list
  }

  return {
    add,
    format() {
      const meta: Entry[] = [
        { name: 'process_name', ph: 'M', pid: 1, tid: 0, args: { name: title } },
        { name: 'thread_name', ph: 'M', pid: 1, tid: 0, args: { name: 'run' } },
        ...lanes.map((_, lane) => ({
          name: 'thread_name',
          ph: 'M',
          pid: 1,
          tid: lane + 1,
          args: { name: `slot ${lane + 1}` },
        })),
      ]
      const all = [...meta, ...entries, ...arrows()]
      return `{"displayTimeUnit":"ms","traceEvents":[\n${all.map((entry) => JSON.stringify(entry)).join(',\n')}\n]}\n`
    },
  }
}
