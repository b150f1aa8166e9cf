/** A lasting connection to Redis that sends one command at a time, with a deadline. */
import { connect, type Socket } from 'node:net'
import type { Address } from '../stack/endpoint.ts'
import { encodeCommand, parseReply, RedisError, type Reply } from '../stack/resp.ts'
import { within } from './clock.ts'

/** One connection. */
export class RedisConnection {
  readonly #socket: Socket
  #pending: Buffer = Buffer.alloc(0)
  #waiting: PromiseWithResolvers<Reply> | undefined
  #onMessage: ((text: string) => void) | undefined
  #ended: Error | undefined
  readonly #closed = Promise.withResolvers<void>()

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => {
      this.#end(new Error('closed the connection'))
      this.#closed.resolve()
    })
  }

  /** Connects and logs in, within `ms`. The signal's reason ends it at any time, also what waits for a reply then. */
  static async open(
    address: Address,
    password: string | undefined,
    ms: number,
    signal?: AbortSignal,
  ): Promise<RedisConnection> {
    signal?.throwIfAborted()
    const socket = connect({ ...address, noDelay: true })
    const connection = new RedisConnection(socket)
    const abort = (): void => void socket.destroy(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    void connection.closed.then(() => signal?.removeEventListener('abort', abort))
    try {
      // what is sent before the connection stands is kept and goes out with it
      if (password !== undefined) await connection.send(['AUTH', password], ms)
      else await connection.send(['PING'], ms)
      return connection
    } catch (thrown) {
      connection.cut()
      throw thrown
    }
  }

  /** The reply; an error reply is thrown. Rejects after `ms`, and the connection is cut then. */
  async send(words: readonly string[], ms: number): Promise<Reply> {
    if (this.#ended) throw this.#ended
    const waiting = Promise.withResolvers<Reply>()
    this.#waiting = waiting
    this.#socket.write(encodeCommand(words))
    const reply = await within(ms, waiting.promise, 'statement deadline', () => this.cut())
    if (reply instanceof RedisError) throw reply
    return reply
  }

  /** Hands what is published in a channel to `onMessage` from now on; rejects as `send` does. */
  async subscribe(channel: string, onMessage: (text: string) => void, ms: number): Promise<void> {
    this.#onMessage = onMessage
    await this.send(['SUBSCRIBE', channel], ms)
  }

  /** Resolves once the connection is over. */
  get closed(): Promise<void> {
    return this.#closed.promise
  }

  cut(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    try {
      for (let parsed = parseReply(this.#pending); parsed; parsed = parseReply(this.#pending)) {
        this.#pending = this.#pending.subarray(parsed.next)
        this.#take(parsed.reply)
        if (this.#pending.length === 0) break
      }
    } catch (thrown) {
      this.#end(thrown instanceof Error ? thrown : new Error(String(thrown)))
      this.cut()
    }
  }

  #take(reply: Reply): void {
    // a message has three parts (https://redis.io/docs/latest/develop/pubsub/#format-of-pushed-messages)
    if (this.#onMessage && Array.isArray(reply) && reply[0] === 'message') this.#onMessage(String(reply[2]))
    else this.#waiting?.resolve(reply)
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#waiting?.reject(error)
  }
}
