import { createHash, randomUUID } from 'node:crypto'

/**
 * The id of a row that a request makes. The same key for the same kind of thing is the same id, so that a repeated
 * request, ours or the client's, finds the row it made before. RFC 9562 version 8: 122 bits of SHA-256. Without a key, random.
 */
export function identify(kind: string, key: string | undefined): string {
  if (key === undefined) return randomUUID()
  const hash = createHash('sha256').update(`${kind}\0${key}`).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x80
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
