/** The report of an experiment as data: what is stored, compared over time, and shown as text or as a page. */
import { z } from '../../lib/index.ts'

const ms = z.number()
const span = z.object({ from: ms, to: ms, state: z.enum(['leads', 'alone', 'follows', 'silent']) })
const lane = z.object({ member: z.string(), spans: z.array(span) })

const ledger = z.object({
  acknowledged: z.number(),
  /** How many were lost, and the first thousand of them. */
  lost: z.number(),
  lostIds: z.array(z.number()),
  unacknowledged: z.number(),
  members: z.array(
    z.object({ member: z.string(), held: z.number(), missing: z.number(), error: z.string().optional() }),
  ),
})

const loadReport = z.object({
  name: z.string(),
  durable: z.boolean(),
  /** Of a client that stays with one member whatever happens: it need not get through again. */
  bound: z.boolean().default(false),
  ledger,
  /** Longest time without an acknowledged write once the fault was injected: the RTO a client sees. */
  gapMs: ms,
  lastBefore: ms.optional(),
  /** Undefined: nothing was acknowledged again. */
  firstAfter: ms.optional(),
  longestStallMs: ms,
  /** From the first to the last error a client saw. */
  errorWindow: z.object({ from: ms, to: ms }).optional(),
  errors: z.record(z.string(), z.number()),
  writable: z.object({ maximum: z.number(), samples: z.number() }),
  leaders: z.array(z.object({ at: ms, member: z.string() })),
  lanes: z.array(lane),
  /** Buckets of `bucketMs`: acknowledged writes, median and longest latency, errors. */
  bucketMs: ms,
  series: z.array(z.object({ at: ms, count: z.number(), p50: ms, max: ms, errors: z.number() })),
})

const limit = z.object({
  name: z.string(),
  limitMs: ms,
  actualMs: ms.optional(),
  held: z.boolean(),
  /** `promise`: must hold each time. `target`: must hold in the median of at least five runs. */
  strength: z.enum(['promise', 'target']),
})

export const reportSchema = z.object({
  format: z.literal(1),
  id: z.string(),
  experiment: z.string(),
  /** With its params: `test-failover --fault pause`. */
  title: z.string(),
  at: z.string(),
  verdict: z.enum(['passed', 'failed', 'not-run']),
  /** Why it failed, each a sentence; or why it was not run. */
  reasons: z.array(z.string()),
  /** What is worth knowing and no failure. */
  notes: z.array(z.string()),
  healed: z.boolean(),
  /** All other times are milliseconds from the start of the load. */
  durationMs: ms,
  fault: z.object({ from: ms, to: ms }).optional(),
  redundancyMs: ms.optional(),
  moments: z.array(z.object({ at: ms, text: z.string() })),
  limits: z.array(limit),
  loads: z.array(loadReport),
})

export type ExperimentReport = z.infer<typeof reportSchema>
export type LoadReport = z.infer<typeof loadReport>
export type LimitReport = z.infer<typeof limit>
