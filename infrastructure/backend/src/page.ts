import { z } from 'zod'

/** Query of a listing: at most `limit` items (1 to 100, default 50) after the one that `after` names. */
export const pageQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(100).default(50),
  after: z.string().max(200).optional(),
})

/** `next` is the `after` of the following page; absent on the last. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly next?: string
}

/** Makes a page of up to `limit + 1` rows: one more than asked for says that there is a next page. */
export function page<T>(rows: readonly T[], limit: number, cursor: (row: T) => string): Page<T> {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return rows.length > limit && last !== undefined ? { items, next: cursor(last) } : { items }
}
