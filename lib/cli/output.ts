/** Standard output and standard error. */
import { fstatSync, type Stats, statSync, writeSync } from 'node:fs'
import type { OutputStream } from '../report/index.ts'

/**
 * The output with this descriptor. Files and pipes, where bytes go and nothing comes back, are written to at once and
 * without Node's streams, which take as long to load as all of a small run. A reader that has gone away (`| head`) ends the
 * output, not the run.
 */
export function processOutput(descriptor: 1 | 2): OutputStream {
  return isPlain(descriptor) ? new PlainOutput(descriptor) : streamOf(descriptor)
}

function isPlain(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor)
    return stat.isFile() || stat.isFIFO() || isNull(stat)
  } catch {
    return false
  }
}

function isNull(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === statSync('/dev/null').rdev
}

function streamOf(descriptor: 1 | 2): NodeJS.WriteStream {
  const stream = descriptor === 1 ? process.stdout : process.stderr
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (!isClosed(error)) throw error
  })
  return stream
}

function isClosed({ code }: NodeJS.ErrnoException): boolean {
  return code === 'EPIPE' || code === 'EIO'
}

class PlainOutput implements OutputStream {
  readonly #descriptor: 1 | 2
  #state: 'open' | 'closed' | NodeJS.WriteStream = 'open'

  constructor(descriptor: 1 | 2) {
    this.#descriptor = descriptor
  }

  write(text: string): boolean {
    if (this.#state === 'closed') return true
    if (this.#state !== 'open') return this.#state.write(text)
    let rest = Buffer.from(text)
    try {
      while (rest.length > 0) rest = rest.subarray(writeSync(this.#descriptor, rest))
    } catch (thrown) {
      const error = thrown as NodeJS.ErrnoException
      if (isClosed(error)) this.#state = 'closed'
      // somebody else has made this pipe one that does not wait
      else if (error.code === 'EAGAIN') return this.#wait(rest)
      else throw error
    }
    return true
  }

  #wait(rest: Uint8Array): boolean {
    const stream = streamOf(this.#descriptor)
    this.#state = stream
    return stream.write(rest)
  }
}
