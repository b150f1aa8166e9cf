/** What is in the databases of a checkout's stack, asked by their own clients in their containers. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import type { Checkout } from './checkout.ts'
import { engineCall } from './engine.ts'

/** One value or lines of values; at the leader unless a member is named. */
export async function psql(
  place: Checkout,
  sql: string,
  { member, database = 'app' }: { readonly member?: string; readonly database?: string } = {},
): Promise<string> {
  const at = member ?? (await leader(place))
  return exec(place, at, [
    'psql',
    '-X',
    '-A',
    '-t',
    '-q',
    '-P',
    'pager=off',
    '-v',
    'ON_ERROR_STOP=1',
    '-d',
    database,
    '-c',
    sql,
  ])
}

/** A command at the Redis that is master, unless a member is named. */
export async function redis(
  place: Checkout,
  words: readonly string[],
  { member }: { readonly member?: string } = {},
): Promise<string> {
  const { REDIS_PASSWORD = '' } = parseEnv(readFileSync(join(place.directory, '.env.local'), 'utf8'))
  const ask = (at: string, asked: readonly string[]): Promise<string> =>
    exec(place, at, ['env', `REDISCLI_AUTH=${REDIS_PASSWORD}`, 'redis-cli', '--raw', ...asked])
  if (member !== undefined) return ask(member, words)
  for (const at of ['redis1', 'redis2', 'redis3']) {
    if (/role:master/.test(await ask(at, ['INFO', 'replication']))) return ask(at, words)
  }
  throw new Error('no Redis is master')
}

/** The service whose PostgreSQL takes writes. */
export async function leader(place: Checkout): Promise<string> {
  for (const member of ['postgres1', 'postgres2', 'postgres3']) {
    const follows = await exec(place, member, ['psql', '-X', '-A', '-t', '-c', 'SELECT pg_is_in_recovery()'])
    if (follows === 'f') return member
  }
  throw new Error('no PostgreSQL leads')
}

/**
 * What a command in a service's container prints, without the line end. Rejects with it when the command fails, and when
 * it says nothing for `timeoutMs` (default a minute).
 */
export async function exec(
  place: Pick<Checkout, 'project'>,
  service: string,
  command: readonly string[],
  { timeoutMs = 60_000 }: { readonly timeoutMs?: number } = {},
): Promise<string> {
  const created = await engineCall(`/containers/${place.project}-${service}-1/exec`, {
    method: 'POST',
    body: { AttachStdout: true, AttachStderr: true, Cmd: command },
  })
  if (created.status !== 201) throw new Error(`exec in ${service} answered ${created.status}: ${created.text}`)
  const { Id } = JSON.parse(created.text) as { readonly Id: string }
  const { text } = await engineCall(`/exec/${Id}/start`, { method: 'POST', body: { Detach: false }, timeoutMs })
  const said = withoutFrames(text).trim()
  for (;;) {
    const state = JSON.parse((await engineCall(`/exec/${Id}/json`)).text) as {
      Running: boolean
      ExitCode: number | null
    }
    // the output can end a moment before the engine has noted the exit
    if (state.Running || state.ExitCode === null) continue
    if (state.ExitCode === 0) return said
    throw new Error(`${command[0]} in ${service} ended with ${state.ExitCode}: ${said}`)
  }
}

/** Each piece of output follows 8 bytes: the stream, three zeros, the length. A byte is a character here, even a broken one. */
function withoutFrames(text: string): string {
  let said = ''
  let at = 0
  while (at < text.length) {
    const next = text.slice(at + 8).search(frameStart)
    said += text.slice(at + 8, next < 0 ? undefined : at + 8 + next)
    at = next < 0 ? text.length : at + 8 + next
  }
  return said
}

const frameStart = new RegExp(`[${String.fromCharCode(1, 2)}]${String.fromCharCode(0, 0, 0)}`)
