/** What a journal's lines must look like when they are read back; the writing side is the type RunEvent. */
import { z } from 'zod'
import type { RunEvent } from '../engine/events.ts'
import type { Json } from '../engine/schema.ts'

const json = z.custom<Json>((value) => value !== undefined)
const strings = z.array(z.string())
const milliseconds = z.number().nonnegative()

const autopsy = z.object({
  question: z.string(),
  asked: z.number(),
  waitedMs: z.number(),
  answers: z.array(z.object({ text: z.string(), times: z.number() })),
  container: z
    .object({
      name: z.string(),
      state: z.string(),
      exitCode: z.number().nullable(),
      oomKilled: z.boolean(),
      restarts: z.number().nullable(),
    })
    .optional(),
  logs: strings,
  blocked: strings,
  next: z.string(),
})

const error = z.object({
  code: z.string(),
  kind: z.string(),
  message: z.string(),
  hint: z.string().optional(),
  place: z
    .object({
      file: z.string(),
      line: z.number().optional(),
      column: z.number().optional(),
      text: z.string().optional(),
    })
    .optional(),
  details: strings.optional(),
  exitCode: z.number(),
  autopsy: autopsy.optional(),
  stack: z.string().optional(),
})

const step = z.object({
  node: z.string(),
  needs: strings,
  decision: z.enum(['run', 'reuse', 'skip', 'stop']),
  cause: z.string(),
  effect: z.enum(['read', 'create', 'change', 'destroy']),
  differences: strings.optional(),
  partOf: z.string().optional(),
  service: z.boolean().optional(),
  description: z.string().optional(),
})

const hold = z.discriminatedUnion('for', [
  z.object({ for: z.literal('needs'), nodes: strings }),
  z.object({ for: z.literal('lock'), lock: z.string(), holders: strings }),
  z.object({ for: z.literal('slot') }),
])

const progress = z.object({
  done: z.number(),
  total: z.number().optional(),
  unit: z.enum(['bytes', 'items']).optional(),
  label: z.string().optional(),
})

const summary = z.object({
  done: z.number(),
  reused: z.number(),
  skipped: z.number(),
  failed: z.number(),
  cancelled: z.number(),
})

const base = { at: z.number(), runId: z.string() }
const node = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.looseObject({ type: z.literal(type), ...base, node: z.string(), ...shape })
const run = <T extends string, S extends z.ZodRawShape>(type: T, shape: S) =>
  z.looseObject({ type: z.literal(type), ...base, ...shape })

/** Unknown fields pass: a later version may add some without a new format. */
const runEvent = z.discriminatedUnion('type', [
  node('node-waiting', { hold }),
  node('node-started', { attempt: z.number() }),
  node('node-output', { stream: z.enum(['stdout', 'stderr', 'log']), text: z.string() }),
  node('node-progress', { progress }),
  node('node-retry', { attempt: z.number(), delayMs: milliseconds, error }),
  node('gate-waiting', { gate: z.string() }),
  node('gate-answer', { gate: z.string(), answer: z.string(), holds: z.literal(true).optional() }),
  node('gate-held', { gate: z.string(), waitedMs: milliseconds, asked: z.number() }),
  node('lock-waiting', { lock: z.string(), holder: z.string() }),
  node('node-ready', { value: json, durationMs: milliseconds }),
  node('node-done', { value: json, durationMs: milliseconds, fingerprint: z.string().optional() }),
  node('node-reused', { value: json, cause: z.string() }),
  node('node-skipped', { cause: z.string() }),
  node('node-failed', { error, durationMs: milliseconds }),
  node('node-cancelled', { cause: z.string(), because: z.string().optional() }),
  node('cleanup-failed', { error }),
  node('undo-started', {}),
  node('node-undone', { durationMs: milliseconds }),
  node('undo-failed', { error }),
  run('run-started', {
    format: z.literal(1),
    targets: z.array(z.object({ task: z.string(), params: json })),
    steps: z.array(step),
    traceId: z.string(),
    concurrency: z.number(),
    version: z.string(),
    continues: z.string().optional(),
    undoes: z.string().optional(),
  }),
  run('note', { level: z.enum(['info', 'warning']), text: z.string() }),
  run('run-finished', {
    state: z.enum(['succeeded', 'failed', 'cancelled']),
    durationMs: milliseconds,
    summary,
    criticalPath: strings,
    criticalMs: milliseconds,
  }),
])

/** A journal line as an event, or what is wrong with it. */
export function parseEvent(value: unknown): { readonly event: RunEvent } | { readonly fault: string } {
  const result = runEvent.safeParse(value)
  // The parsed copy is dropped: the event is shown exactly as it was written, key order included.
  if (result.success) return { event: value as RunEvent }
  const issue = result.error.issues[0]
  return { fault: issue ? `${issue.path.join('.') || 'the line'}: ${issue.message}` : 'not an event' }
}
