/** Durations and sizes as the compose-spec writes them, chapters "Specifying durations" and "Specifying byte values". */

const milliseconds: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Milliseconds of `1m30s`, `1.5s`, `500ms`, `0`; undefined when it is no duration. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0
  const pattern = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h|d)/y
  let total = 0
  let at = 0
  while (at < text.length) {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (!found) return undefined
    total += Number(found[1]) * milliseconds[found[2]!]!
    at = pattern.lastIndex
  }
  return at === 0 || !Number.isFinite(total) ? undefined : Math.round(total * 1e6) / 1e6
}

/** A duration that `parseDuration` reads back: `1m30s`, `1.5ms`. */
export function formatDuration(ms: number): string {
  if (!Number.isInteger(ms)) return `${Math.round(ms * 1e6)}ns`
  if (ms === 0) return '0s'
  let rest = ms
  let text = ''
  for (const unit of ['h', 'm', 's', 'ms'] as const) {
    const count = Math.floor(rest / milliseconds[unit]!)
    rest -= count * milliseconds[unit]!
    if (count > 0) text += `${count}${unit}`
  }
  return text
}

/** Bytes of `64m`, `1.5gb`, `2 GiB`, `4096`; units are powers of 1024, in either case. Undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim())
  if (!found) return undefined
  const factor = 1024 ** ' kmgtp'.indexOf(found[2] ? found[2].toLowerCase() : ' ')
  const bytes = Math.floor(Number(found[1]) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/**
 * A command line as a list of words, split as a POSIX shell would: blanks separate, quotes and backslashes keep together. Nothing is
 * expanded. Undefined when a quote is not closed.
 */
export function splitWords(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  let quote: '"' | "'" | undefined
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i]!
    if (quote === "'") {
      if (char === "'") quote = undefined
      else word += char
    } else if (char === '\\') {
      const next = text[i + 1]
      if (next === undefined) return undefined
      i += 1
      if (quote === '"' && !'"\\$`\n'.includes(next)) word = `${word ?? ''}\\${next}`
      else if (next !== '\n') word = (word ?? '') + next
    } else if (quote === '"') {
      if (char === '"') quote = undefined
      else word += char
    } else if (char === '"' || char === "'") {
      quote = char
      word ??= ''
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + char
    }
  }
  if (quote) return undefined
  if (word !== undefined) words.push(word)
  return words
}
