/**
 * As much of RESP2 as asking Redis and Sentinel takes (https://redis.io/docs/reference/protocol-spec/). No library:
 * one connection, a few commands, no reconnecting, and nothing to load at start-up.
 */
import { connect } from 'node:net'
import { formatEndpoint } from '../../lib/index.ts'
import type { Address, ReadOptions } from './endpoint.ts'

export type Reply = string | number | null | RedisError | readonly Reply[]

/** An error as Redis said it, `-NOAUTH Authentication required.`; `code` is its first word. */
export class RedisError extends Error {
  readonly code: string
  constructor(message: string) {
    super(message)
    this.name = 'RedisError'
    this.code = message.split(' ', 1)[0] ?? ''
  }
}

/** The reply that starts at `offset` and where the next one starts; `undefined` while it is incomplete. */
export function parseReply(data: Buffer, offset = 0): { readonly reply: Reply; readonly next: number } | undefined {
  const end = data.indexOf('\r\n', offset)
  if (end < 0) return undefined
  const line = data.toString('utf8', offset + 1, end)
  const next = end + 2
  switch (data[offset]) {
    case 0x2b: // +
      return { reply: line, next }
    case 0x2d: // -
      return { reply: new RedisError(line), next }
    case 0x3a: // :
      return { reply: Number(line), next }
    case 0x24: {
      // $
      const length = Number(line)
      if (length < 0) return { reply: null, next }
      if (data.length < next + length + 2) return undefined
      return { reply: data.toString('utf8', next, next + length), next: next + length + 2 }
    }
    case 0x2a: {
      // *
      const count = Number(line)
      if (count < 0) return { reply: null, next }
      const items: Reply[] = []
      let at = next
      for (let index = 0; index < count; index += 1) {
        const item = parseReply(data, at)
        if (!item) return undefined
        items.push(item.reply)
        at = item.next
      }
      return { reply: items, next: at }
    }
    default:
      throw new Error(
        `not a Redis reply: ${JSON.stringify(data.toString('latin1', offset, Math.min(end, offset + 40)))}`,
      )
  }
}

/** A command as an array of bulk strings. */
export function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}

export interface RedisOptions extends ReadOptions {
  readonly password?: string | undefined
}

/**
 * Sends the commands over one connection, all at once, and gives their replies in order; errors of single commands are
 * replies, a refused password is thrown. Rejects when the connection fails or ends early, or when the signal aborts.
 */
export function askRedis(
  target: Address,
  commands: readonly (readonly string[])[],
  options: RedisOptions = {},
): Promise<readonly Reply[]> {
  const { password, signal } = options
  const sent = password === undefined ? commands : [['AUTH', password], ...commands]
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const socket = connect({ host: target.host, port: target.port, noDelay: true })
    const replies: Reply[] = []
    let pending: Buffer = Buffer.alloc(0)
    const settle = (finish: () => void) => {
      signal?.removeEventListener('abort', abort)
      socket.destroy()
      finish()
    }
    const abort = () => settle(() => reject(signal?.reason))
    signal?.addEventListener('abort', abort, { once: true })
    socket.on('connect', () => socket.write(sent.map(encodeCommand).join('')))
    socket.on('error', (error) => settle(() => reject(error)))
    socket.on('close', () => settle(() => reject(new Error(`${formatEndpoint(target)} closed the connection`))))
    socket.on('data', (chunk: Buffer) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      try {
        for (let parsed = parseReply(pending); parsed; parsed = parseReply(pending)) {
          replies.push(parsed.reply)
          pending = pending.subarray(parsed.next)
          if (pending.length === 0) break
        }
      } catch (error) {
        return settle(() => reject(error))
      }
      if (replies.length < sent.length) return
      const refused = password === undefined ? undefined : replies.shift()
      if (refused instanceof RedisError) return settle(() => reject(refused))
      settle(() => resolve(replies))
    })
  })
}
