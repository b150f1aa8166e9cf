import { z } from 'zod'
import { parseHosts } from './hosts.ts'

const hosts = (defaultPort: number) =>
  z.string().transform((text, context) => {
    try {
      return parseHosts(text, defaultPort)
    } catch (thrown) {
      context.addIssue({ code: 'custom', message: (thrown as Error).message })
      return z.NEVER
    }
  })

const milliseconds = (defaultMs: number) => z.coerce.number().int().positive().default(defaultMs)

const environment = z.object({
  HOST: z.string().default('0.0.0.0').describe('address to listen on'),
  PORT: z.coerce.number().int().min(0).max(65_535).default(8080).describe('port to listen on; 0 for any free one'),
  PGHOSTS: hosts(5432).describe('members of the PostgreSQL cluster, host:port, comma-separated'),
  PGUSER: z.string().min(1).default('app'),
  PGPASSWORD: z.string().min(1),
  PGDATABASE: z.string().min(1).default('app'),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(1).max(100).default(10),
  DATABASE_CONNECT_TIMEOUT_MS: milliseconds(1_000),
  DATABASE_STATEMENT_TIMEOUT_MS: milliseconds(3_000).describe('a statement unanswered for so long has lost its peer'),
  REQUEST_DEADLINE_MS: milliseconds(45_000).describe('how long a request may be retried across a failover'),
  REDIS_SENTINELS: hosts(26379).describe('Sentinels, host:port, comma-separated'),
  REDIS_MASTER_NAME: z.string().min(1).default('devstack'),
  REDIS_PASSWORD: z.string().min(1),
  REDIS_SENTINEL_PASSWORD: z.string().min(1).optional(),
  REDIS_COMMAND_TIMEOUT_MS: milliseconds(300),
  CACHE_TTL_SECONDS: z.coerce.number().int().positive().default(10),
  DRAIN_MS: milliseconds(10_000).describe('how long requests in hand may take after SIGTERM'),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
})

export type Settings = z.infer<typeof environment>

/** Reads the service's settings; throws an Error that names every variable at fault. An empty variable counts as unset. */
export function readSettings(variables: Readonly<Record<string, string | undefined>>): Settings {
  const set = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''))
  const parsed = environment.safeParse(set)
  if (parsed.success) return parsed.data
  const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`)
  throw new Error(`the environment is incomplete: ${faults.join('; ')}`)
}
