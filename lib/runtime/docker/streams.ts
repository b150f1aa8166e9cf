/** Engine streams: frames of stdout and stderr, lines, JSON messages. Format: Docker Engine API, "Stream format" of attach. */

export interface Frame {
  readonly stream: 'stdout' | 'stderr'
  readonly bytes: Uint8Array
}

/** Takes chunks cut anywhere; gives whole frames. Bytes that cannot be frames (a TTY's) come as stdout. */
export interface Demultiplexer {
  push(chunk: Uint8Array): readonly Frame[]
  /** A frame that never got whole, at the end. */
  rest(): readonly Frame[]
}

/** A demultiplexer; with `raw`, every chunk is one frame of stdout. */
export function demultiplexer(options: { readonly raw: boolean }): Demultiplexer {
  let raw = options.raw
  let chunks: Buffer[] = []
  let length = 0
  let wanted = 8
  const asRaw = (bytes: Uint8Array): readonly Frame[] => (bytes.length === 0 ? [] : [{ stream: 'stdout', bytes }])
  return {
    push(chunk) {
      if (raw) return asRaw(chunk)
      chunks.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      length += chunk.length
      if (length < wanted) return []
      let buffer = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)
      const frames: Frame[] = []
      for (;;) {
        wanted = 8
        if (buffer.length < 8) break
        const type = buffer[0]!
        if (type > 2 || buffer[1] !== 0 || buffer[2] !== 0 || buffer[3] !== 0) {
          raw = true
          frames.push(...asRaw(buffer))
          buffer = Buffer.alloc(0)
          break
        }
        wanted = 8 + buffer.readUInt32BE(4)
        if (buffer.length < wanted) break
        frames.push({ stream: type === 2 ? 'stderr' : 'stdout', bytes: buffer.subarray(8, wanted) })
        buffer = buffer.subarray(wanted)
      }
      chunks = buffer.length === 0 ? [] : [buffer]
      length = buffer.length
      return frames
    },
    rest() {
      const buffer = Buffer.concat(chunks, length)
      chunks = []
      length = 0
      if (buffer.length <= 8) return []
      return [{ stream: buffer[0] === 2 ? 'stderr' : 'stdout', bytes: buffer.subarray(8) }]
    },
  }
}

/** Every frame of a stream, in order. */
export async function* frames(
  source: AsyncIterable<Uint8Array>,
  options: { readonly raw: boolean },
): AsyncGenerator<Frame> {
  const split = demultiplexer(options)
  for await (const chunk of source) yield* split.push(chunk)
  yield* split.rest()
}

/** The lines of a byte stream, without their ends; a last line without end counts. Multi-byte characters survive cuts. */
export async function* textLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let parts: string[] = []
  for await (const chunk of source) {
    const text = decoder.decode(chunk, { stream: true })
    let from = 0
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', from)) {
      parts.push(text.slice(from, at))
      yield parts.join('').replace(/\r$/, '')
      parts = []
      from = at + 1
    }
    if (from < text.length) parts.push(text.slice(from))
  }
  const last = parts.join('') + decoder.decode()
  if (last !== '') yield last
}

/** The JSON messages of a stream, one a line; a line that is no JSON comes as `{ stream: line }`, as a build prints it. */
export async function* jsonMessages(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  for await (const line of textLines(source)) {
    if (line.trim() === '') continue
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      value = { stream: `${line}\n` }
    }
    if (typeof value === 'object' && value !== null) yield value as Readonly<Record<string, unknown>>
  }
}
