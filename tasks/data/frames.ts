/**
 * A zstd file of many frames (RFC 8878: a decoder reads them as one), each made from a MiB and packed at once: what a
 * container sends is compressed as it comes, and memory stays flat. Their lengths are kept, so that reading needs no
 * streaming decoder; Node's drops frames that come in one piece with another.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { DevstackError, messageOf, type Progress } from '../../lib/index.ts'

/** Bytes before compression. */
const frameSize = 1024 * 1024
/** No frame unpacks to more, whoever made it. */
const largestFrame = 16 * 1024 * 1024

export class FrameWriter {
  readonly frames: number[] = []
  rawBytes = 0
  readonly #write: (frame: Uint8Array) => void
  readonly #buffer: Buffer = Buffer.allocUnsafe(frameSize)
  #used = 0

  /** `write` gets whole frames. */
  constructor(write: (frame: Uint8Array) => void) {
    this.#write = write
  }

  push(chunk: Uint8Array): void {
    for (let offset = 0; offset < chunk.length; ) {
      const taken = Math.min(frameSize - this.#used, chunk.length - offset)
      this.#buffer.set(chunk.subarray(offset, offset + taken), this.#used)
      this.#used += taken
      offset += taken
      if (this.#used === frameSize) this.#flush()
    }
  }

  finish(): void {
    if (this.#used > 0) this.#flush()
  }

  #flush(): void {
    const frame = zstdCompressSync(this.#buffer.subarray(0, this.#used), {
      params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
    })
    this.frames.push(frame.length)
    this.rawBytes += this.#used
    this.#used = 0
    this.#write(frame)
  }
}

export interface FrameFile {
  readonly file: string
  /** Length of each frame in the file. */
  readonly frames: readonly number[]
  /** Of all together, before compression. */
  readonly rawBytes: number
  readonly signal: AbortSignal
  readonly label: string
  progress(progress: Progress): void
}

/** What was written, piece by piece. Throws SNAPSHOT_DAMAGED for a frame that is none. */
export async function* readFrames(options: FrameFile): AsyncGenerator<Buffer> {
  const { file, frames, rawBytes, signal, progress, label } = options
  const descriptor = openSync(file, 'r')
  let position = 0
  let done = 0
  try {
    for (const length of frames) {
      signal.throwIfAborted()
      const frame = Buffer.allocUnsafe(length)
      if (readSync(descriptor, frame, 0, length, position) !== length) throw damaged(file, 'it ends too early')
      position += length
      let piece: Buffer
      try {
        piece = zstdDecompressSync(frame, { maxOutputLength: largestFrame })
      } catch (thrown) {
        throw damaged(file, messageOf(thrown))
      }
      done += piece.length
      progress({ done, total: rawBytes, unit: 'bytes', label })
      yield piece
      // others get their turn: unpacking is synchronous
      await new Promise((resolve) => setImmediate(resolve))
    }
  } finally {
    closeSync(descriptor)
  }
}

function damaged(file: string, why: string): DevstackError {
  return new DevstackError({
    kind: 'state',
    code: 'SNAPSHOT_DAMAGED',
    message: `${file} can not be unpacked: ${why}.`,
    hint: 'Use another snapshot: devstack run snapshot:list',
    place: { file },
  })
}
