/** Gives the lines of a program's output, which comes in pieces cut anywhere. */
export class TextLines {
  readonly #take: (line: string) => void
  #rest = ''

  /** `take` gets whole lines, each byte a character. */
  constructor(take: (line: string) => void) {
    this.#take = take
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#rest + Buffer.from(chunk).toString('latin1')).split('\n')
    this.#rest = lines.pop()!
    for (const line of lines) this.#take(line)
  }

  /** A last line without an end counts. */
  end(): void {
    if (this.#rest !== '') this.#take(this.#rest)
    this.#rest = ''
  }
}
