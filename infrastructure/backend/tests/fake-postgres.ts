import { createServer, type Server, type Socket } from 'node:net'

/** How the fake behaves to whoever connects: a frozen one accepts and never answers, as a paused process does. */
export type Behaviour = 'leader' | 'replica' | 'frozen'

/** What a statement comes to; `drop` closes the connection instead, `ignore` never answers. */
export type Outcome =
  | { readonly rows: readonly Readonly<Record<string, string | null>>[] }
  | { readonly error: string; readonly message?: string }
  | { readonly notice: string }
  | 'drop'
  | 'ignore'

/** One member that speaks enough of PostgreSQL's protocol 3.0 for a client's plain statements. */
export class FakePostgres {
  behaviour: Behaviour
  timeline = 1
  system = '7000000000000000001'
  /** Every statement but the leader probe, as it came. */
  readonly statements: string[] = []
  answer: (sql: string) => Outcome = () => ({ rows: [] })
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor(behaviour: Behaviour) {
    this.behaviour = behaviour
    this.#server = createServer((socket) => this.#serve(socket))
  }

  get port(): number {
    return (this.#server.address() as { readonly port: number }).port
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Listens; on the port it had before if there was one. */
  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(port, '127.0.0.1', resolve)
    })
    return this
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.drop()
    await closed
  }

  /** Cuts every connection there is. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    let buffer = Buffer.alloc(0)
    let greeted = false
    let sql = ''
    let outcome: Outcome = { rows: [] }
    socket.on('data', (data) => {
      if (this.behaviour === 'frozen') return
      buffer = Buffer.concat([buffer, data])
      for (;;) {
        const head = greeted ? 1 : 0
        if (buffer.length < head + 4) return
        const length = buffer.readUInt32BE(head)
        if (buffer.length < head + length) return
        const type = greeted ? String.fromCharCode(buffer[0]!) : 'startup'
        const body = buffer.subarray(head + 4, head + length)
        buffer = buffer.subarray(head + length)
        if (type === 'startup') {
          greeted = true
          socket.write(Buffer.concat([message('R', int32(0)), ready()]))
        } else if (type === 'Q' || type === 'P') {
          sql = type === 'Q' ? text(body, 0) : text(body, body.indexOf(0) + 1)
          outcome = this.#outcome(sql)
          if (outcome === 'drop') return void socket.destroy()
          if (type === 'Q' && outcome !== 'ignore') socket.write(Buffer.concat([result(outcome), ready()]))
        } else if (type === 'S' && outcome !== 'ignore' && outcome !== 'drop')
          socket.write(Buffer.concat([result(outcome), ready()]))
        else if (type === 'X') return void socket.end()
      }
    })
  }

  #outcome(sql: string): Outcome {
    if (sql.includes('pg_is_in_recovery')) {
      const replica = this.behaviour === 'replica'
      const timeline = replica ? null : this.timeline.toString(16).toUpperCase().padStart(8, '0')
      return { rows: [{ replica: replica ? 't' : 'f', system: this.system, timeline }] }
    }
    this.statements.push(sql)
    return this.answer(sql)
  }
}

function text(body: Buffer, from: number): string {
  return body.toString('utf8', from, body.indexOf(0, from))
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}

function ready(): Buffer {
  return message('Z', Buffer.from('I'))
}

function fields(entries: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(entries).map(([key, value]) => Buffer.from(`${key}${value}\0`))
  return Buffer.concat([...parts, Buffer.from([0])])
}

const boolean = 16
const plain = 25

function result(outcome: Exclude<Outcome, 'drop' | 'ignore'>): Buffer {
  if ('error' in outcome)
    return message('E', fields({ S: 'ERROR', V: 'ERROR', C: outcome.error, M: outcome.message ?? outcome.error }))
  const done = message('C', Buffer.from('SELECT 0\0'))
  if ('notice' in outcome) {
    const warning = { S: 'WARNING', V: 'WARNING', C: '01000', M: 'notice', R: outcome.notice }
    return Buffer.concat([message('N', fields(warning)), done])
  }
  const [first] = outcome.rows
  if (first === undefined) return done
  const columns = Object.entries(first).map(([name, value]) => {
    const type = value === 't' || value === 'f' ? boolean : plain
    return Buffer.concat([Buffer.from(`${name}\0`), int32(0), int16(0), int32(type), int16(-1), int32(-1), int16(0)])
  })
  const rows = outcome.rows.map((row) => {
    const values = Object.values(row).map((value) =>
      value === null ? int32(-1) : Buffer.concat([int32(Buffer.byteLength(value)), Buffer.from(value)]),
    )
    return message('D', Buffer.concat([int16(values.length), ...values]))
  })
  return Buffer.concat([message('T', Buffer.concat([int16(columns.length), ...columns])), ...rows, done])
}
