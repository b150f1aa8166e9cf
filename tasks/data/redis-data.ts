/** Redis as a file, and back: `redis-cli --rdb` out of the master, MIGRATE from a throwaway server into it. */
import { DevstackError, type ServiceHandle } from '../../lib/index.ts'
import { findRedis } from './cluster.ts'
import { fromFile, toFile } from './dump.ts'
import type { FileManifest, Manifest } from './manifest.ts'
import type { DataSettings, Working } from './options.ts'
import { withScratch } from './scratch.ts'

export const redisFile = 'redis.rdb'
/** Beside the master's own, in its network namespace. */
const scratchPort = 16_399
const scratchFolder = '/tmp/devstack'

type RedisManifest = NonNullable<Manifest['redis']>

/** Dumps the master. The counts are those of the file, not of a moment before it. */
export async function dumpRedis(
  settings: DataSettings,
  working: Working,
  file: string,
): Promise<{ readonly dump: FileManifest; readonly redis: RedisManifest }> {
  const { handle, password } = await findRedis(settings, working)
  const dump = await toFile(working, handle, {
    command: ['redis-cli', '--rdb', '-'],
    environment: { REDISCLI_AUTH: password },
    file,
    label: 'Redis',
  })
  const { counts, version } = await withLoaded(working, handle, { file, bytes: dump.bytes }, async (cli) => ({
    counts: await countKeys(cli),
    version: /redis_version:(\S+)/.exec(await cli(['INFO', 'server']))?.[1] ?? 'unknown',
  }))
  return {
    dump,
    redis: { version, master: handle.service, image: handle.image, file: redisFile, ...counts },
  }
}

/** Proves that the file loads and has the keys it should have; those that expire may be fewer by now. */
export async function verifyRedis(
  working: Working,
  options: { readonly redis: RedisManifest; readonly file: string; readonly bytes: number; readonly at: ServiceHandle },
): Promise<void> {
  const { redis, file, bytes, at } = options
  const counts = await withLoaded(working, at, { file, bytes }, countKeys)
  assertKeys('The restored Redis', redis, counts)
}

function assertKeys(
  what: string,
  expected: { readonly keys: number; readonly expiring: number },
  found: { readonly keys: number; readonly expiring: number },
): void {
  if (found.keys <= expected.keys && found.keys >= expected.keys - expected.expiring) return
  throw new DevstackError({
    kind: 'state',
    code: 'BACKUP_DIFFERS',
    message: `${what} is not what was backed up: it has ${found.keys} keys instead of ${expected.keys}.`,
    hint: 'Use another backup: devstack run backup:list',
  })
}

/** Replaces what is in Redis by the file. The replicas follow by themselves. */
export async function restoreRedis(
  settings: DataSettings,
  working: Working,
  options: { readonly redis: RedisManifest; readonly file: string; readonly bytes: number },
): Promise<void> {
  const { handle, password } = await findRedis(settings, working)
  const { redis, file, bytes } = options
  await withLoaded(working, handle, { file, bytes }, async (cli) => {
    assertKeys('The dump of Redis', redis, await countKeys(cli))
    await redisCli(working, handle, { words: ['FLUSHALL'], password })
    const databases = [...(await cli(['INFO', 'keyspace'])).matchAll(/^db(\d+):/gm)].map((match) => match[1]!)
    for (const database of databases) {
      await cli(['-x', '-n', database, 'EVAL', copyKeys, '0', database], password)
    }
  })
}

/**
 * Copies every key of this server's database to the master, value, type and time to live, in batches. From server to
 * server: nothing of it passes this process, so names and values may be any bytes.
 */
const copyKeys = `
local cursor = '0'
repeat
  local answer = redis.call('SCAN', cursor, 'COUNT', 500)
  cursor = answer[1]
  if #answer[2] > 0 then
    local done = redis.pcall('MIGRATE', '127.0.0.1', '6379', '', ARGV[1], '60000', 'COPY', 'REPLACE', 'AUTH', ARGV[2],
      'KEYS', unpack(answer[2]))
    if done.err then return redis.error_reply(done.err) end
  end
until cursor == '0'
return 'OK'
`

/** Sends one command and gives its reply as text. With `-x`, `input` is its last word, which no process list shows. */
type Cli = (words: readonly string[], input?: string) => Promise<string>

async function countKeys(cli: Cli): Promise<{ readonly keys: number; readonly expiring: number }> {
  let keys = 0
  let expiring = 0
  for (const match of (await cli(['INFO', 'keyspace'])).matchAll(/^db\d+:keys=(\d+),expires=(\d+)/gm)) {
    keys += Number(match[1])
    expiring += Number(match[2])
  }
  return { keys, expiring }
}

/** A throwaway Redis that has loaded the file, in the network namespace of `beside`. */
async function withLoaded<T>(
  working: Working,
  beside: ServiceHandle,
  { file, bytes }: { readonly file: string; readonly bytes: number },
  use: (cli: Cli) => Promise<T>,
): Promise<T> {
  const options = {
    image: beside.image,
    entrypoint: ['sleep'],
    command: ['infinity'],
    networkMode: `container:${beside.id}`,
  }
  return withScratch(working, options, async (handle) => {
    await fromFile(working, handle, {
      command: ['sh', '-c', `umask 077; mkdir -p ${scratchFolder} && cat > ${scratchFolder}/dump.rdb`],
      file,
      bytes,
      label: 'Redis',
    })
    const cli: Cli = (words, input) =>
      redisCli(working, handle, {
        words: ['-p', String(scratchPort), ...words],
        ...(input === undefined ? {} : { input }),
      })
    const started = await working.runtime.exec(handle.id, {
      command: [
        ...['redis-server', '--bind', '127.0.0.1', '--port', String(scratchPort), '--dir', scratchFolder],
        ...['--save', '', '--appendonly', 'no', '--daemonize', 'yes', '--logfile', `${scratchFolder}/log`],
      ],
      signal: working.signal,
    })
    if (started.exitCode !== 0) throw scratchRedis(started.stdout + started.stderr)
    await untilLoaded(working, handle, cli)
    return use(cli)
  })
}

async function untilLoaded(working: Working, handle: ServiceHandle, cli: Cli): Promise<void> {
  const { setTimeout: delay } = await import('node:timers/promises')
  const until = performance.now() + 120_000
  for (;;) {
    const answer = await cli(['PING']).catch((thrown: unknown) => String(thrown))
    if (answer === 'PONG') return
    working.signal.throwIfAborted()
    const alive = await working.runtime.exec(handle.id, {
      // of a process that has ended nothing is left but its name: nobody waits for it here
      command: [
        'sh',
        '-c',
        `grep -qs ^redis-server /proc/[0-9]*/cmdline || { tail -n 5 ${scratchFolder}/log; exit 1; }`,
      ],
      signal: working.signal,
    })
    if (alive.exitCode !== 0 || performance.now() > until) throw scratchRedis(alive.stdout || answer)
    await delay(50, undefined, { signal: working.signal })
  }
}

function scratchRedis(said: string): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'REDIS_DUMP_UNREADABLE',
    message: 'A throwaway Redis can not load the dump.',
    details: said.trim().split('\n').slice(-5),
    hint: 'Use another backup: devstack run backup:list',
  })
}

/** One command by redis-cli. Throws REDIS_REFUSED with the reply when that is an error. */
export async function redisCli(
  working: Working,
  handle: ServiceHandle,
  options: { readonly words: readonly string[]; readonly password?: string; readonly input?: string },
): Promise<string> {
  const { words, password, input } = options
  const { exitCode, stdout, stderr } = await working.runtime.exec(handle.id, {
    command: ['redis-cli', '-e', ...words],
    ...(password === undefined ? {} : { environment: { REDISCLI_AUTH: password } }),
    ...(input === undefined ? {} : { stdin: input }),
    signal: working.signal,
  })
  const reply = stdout.trim()
  if (exitCode === 0) return reply
  throw new DevstackError({
    kind: 'task',
    code: 'REDIS_REFUSED',
    message: `Redis in ${handle.service} refused ${words.find((word) => /^[A-Z]+$/.test(word)) ?? 'a command'}: ${reply || stderr.trim()}.`,
    hint: 'See its state with: devstack run health',
  })
}
