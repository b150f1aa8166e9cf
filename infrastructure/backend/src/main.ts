import { pino } from 'pino'
import { RedisCache } from './cache.ts'
import { Database } from './database.ts'
import { Health } from './health.ts'
import { formatHost } from './hosts.ts'
import { createMetrics } from './metrics.ts'
import { createServer } from './server.ts'
import { readSettings, type Settings } from './settings.ts'

const tables = ['courses', 'students', 'enrollments'] as const

/** Puts the service together and runs it until it is told to stop. */
async function main(settings: Settings): Promise<void> {
  const log = pino({
    level: settings.LOG_LEVEL,
    base: { service: 'backend' },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  })
  const metrics = createMetrics()
  const database = new Database({
    hosts: settings.PGHOSTS,
    user: settings.PGUSER,
    password: settings.PGPASSWORD,
    database: settings.PGDATABASE,
    poolSize: settings.DATABASE_POOL_SIZE,
    connectTimeoutMs: settings.DATABASE_CONNECT_TIMEOUT_MS,
    statementTimeoutMs: settings.DATABASE_STATEMENT_TIMEOUT_MS,
    deadlineMs: settings.REQUEST_DEADLINE_MS,
    onRetry: (reason, attempt) => {
      metrics.retry(reason)
      log.debug({ reason, attempt }, 'database work is tried again')
    },
    onLeader: (leader, before) => {
      metrics.leaderChange()
      const from = before === undefined ? undefined : formatHost(before.host)
      log.info({ leader: formatHost(leader.host), timeline: leader.timeline, from }, 'following the PostgreSQL leader')
    },
  })
  metrics.connections(() => database.connections)
  let redisFault: string | undefined
  const cache = new RedisCache({
    sentinels: settings.REDIS_SENTINELS,
    master: settings.REDIS_MASTER_NAME,
    password: settings.REDIS_PASSWORD,
    sentinelPassword: settings.REDIS_SENTINEL_PASSWORD,
    ttlSeconds: settings.CACHE_TTL_SECONDS,
    commandTimeoutMs: settings.REDIS_COMMAND_TIMEOUT_MS,
    onResult: (result) => {
      metrics.cache(result)
      if (result === 'hit' || result === 'miss') redisFault = undefined
    },
    // A lost Redis fails again at every attempt: one line for each kind of failure is enough.
    onError: (thrown) => {
      const message = thrown instanceof Error ? thrown.message : String(thrown)
      if (message !== redisFault) log.warn({ reason: message }, 'the cache is not reachable')
      redisFault = message
    },
  })
  const health = new Health({
    required: ['database', 'schema'],
    checks: {
      database: async (signal) => {
        const before = performance.now()
        await database.run((session) => session.query('SELECT 1'), { signal, deadlineMs: 900 })
        const { leader } = database
        const ms = Math.round(performance.now() - before)
        return { leader: leader && formatHost(leader.host), timeline: leader?.timeline, ms }
      },
      schema: async (signal) => {
        const sql = 'SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL'
        const work = database.run((session) => session.query<{ readonly name: string }>(sql, [tables]), {
          signal,
          deadlineMs: 900,
        })
        const missing = (await work).map((row) => row.name)
        if (missing.length > 0) throw new Error(`missing tables: ${missing.join(', ')}; apply the migrations`)
        return { tables }
      },
      redis: async () => ({ ms: Math.round(await cache.check()) }),
    },
  })
  const server = await createServer({ log, database, cache, health, metrics })

  const stopped = Promise.withResolvers<NodeJS.Signals>()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve(signal))
  await server.listen({ host: settings.HOST, port: settings.PORT })

  const signal = await stopped.promise
  log.info({ signal }, 'draining')
  health.drain()
  const late = setTimeout(() => {
    log.error({ ms: settings.DRAIN_MS }, 'requests were still in hand at the end of the drain')
    process.exit(1)
  }, settings.DRAIN_MS)
  await server.close()
  cache.close()
  await database.close(1_000)
  clearTimeout(late)
  log.info('stopped')
}

try {
  await main(readSettings(process.env))
} catch (thrown) {
  console.error(JSON.stringify({ level: 'fatal', service: 'backend', msg: (thrown as Error).message }))
  process.exitCode = 1
}
