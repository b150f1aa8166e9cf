/** Output that comes in chunks, as lines for a person, in bounded memory. */
import { visibleText } from './width.ts'

/** Longest line kept, in UTF-16 units; what is beyond is counted and left out. */
const longestLine = 4096

export interface LineBuffer {
  /** Takes a chunk; gives the lines that it completed. */
  push(chunk: string): string[]
  /** Gives the last line when it had no line feed, and starts anew. */
  end(): string[]
  /** What the unfinished line shows so far. */
  open(): string
}

/**
 * Lines without escape sequences and control characters, each at most `longestLine` long with a note of what is
 * missing. Of a line that was printed over itself with carriage returns (a progress bar) the last state counts.
 */
export function createLineBuffer(): LineBuffer {
  let line = ''
  let dropped = 0

  const append = (piece: string) => {
    line += piece
    // a carriage return at the very end may yet be half of a line end
    const start = line.lastIndexOf('\r', line.length - 2) + 1
    if (start > 0 && line.length > 1) {
      line = line.slice(start)
      dropped = 0
    }
    if (line.length > longestLine) {
      dropped += line.length - longestLine
      line = line.slice(0, longestLine)
    }
  }
  const take = (): string => {
    const text = visibleText(line.endsWith('\r') ? line.slice(0, -1) : line)
    const note = dropped > 0 ? `… (${dropped} more characters not shown)` : ''
    line = ''
    dropped = 0
    return text + note
  }

  return {
    push(chunk) {
      const lines: string[] = []
      let from = 0
      for (let to = chunk.indexOf('\n'); to >= 0; to = chunk.indexOf('\n', from)) {
        append(chunk.slice(from, to))
        lines.push(take())
        from = to + 1
      }
      if (from < chunk.length) append(chunk.slice(from))
      return lines
    },
    end: () => (line === '' ? [] : [take()]),
    open: () => (line === '' ? '' : visibleText(line.endsWith('\r') ? line.slice(0, -1) : line)),
  }
}
