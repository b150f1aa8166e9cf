/** Finds many fixed strings at once in one pass (Aho and Corasick, 1975), over UTF-16 units. */

export interface Automaton {
  /** Length of the longest pattern, in UTF-16 units. */
  readonly longest: number
  /**
   * Scans a whole text. `found` gets start and end of every occurrence in the order of their ends, of those that end
   * at the same place the longest alone. Returns how many units at the end of the text could still begin a pattern.
   */
  scan(text: string, found: (start: number, end: number) => void): number
}

/** Empty patterns are ignored. */
export function createAutomaton(patterns: Iterable<string>): Automaton {
  const next: Map<number, number>[] = [new Map()]
  const depth = [0]
  const matched = [0]
  let longest = 0
  for (const pattern of patterns) {
    let state = 0
    for (let at = 0; at < pattern.length; at += 1) {
      const unit = pattern.charCodeAt(at)
      let target = next[state]!.get(unit)
      if (target === undefined) {
        target = next.length
        next.push(new Map())
        depth.push(at + 1)
        matched.push(0)
        next[state]!.set(unit, target)
      }
      state = target
    }
    if (state !== 0) matched[state] = pattern.length
    longest = Math.max(longest, pattern.length)
  }
  const fail = new Int32Array(next.length)
  const queue = [...next[0]!.values()]
  for (let head = 0; head < queue.length; head += 1) {
    const state = queue[head]!
    if (matched[state] === 0) matched[state] = matched[fail[state]!]!
    for (const [unit, target] of next[state]!) {
      let fallback = fail[state]!
      while (fallback !== 0 && !next[fallback]!.has(unit)) fallback = fail[fallback]!
      fail[target] = next[fallback]!.get(unit) ?? 0
      queue.push(target)
    }
  }
  // nearly every unit of ordinary text is met in the root, so that step is one look into an array
  const roots = new Uint8Array(65_536)
  for (const unit of next[0]!.keys()) roots[unit] = 1

  return {
    longest,
    scan(text, found) {
      let state = 0
      for (let at = 0; at < text.length; at += 1) {
        const unit = text.charCodeAt(at)
        if (state === 0) {
          if (roots[unit] === 0) continue
          state = next[0]!.get(unit)!
        } else {
          let target = next[state]!.get(unit)
          while (target === undefined && state !== 0) {
            state = fail[state]!
            target = next[state]!.get(unit)
          }
          state = target ?? 0
        }
        const length = matched[state]!
        if (length > 0) found(at + 1 - length, at + 1)
      }
      // what is complete and can not grow is decided
      while (state !== 0 && next[state]!.size === 0) state = fail[state]!
      return depth[state]!
    },
  }
}
