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
  #ended: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', (error) => this.#end(error))
    socket.on('close', () => this.#end(new Error('closed the connection')))
  }

  /** Connects and logs in, within `ms`. */
  static async open(address: Address, password: string | undefined, ms: number): Promise<RedisConnection> {
    const socket = connect({ ...address, noDelay: true })
    const connection = new RedisConnection(socket)
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

  cut(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    try {
      const parsed = parseReply(this.#pending)
      if (!parsed) return
      this.#pending = this.#pending.subarray(parsed.next)
      this.#waiting?.resolve(parsed.reply)
    } catch (thrown) {
      this.#end(thrown instanceof Error ? thrown : new Error(String(thrown)))
      this.cut()
    }
  }

  #end(error: Error): void {
    this.#ended ??= error
    this.#waiting?.reject(error)
  }
}
