/** Reads string literals out of source text, for reference pages that quote what the code says. */

/**
 * The string that begins at `at` (after white space): quoted or a template, several joined by `+`, or what an arrow
 * function returns at once. What a template puts in is shown as `…`. Undefined when something else stands there.
 */
export function readLiteral(source: string, at: number): string | undefined {
  const arrow = /\s*\([^()]*\)\s*=>/y
  arrow.lastIndex = at
  const start = arrow.exec(source) ? arrow.lastIndex : at
  let text = ''
  let position = skipSpace(source, start)
  for (;;) {
    const piece = readPiece(source, position)
    if (!piece) return text === '' ? undefined : text
    text += piece.text
    const next = skipSpace(source, piece.end)
    if (source[next] !== '+') return text
    position = skipSpace(source, next + 1)
  }
}

/** Where white space that begins at `at` ends. */
export function skipSpace(source: string, at: number): number {
  let position = at
  while (/\s/.test(source[position] ?? '')) position += 1
  return position
}

function readPiece(source: string, at: number): { readonly text: string; readonly end: number } | undefined {
  const quote = source[at]
  if (quote !== "'" && quote !== '"' && quote !== '`') return undefined
  let text = ''
  let position = at + 1
  while (position < source.length && source[position] !== quote) {
    if (source[position] === '\\') {
      text += source[position + 1] === 'n' ? ' ' : source[position + 1]
      position += 2
    } else if (quote === '`' && source.startsWith('${', position)) {
      text += '…'
      position = endOfBraces(source, position + 1)
    } else {
      text += source[position]
      position += 1
    }
  }
  return { text, end: position + 1 }
}

/** The position after the brace that closes the one at `open`; strings inside are not looked into. */
export function endOfBraces(source: string, open: number): number {
  let depth = 0
  for (let position = open; position < source.length; position += 1) {
    if (source[position] === '{') depth += 1
    if (source[position] === '}') {
      depth -= 1
      if (depth === 0) return position + 1
    }
  }
  return source.length
}

/** The position of the brace that opens the block around `at`, or 0. */
export function startOfBraces(source: string, at: number): number {
  let depth = 0
  for (let position = at; position > 0; position -= 1) {
    if (source[position] === '}') depth += 1
    if (source[position] === '{') {
      if (depth === 0) return position
      depth -= 1
    }
  }
  return 0
}
