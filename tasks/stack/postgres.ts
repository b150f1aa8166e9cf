/**
 * PostgreSQL without Patroni, as in the fast mode: whether it accepts connections, learned from the first answer to a start-up
 * message (https://www.postgresql.org/docs/15/protocol-flow.html), as pg_isready does. Needs no password.
 */
import { connect } from 'node:net'
import { formatEndpoint, type Probe, type ServiceHandle } from '../../lib/index.ts'
import { type Address, addressOf, type ReadOptions } from './endpoint.ts'
import { postgresPort } from './patroni.ts'

/** `refuses`: it runs but takes nobody in yet or any more, with the reason in its own words. */
export type PostgresState = { readonly state: 'accepts' } | { readonly state: 'refuses'; readonly reason: string }

/** Protocol version 3.0 and the name of a user; the server answers before it looks whether there is one. */
function startupMessage(user: string): Buffer {
  const body = Buffer.from(`\0\u0003\0\0user\0${user}\0\0`, 'latin1')
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([length, body])
}

/** Asks whether PostgreSQL accepts connections. Rejects when there is no server, or when the signal aborts. */
function readPostgres(target: Address, options: ReadOptions = {}): Promise<PostgresState> {
  const { signal } = options
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const socket = connect({ host: target.host, port: target.port, noDelay: true })
    let answer = Buffer.alloc(0)
    const settle = (finish: () => void) => {
      signal?.removeEventListener('abort', abort)
      socket.destroy()
      finish()
    }
    const abort = () => settle(() => reject(signal?.reason))
    signal?.addEventListener('abort', abort, { once: true })
    socket.on('connect', () => socket.write(startupMessage('devstack')))
    socket.on('error', (error) => settle(() => reject(error)))
    socket.on('close', () => settle(() => reject(new Error(`${formatEndpoint(target)} closed the connection`))))
    socket.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length < 5) return
      const kind = String.fromCharCode(answer[0]!)
      if (kind === 'R') return settle(() => resolve({ state: 'accepts' }))
      if (kind !== 'E') return settle(() => reject(new Error(`${formatEndpoint(target)} is no PostgreSQL`)))
      if (answer.length < 1 + answer.readInt32BE(1)) return
      const fields = new Map(
        answer
          .toString('utf8', 5)
          .split('\0')
          .map((field) => [field[0], field.slice(1)]),
      )
      // Class 57 (cannot connect now) and 53 (too many connections) refuse everybody; any other refuses only this user.
      const refused = /^5[37]/.test(fields.get('C') ?? '')
      settle(() => resolve(refused ? { state: 'refuses', reason: fields.get('M') ?? '' } : { state: 'accepts' }))
    })
  })
}

/** One PostgreSQL, whatever its role: it accepts connections. */
export function postgresServer(): Probe<ServiceHandle> {
  return async (handle, context) => {
    const answer = await readPostgres(await addressOf(handle, postgresPort, context), { signal: context.signal })
    if (answer.state === 'refuses') return { healthy: false, detail: answer.reason }
    return { healthy: true, detail: 'accepts connections' }
  }
}
