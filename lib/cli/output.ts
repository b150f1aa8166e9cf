/** Standard output and standard error. */
import { fstatSync, type Stats, statSync, writeSync } from 'node:fs'
import { DevstackError } from '../errors.ts'
import type { OutputStream } from '../report/index.ts'

/**
 * The output with this descriptor. Files and pipes, where bytes go and nothing comes back, are written to at once and
 * without Node's streams, which take as long to load as all of a small run. A reader that has gone away (`| head`) ends the
 * output, not the run: also what a task writes to `process.stdout` itself.
 */
export function processOutput(descriptor: 1 | 2): OutputStream {
  guard(descriptor)
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
  return descriptor === 1 ? process.stdout : process.stderr
}

const guarded = new Set<1 | 2>()

/** Without loading the stream: whoever asks for it first gets it with somebody who listens to its errors. */
function guard(descriptor: 1 | 2): void {
  const name = descriptor === 1 ? 'stdout' : 'stderr'
  const make = Object.getOwnPropertyDescriptor(process, name)?.get
  if (make === undefined || guarded.has(descriptor)) return
  guarded.add(descriptor)
  let known: NodeJS.WriteStream | undefined
  Object.defineProperty(process, name, {
    configurable: true,
    enumerable: true,
    get(): NodeJS.WriteStream {
      if (known) return known
      known = make.call(process) as NodeJS.WriteStream
      known.on('error', (error) => keepFailure(descriptor, error))
      return known
    },
  })
}

let failure: DevstackError | undefined

/** Why output is missing, when it is not that nobody read on: a full disk. */
export function outputFailure(): DevstackError | undefined {
  return failure
}

/** Of a reader that has gone away nothing need be said. */
function keepFailure(descriptor: 1 | 2, error: NodeJS.ErrnoException): void {
  if (isClosed(error)) return
  failure ??= new DevstackError({
    kind: 'state',
    code: 'OUTPUT_FAILED',
    message: `Standard ${descriptor === 1 ? 'output' : 'error'} could not be written: ${error.message}.`,
    hint: 'What ran was not affected: see what there was to say with devstack show.',
    cause: error,
  })
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
      // somebody else has made this pipe one that does not wait
      if (error.code === 'EAGAIN') return this.#wait(rest)
      this.#state = 'closed'
      keepFailure(this.#descriptor, error)
    }
    return true
  }

  #wait(rest: Uint8Array): boolean {
    const stream = streamOf(this.#descriptor)
    this.#state = stream
    return stream.write(rest)
  }
}
