/**
 * 64 bits of a text as 16 hexadecimal digits: tells two texts apart, proves nothing against who forges one. Every run needs
 * some of these, and loading node:crypto for them would take longer than the run of a small task.
 */
export function checksum(text: string): string {
  let low = 0x811c9dc5
  let high = text.length
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(((high << 13) | (high >>> 19)) ^ code, 0x5bd1e995)
  }
  const mixed = mix(low ^ mix(high))
  return hex(mixed) + hex(mix(high ^ mixed))
}

/** Spreads every bit over the whole number. */
function mix(number: number): number {
  const once = Math.imul(number ^ (number >>> 15), 0x2c1b3c6d)
  const twice = Math.imul(once ^ (once >>> 12), 0x297a2d39)
  return twice ^ (twice >>> 15)
}

function hex(number: number): string {
  return (number >>> 0).toString(16).padStart(8, '0')
}

/** So many random hexadecimal digits, at most 12, for names that nobody has to guess wrong. */
export function randomHex(digits: number): string {
  return Math.floor(Math.random() * 16 ** digits)
    .toString(16)
    .padStart(digits, '0')
}
